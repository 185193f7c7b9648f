"""From the decision log to a verdict on live traffic; nothing here trains or releases.

Partition D is what happened on D; its verdict is as of D + 1.
"""

import datetime as dt
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import dagster as dg
import msgspec

from lifecycle.artefacts.evidence import EvidenceStore
from lifecycle.assets.keys import WAREHOUSE_POOL, Materialized, ModelKeys
from lifecycle.assets.partitions import as_of_after, date_of, occurred_days
from lifecycle.assets.plots import psi_plot
from lifecycle.assets.resources import Stores
from lifecycle.assets.standing import standing_champion
from lifecycle.gates.retraining import first_new_fraud_day
from lifecycle.modelling.splits import judged_end
from lifecycle.monitoring.alerts import Alert, raise_alert
from lifecycle.monitoring.drift import DriftVerdict, PerformanceVerdict
from lifecycle.monitoring.traffic import ChampionInForce, live_performance_of, traffic_of
from lifecycle.reports.drift_report import write_drift_report
from lifecycle.spec.risk_model import RiskModelSpec
from lifecycle.warehouse import Warehouse
from lifecycle.warehouse.reading.decisions import daily_decisions, load_decisions, read_decisions
from lifecycle.warehouse.reading.examples import MARTS, known_frauds

Body = Callable[[dg.AssetExecutionContext, Stores], Iterator[Materialized]]


@dataclass(frozen=True)
class MonitoringVerdict:
    """What one day's monitoring concludes: traffic and performance together; JSON-serialisable."""

    as_of: str
    is_alarm: bool
    reason: str
    onset: str | None
    new_frauds: int
    """Frauds since the onset that the champion was not fitted on and the judged model of a training now would be."""
    champion: str
    champion_trained_until: str
    traffic: DriftVerdict
    performance: PerformanceVerdict | None


def monitoring_assets(spec: RiskModelSpec) -> list[dg.AssetsDefinition]:
    """Decisions, live performance, drift, and the report for people."""
    keys = ModelKeys(spec.name)
    outcomes = dg.AssetKey([MARTS, spec.label.relation])
    return [
        _asset(spec, keys.decisions, [], _decisions(spec), "The server's decision log in the warehouse, each once."),
        _asset(
            spec,
            keys.live_performance,
            [keys.decisions, outcomes],
            _live_performance(spec),
            "Recall at capacity on matured outcomes against what the holdout promised. Declined transactions have no "
            "outcome: nobody reports a fraud that did not happen.",
        ),
        _asset(
            spec,
            keys.drift,
            [keys.live_performance],
            _drift(spec),
            "Verdict on the last whole week of decisions against the champion's own training set: PSI of each feature "
            "and of the score, and the live performance.",
        ),
        _asset(
            spec,
            keys.drift_report,
            [keys.drift],
            _drift_report(spec),
            "Evidently's pages on a sample, for people; no verdict comes from them.",
        ),
    ]


def _asset(
    spec: RiskModelSpec, key: dg.AssetKey, deps: list[dg.AssetKey], body: Body, description: str
) -> dg.AssetsDefinition:
    @dg.asset(
        key=key,
        deps=deps,
        partitions_def=occurred_days(spec),
        backfill_policy=dg.BackfillPolicy.single_run(),
        group_name=spec.name,
        pool=WAREHOUSE_POOL,
        description=description,
        output_required=False,
    )
    def monitored(context: dg.AssetExecutionContext, stores: Stores) -> Iterator[Materialized]:
        yield from body(context, stores)

    return monitored


def _days(context: dg.AssetExecutionContext) -> list[dt.date]:
    return [date_of(key) for key in context.partition_keys]


def _decisions(spec: RiskModelSpec) -> Body:
    def body(context: dg.AssetExecutionContext, stores: Stores) -> Iterator[Materialized]:
        warehouse = stores.warehouse(context, "log")
        loaded = load_decisions(warehouse, stores.settings.decision_log_dir)
        days = _days(context)
        counts = daily_decisions(warehouse, spec.name, days[0], as_of_after(days[-1]))
        yield dg.MaterializeResult(
            metadata={
                "read": loaded.read,
                "inserted": loaded.inserted,
                "repeated": loaded.repeated,
                "dagster/row_count": sum(counts.values()),
                "by_day": {day.isoformat(): counts.get(day, 0) for day in days},
            }
        )

    return body


def _live_performance(spec: RiskModelSpec) -> Body:
    def body(context: dg.AssetExecutionContext, stores: Stores) -> Iterator[Materialized]:
        verdicts = {}
        warehouse = stores.warehouse(context)
        for day in _days(context):
            as_of = as_of_after(day)
            standing = standing_champion(spec, stores, as_of)
            if standing is None:
                continue
            verdict = live_performance_of(spec, warehouse, standing, as_of)
            document = msgspec.to_builtins(verdict)
            stores.evidence(spec.name).write_monitoring("live_performance", as_of.isoformat(), document)
            verdicts[as_of.isoformat()] = verdict
        if not verdicts:
            context.log.info("No champion stood on these days: nothing to measure")
            return
        latest = verdicts[max(verdicts)]
        lines = [f"| {as_of} | {verdict.reason} |" for as_of, verdict in verdicts.items()]
        metadata: dict[str, Any] = {
            "verdicts": dg.MetadataValue.md("\n".join(["| as of | verdict |", "|---|---|", *lines])),
            "promised": latest.promised,
            "is_alarm": latest.is_alarm,
        }
        if latest.recall is not None:
            metadata["recall_at_capacity"] = latest.recall
        yield dg.MaterializeResult(metadata=metadata)

    return body


def _drift(spec: RiskModelSpec) -> Body:
    def body(context: dg.AssetExecutionContext, stores: Stores) -> Iterator[Materialized]:
        latest = None
        warehouse = stores.warehouse(context)
        for day in _days(context):
            as_of = as_of_after(day)
            standing = standing_champion(spec, stores, as_of)
            if standing is None:
                continue
            latest = monitoring_verdict(spec, warehouse, stores.evidence(spec.name), standing, as_of)
            before = stores.evidence(spec.name).monitoring("drift")
            document = msgspec.to_builtins(latest)
            stores.evidence(spec.name).write_monitoring("drift", as_of.isoformat(), document)
            _alert_on_change(context, stores, spec, latest, before)
        if latest is None:
            context.log.info("No champion stood on these days: nothing to compare with")
            return
        yield dg.MaterializeResult(
            metadata={
                "as_of": latest.as_of,
                "is_alarm": latest.is_alarm,
                "reason": latest.reason,
                "onset": latest.onset or "none",
                "new_frauds": latest.new_frauds,
                "rows": latest.traffic.rows,
                "psi": psi_plot(latest.traffic.psi, spec.drift.maximum_psi),
                "report": dg.MetadataValue.path(str(_report_path(spec, stores, date_of(latest.as_of)))),
            }
        )

    return body


def monitoring_verdict(
    spec: RiskModelSpec, warehouse: Warehouse, evidence: EvidenceStore, standing: ChampionInForce, as_of: dt.date
) -> MonitoringVerdict:
    """Traffic and performance as of a date, and what there is to learn from since the onset."""
    yesterday = evidence.monitoring("drift").get((as_of - dt.timedelta(days=1)).isoformat())
    previous = msgspec.convert(yesterday["traffic"], DriftVerdict) if yesterday else None
    traffic = traffic_of(spec, warehouse, standing, as_of, previous)
    known = evidence.monitoring("live_performance").get(as_of.isoformat())
    performance = msgspec.convert(known, PerformanceVerdict) if known else None
    alarms = [verdict for verdict in (traffic, performance) if verdict is not None and verdict.is_alarm]
    starts = [traffic.onset] if traffic.is_alarm else []
    if performance is not None and performance.is_alarm:
        starts.append(performance.window_start)
    trained_until = date_of(standing.candidate.evaluation["trained_until"])
    onset = min((start for start in starts if start is not None), default=None)
    return MonitoringVerdict(
        as_of=as_of.isoformat(),
        is_alarm=bool(alarms),
        reason="; ".join(alarm.reason for alarm in alarms) or traffic.reason,
        onset=onset,
        new_frauds=_new_frauds(spec, warehouse, first_new_fraud_day(date_of(onset), trained_until), as_of)
        if onset
        else 0,
        champion=standing.champion.bundle_digest,
        champion_trained_until=trained_until.isoformat(),
        traffic=traffic,
        performance=performance,
    )


def _new_frauds(spec: RiskModelSpec, warehouse: Warehouse, start: dt.date, as_of: dt.date) -> int:
    end = judged_end(as_of, spec.training, spec.label.maturity_days)
    return known_frauds(warehouse, spec, start, end, as_of) if start < end else 0


def _alert_on_change(
    context: dg.AssetExecutionContext,
    stores: Stores,
    spec: RiskModelSpec,
    verdict: MonitoringVerdict,
    before: dict[str, dict[str, Any]],
) -> None:
    """Tell people when an alarm begins, not on every day that it stands."""
    earlier = [document for as_of, document in before.items() if as_of < verdict.as_of]
    if not verdict.is_alarm or (earlier and earlier[-1]["is_alarm"]):
        return
    raise_alert(
        stores.settings.root,
        Alert(
            kind="drift",
            model=spec.name,
            as_of=verdict.as_of,
            run_id=context.run_id,
            message=f"{verdict.reason}.",
            remedy="The retrain sensor starts a training once enough frauds since the onset have matured.",
            raised_at=dt.datetime.now(dt.UTC),
        ),
    )


def _report_path(spec: RiskModelSpec, stores: Stores, as_of: dt.date) -> Any:
    return stores.settings.reports_dir / spec.name / f"drift-{as_of.isoformat()}.html"


def _drift_report(spec: RiskModelSpec) -> Body:
    def body(context: dg.AssetExecutionContext, stores: Stores) -> Iterator[Materialized]:
        as_of = as_of_after(_days(context)[-1])
        standing = standing_champion(spec, stores, as_of)
        if standing is None:
            return
        start = as_of - dt.timedelta(days=spec.drift.window_days)
        current = read_decisions(stores.warehouse(context), spec, start, as_of)
        if not current.num_rows:
            context.log.info("No decisions in this window: no report")
            return
        reference = stores.training_sets(spec.name).read(standing.champion.as_of)
        path = _report_path(spec, stores, as_of)
        rows = write_drift_report(spec, reference, current, path)
        yield dg.MaterializeResult(
            metadata={"report": dg.MetadataValue.url(path.as_uri()), "sampled_rows": rows, "path": str(path)}
        )

    return body
