"""From the decision log to a verdict on live traffic; nothing here trains or releases.

Partition D holds the events of day D; its verdict is as of D + 1.
"""

import datetime as dt
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import dagster as dg

from lifecycle.artefacts.alert_log import raise_alert
from lifecycle.assets.champion import champion_in_force
from lifecycle.assets.keys import WAREHOUSE_POOL, Materialized, ModelKeys
from lifecycle.assets.partitions import as_of_after, date_of, occurred_days
from lifecycle.assets.plots import psi_plot
from lifecycle.assets.resources import Stores
from lifecycle.gates.champion import champion_for
from lifecycle.monitoring.alerts import drift_alert
from lifecycle.monitoring.live_performance import PerformanceVerdict, mature_window, performance_verdict
from lifecycle.monitoring.traffic import ChampionInForce, traffic_verdict, traffic_window
from lifecycle.monitoring.verdict import MonitoringVerdict, alarm_onset, monitoring_verdict, new_fraud_days
from lifecycle.reports.drift_report import write_drift_report
from lifecycle.spec.risk_model import RiskModelSpec
from lifecycle.warehouse import Warehouse
from lifecycle.warehouse.reading.decisions import daily_decisions, load_decisions, read_decisions
from lifecycle.warehouse.reading.examples import MARTS, known_frauds

Body = Callable[[RiskModelSpec, dg.AssetExecutionContext, Stores], Iterator[Materialized]]


def monitoring_assets(spec: RiskModelSpec) -> list[dg.AssetsDefinition]:
    """Decisions, live performance, drift, and the drift report."""
    keys = ModelKeys(spec.name)
    outcomes = dg.AssetKey([MARTS, spec.label.relation])
    return [
        _asset(spec, keys.decisions, [], _decisions, "The server's decision log in the warehouse, each decision once."),
        _asset(
            spec,
            keys.live_performance,
            [keys.decisions, outcomes],
            _live_performance,
            "Recall at capacity on matured outcomes, compared with that of the holdout. Declined transactions have no "
            "outcome: a prevented fraud is never reported.",
        ),
        _asset(
            spec,
            keys.drift,
            [keys.live_performance],
            _drift,
            "Verdict on the last whole weeks of decisions: PSI of each feature and of the score against the champion's "
            "own training set, and the live performance.",
        ),
        _asset(
            spec,
            keys.drift_report,
            [keys.drift],
            _drift_report,
            "Evidently's pages on a sample, for information only; no verdict depends on them.",
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
        yield from body(spec, context, stores)

    return monitored


def _days(context: dg.AssetExecutionContext) -> list[dt.date]:
    return [date_of(key) for key in context.partition_keys]


def _decisions(spec: RiskModelSpec, context: dg.AssetExecutionContext, stores: Stores) -> Iterator[Materialized]:
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


def _live_performance(spec: RiskModelSpec, context: dg.AssetExecutionContext, stores: Stores) -> Iterator[Materialized]:
    verdicts: dict[dt.date, PerformanceVerdict] = {}
    warehouse = stores.warehouse(context)
    for as_of in map(as_of_after, _days(context)):
        champion = champion_in_force(spec, stores, as_of)
        if champion is None:
            continue
        decisions = read_decisions(warehouse, spec, *mature_window(spec, as_of), as_of)
        verdicts[as_of] = performance_verdict(spec, decisions, champion.promised_recall, as_of)
        stores.evidence(spec.name).write_live_performance(as_of, verdicts[as_of])
    if not verdicts:
        context.log.info("There was no champion on these days: nothing to measure")
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


def _drift(spec: RiskModelSpec, context: dg.AssetExecutionContext, stores: Stores) -> Iterator[Materialized]:
    latest = None
    warehouse, evidence = stores.warehouse(context), stores.evidence(spec.name)
    for as_of in map(as_of_after, _days(context)):
        champion = champion_in_force(spec, stores, as_of)
        if champion is None:
            continue
        history = evidence.drift()
        latest = _verdict(spec, stores, warehouse, champion, as_of, history.get(as_of - dt.timedelta(days=1)))
        evidence.write_drift(latest)
        earlier = [verdict for date, verdict in history.items() if date < as_of]
        previous, now = (earlier[-1] if earlier else None), dt.datetime.now(dt.UTC)
        alert = drift_alert(spec.name, latest, previous, context.run.run_id, now)
        if alert is not None:
            raise_alert(stores.settings.root, alert)
    if latest is None:
        context.log.info("There was no champion on these days: nothing to compare with")
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


def _verdict(
    spec: RiskModelSpec,
    stores: Stores,
    warehouse: Warehouse,
    champion: ChampionInForce,
    as_of: dt.date,
    yesterday: MonitoringVerdict | None,
) -> MonitoringVerdict:
    decisions = read_decisions(warehouse, spec, *traffic_window(spec, as_of))
    traffic = traffic_verdict(spec, decisions, champion, as_of, yesterday.traffic if yesterday else None)
    performance = stores.evidence(spec.name).live_performance().get(as_of)
    days = new_fraud_days(spec, alarm_onset(traffic, performance), champion.trained_until, as_of)
    new_frauds = known_frauds(warehouse, spec, *days, as_of) if days else 0
    return monitoring_verdict(champion, as_of, traffic, performance, new_frauds)


def _report_path(spec: RiskModelSpec, stores: Stores, as_of: dt.date) -> Path:
    return stores.settings.reports_dir / spec.name / f"drift-{as_of.isoformat()}.html"


def _drift_report(spec: RiskModelSpec, context: dg.AssetExecutionContext, stores: Stores) -> Iterator[Materialized]:
    as_of = as_of_after(_days(context)[-1])
    champion = champion_for(stores.releases().history(spec.name), as_of.isoformat())
    if champion is None:
        return
    decisions = read_decisions(stores.warehouse(context), spec, *traffic_window(spec, as_of))
    if not decisions.num_rows:
        context.log.info("No decisions in this window: no report")
        return
    reference = stores.training_sets(spec.name).read(champion.as_of)
    path = _report_path(spec, stores, as_of)
    rows = write_drift_report(spec, reference, decisions, path)
    yield dg.MaterializeResult(
        metadata={"report": dg.MetadataValue.url(path.as_uri()), "sampled_rows": rows, "path": str(path)}
    )
