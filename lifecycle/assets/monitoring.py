"""From the decision log to a verdict on live traffic; nothing here trains or releases.

Partition D holds the events of day D; its verdict is as of D + 1.
"""

import datetime as dt
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import dagster as dg

from lifecycle.assets.accounts import account_for_decisions, account_for_requests
from lifecycle.assets.champion import champion_in_force
from lifecycle.assets.keys import WAREHOUSE_POOL, Materialized, ModelKeys
from lifecycle.assets.labels import labels
from lifecycle.assets.partitions import as_of_after, date_of, occurred_days
from lifecycle.assets.plots import shown
from lifecycle.assets.resources import Stores
from lifecycle.errors import LifecycleError
from lifecycle.gates.champion import champion_for
from lifecycle.modelling.reference import ColumnCounts
from lifecycle.monitoring.accounts import silence_alert
from lifecycle.monitoring.alerts import capacity_alert, monitoring_alerts
from lifecycle.monitoring.decision_load import DayLoad, LoadVerdict, judge_load
from lifecycle.monitoring.drift import DriftVerdict, judge_drift
from lifecycle.monitoring.live_performance import PerformanceVerdict, mature_window, performance_verdict
from lifecycle.monitoring.standing import StandingAlarm, advance
from lifecycle.monitoring.traffic import ChampionInForce, count_traffic, traffic_window
from lifecycle.monitoring.verdict import MonitoringVerdict, monitoring_verdict, new_positive_days
from lifecycle.releases.alert_log import raise_alert, raised_keys
from lifecycle.reports.drift_report import Illustration, drift_page
from lifecycle.reports.illustration import SAMPLE_ROWS, write_illustration
from lifecycle.reports.plots import psi_plot
from lifecycle.settings.platform import Settings
from lifecycle.spec.cadence import EVERY_DAY, RECENT_DAYS
from lifecycle.spec.risk_model import RiskModelSpec
from lifecycle.warehouse import Warehouse
from lifecycle.warehouse.reading.accounts import day_accounts
from lifecycle.warehouse.reading.daily_loads import daily_loads
from lifecycle.warehouse.reading.decisions import load_decisions, read_decisions, sampled_traffic, traffic_batches
from lifecycle.warehouse.reading.examples import MARTS, known_positives
from serving.storage.crash_points import crash_point
from serving.storage.durable import write_file

NO_CHAMPION = "there was no champion"

Body = Callable[[RiskModelSpec, dg.AssetExecutionContext, Stores], Iterator[Materialized]]


def monitoring_assets(spec: RiskModelSpec) -> list[dg.AssetsDefinition]:
    """Decisions, live performance, drift, the drift report, and the load that the decisions make."""
    keys = ModelKeys(spec.name)
    outcomes = dg.AssetKey([MARTS, spec.label.relation or spec.mart])
    return [
        _asset(
            spec,
            keys.decisions,
            [keys.release],
            _decisions,
            "The server's decision log in the warehouse, each decision once. The released model made them.",
            Settings().target,
        ),
        _asset(
            spec,
            keys.live_performance,
            [keys.decisions, outcomes],
            _live_performance,
            "Recall on matured outcomes, compared with that of the holdout; ranking, and the expected against the "
            "observed rate. What was declined may have no outcome.",
            "python",
        ),
        _asset(
            spec,
            keys.drift,
            [keys.live_performance],
            _drift,
            "Verdict on the last whole weeks of decisions: PSI of each feature and of the score against the champion's "
            "own training set, and the live performance.",
            "python",
        ),
        _asset(
            spec,
            keys.drift_report,
            [keys.drift],
            _drift_report,
            "The page of the day's verdict, in the verdict's own bins; and Evidently's view of a sample, which judges "
            "nothing.",
            "evidently",
        ),
        _asset(
            spec,
            keys.decision_load,
            [keys.decisions],
            _decision_load,
            "Cards that the champion's answers reviewed and declined a day, against the capacity of its bands.",
            "python",
        ),
    ]


def _asset(
    spec: RiskModelSpec, key: dg.AssetKey, deps: list[dg.AssetKey], body: Body, description: str, kind: str
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
        **labels(spec, "monitoring", kind),
    )
    def monitored(context: dg.AssetExecutionContext, stores: Stores) -> Iterator[Materialized]:
        yield from body(spec, context, stores)

    return monitored


def _days(context: dg.AssetExecutionContext) -> list[dt.date]:
    return [date_of(key) for key in context.partition_keys]


def _decisions(spec: RiskModelSpec, context: dg.AssetExecutionContext, stores: Stores) -> Iterator[Materialized]:
    warehouse = stores.warehouse(context, "log")
    loaded = load_decisions(warehouse, stores.settings.decision_log_dir)
    for day, metadata in account_for_requests(spec, context, stores, warehouse, _days(context), loaded):
        _show(context, day, metadata)
    of_run = {"read": loaded.read, "inserted": loaded.inserted, "repeated": loaded.repeated, "refused": loaded.refused}
    yield dg.MaterializeResult(metadata={f"{name}_by_this_run": count for name, count in of_run.items()})


def _show(context: dg.AssetExecutionContext, day: dt.date, metadata: dict[str, Any]) -> None:
    """Add metadata to the one partition of a day: what a result carries is shown for every day of the run."""
    context.add_asset_metadata(metadata, partition_key=day.isoformat())


def _days_with_champion(
    spec: RiskModelSpec, context: dg.AssetExecutionContext, stores: Stores
) -> Iterator[tuple[dt.date, dt.date, ChampionInForce]]:
    """Each day of the run with its `as_of` and champion; a day without a champion shows that and is left out."""
    for day in _days(context):
        as_of = as_of_after(day)
        champion = champion_in_force(spec, stores, as_of)
        if champion is None:
            _show(context, day, {"as_of": as_of.isoformat(), "reason": NO_CHAMPION})
        else:
            yield day, as_of, champion


def _decision_load(spec: RiskModelSpec, context: dg.AssetExecutionContext, stores: Stores) -> Iterator[Materialized]:
    warehouse, evidence, settings = stores.warehouse(context), stores.evidence(spec.name), stores.settings
    is_any = False
    for day, as_of, champion in _days_with_champion(spec, context, stores):
        recent_days = RECENT_DAYS[spec.examples.cadence]
        loads = daily_loads(warehouse, spec.name, as_of - dt.timedelta(days=recent_days), as_of)
        verdict = judge_load(loads, champion.bundle_digest, as_of, spec.decision, recent_days)
        earlier = [load for date, load in evidence.decision_load().items() if date < as_of]
        previous, now = (earlier[-1] if earlier else None), dt.datetime.now(dt.UTC)
        alert = capacity_alert(spec.name, verdict, previous, raised_keys(settings.root), context.run.run_id, now)
        if alert is not None:
            raise_alert(settings, alert)
        evidence.write_decision_load(verdict)
        _show(context, day, _load_metadata(loads.get(day), verdict))
        is_any = True
    if not is_any:
        context.log.info("There was no champion on these days: nothing to count")
        return
    yield dg.MaterializeResult()


def _load_metadata(load: DayLoad | None, verdict: LoadVerdict) -> dict[str, Any]:
    return {
        "as_of": verdict.as_of,
        "is_alarm": verdict.is_alarm,
        "reason": verdict.reason,
        "entities": load.cards if load else 0,
        "reviewed_entities": load.reviewed_cards if load else 0,
        "declined_entities": load.declined_cards if load else 0,
        "review_capacity": verdict.review_capacity or "none",
        "decline_capacity": verdict.decline_capacity or 0,
    }


def _live_performance(spec: RiskModelSpec, context: dg.AssetExecutionContext, stores: Stores) -> Iterator[Materialized]:
    warehouse, is_any = stores.warehouse(context), False
    for day, as_of, champion in _days_with_champion(spec, context, stores):
        verdict = measured_performance(spec, warehouse, champion, as_of)
        _alert_on_silence(spec, context, stores, as_of, verdict)
        stores.evidence(spec.name).write_live_performance(as_of, verdict)
        [account] = day_accounts(warehouse, spec, day, as_of)
        shown = _performance_metadata(as_of, verdict) | account_for_decisions(spec, context, stores, account)
        _show(context, day, shown)
        is_any = True
    if not is_any:
        context.log.info("There was no champion on these days: nothing to measure")
        return
    yield dg.MaterializeResult()


def measured_performance(
    spec: RiskModelSpec, warehouse: Warehouse, champion: ChampionInForce, as_of: dt.date
) -> PerformanceVerdict:
    """The verdict on the mature window, read day by day."""
    start, end = mature_window(spec, as_of)
    days = [start + dt.timedelta(days=offset) for offset in range((end - start).days)]
    decisions = (read_decisions(warehouse, spec, day, as_of_after(day), as_of) for day in days)
    return performance_verdict(spec, decisions, champion.bundle_digest, champion.promised_recall, as_of)


def _alert_on_silence(
    spec: RiskModelSpec, context: dg.AssetExecutionContext, stores: Stores, as_of: dt.date, verdict: PerformanceVerdict
) -> None:
    previous = stores.evidence(spec.name).live_performance().get(as_of - dt.timedelta(days=1))
    settings, now = stores.settings, dt.datetime.now(dt.UTC)
    alert = silence_alert(spec.name, as_of, verdict, previous, raised_keys(settings.root), context.run.run_id, now)
    if alert is not None:
        raise_alert(settings, alert)


def _performance_metadata(as_of: dt.date, verdict: PerformanceVerdict) -> dict[str, Any]:
    metadata: dict[str, Any] = {
        "as_of": as_of.isoformat(),
        "is_alarm": verdict.is_alarm,
        "reason": verdict.reason,
        "promised": verdict.promised,
        "positives": verdict.positives,
    }
    measured = {
        verdict.metric: verdict.recall,
        "rows": verdict.rows,
        "not_known": verdict.unknown,
        "roc_auc": verdict.roc_auc,
        "gini": verdict.gini,
        "ks": verdict.ks,
        "expected_rate": verdict.expected_rate,
        "observed_rate": verdict.observed_rate,
    }
    return metadata | {name: value for name, value in measured.items() if value is not None}


def _drift(spec: RiskModelSpec, context: dg.AssetExecutionContext, stores: Stores) -> Iterator[Materialized]:
    warehouse, evidence, is_any = stores.warehouse(context), stores.evidence(spec.name), False
    counted: CountedDays = {}
    for day, as_of, champion in _days_with_champion(spec, context, stores):
        earlier = [verdict for date, verdict in evidence.drift().items() if date < as_of]
        traffic = measured_traffic(spec, warehouse, champion, as_of, counted)
        standing = earlier[-1].standing if earlier else None
        verdict = _verdict(spec, stores, warehouse, champion, as_of, traffic, standing)
        # Alerts first: after a crash the day has no verdict yet, and its next run raises only what is missing.
        _raise_alerts(spec, stores, verdict, context.run.run_id)
        crash_point("monitoring.alerted")
        evidence.write_drift(verdict)
        _show(context, day, _drift_metadata(spec, verdict))
        is_any = True
    if not is_any:
        context.log.info("There was no champion on these days: nothing to compare with")
        return
    yield dg.MaterializeResult()


def _raise_alerts(spec: RiskModelSpec, stores: Stores, verdict: MonitoringVerdict, run_id: str) -> None:
    settings = stores.settings
    for alert in monitoring_alerts(spec.name, verdict, raised_keys(settings.root), run_id, dt.datetime.now(dt.UTC)):
        raise_alert(settings, alert)


def _drift_metadata(spec: RiskModelSpec, verdict: MonitoringVerdict) -> dict[str, Any]:
    return {
        "as_of": verdict.as_of,
        "is_alarm": verdict.is_alarm,
        "reason": verdict.reason,
        "onset": verdict.onset or "none",
        "alarm_since": verdict.standing.since if verdict.standing else "none",
        "news": "; ".join(news.text for news in verdict.news) or "none",
        "new_positives": verdict.new_positives,
        "rows": verdict.traffic.rows,
        **shown({"psi": psi_plot(verdict.traffic.psi, spec.drift.maximum_psi)}),
    }


def _verdict(
    spec: RiskModelSpec,
    stores: Stores,
    warehouse: Warehouse,
    champion: ChampionInForce,
    as_of: dt.date,
    traffic: DriftVerdict,
    previous: StandingAlarm | None,
) -> MonitoringVerdict:
    performance = stores.evidence(spec.name).live_performance().get(as_of)
    step = advance(previous, champion.bundle_digest, as_of, traffic, performance)
    onset = date_of(step.standing.onset) if step.standing else None
    days = new_positive_days(spec, onset, champion.trained_until, as_of)
    new_positives = known_positives(warehouse, spec, *days, as_of) if days else 0
    return monitoring_verdict(champion, as_of, traffic, performance, step, new_positives)


CountedDays = dict[tuple[str, dt.date], dict[str, ColumnCounts] | None]
"""What `count_traffic` counted, by the champion's bundle and the day: the windows of a range of days overlap."""


def measured_traffic(
    spec: RiskModelSpec, warehouse: Warehouse, champion: ChampionInForce, as_of: dt.date, counted: CountedDays
) -> DriftVerdict:
    """The verdict on the window; the days that replace its days without decisions are read, too.

    Days in `counted` are not read again; the others are added to it.
    """
    start, end = traffic_window(spec, as_of)
    length = end - start
    days = [start + dt.timedelta(days=offset) for offset in range(length.days)]

    def counts_of(day: dt.date) -> dict[str, ColumnCounts] | None:
        key = champion.bundle_digest, day
        if key not in counted:
            counted[key] = _counts(spec, warehouse, champion, day)
        return counted[key]

    counts = {day: counts_of(day) for day in days}
    is_every_day = spec.examples.cadence in EVERY_DAY
    missing = [day for day, columns in counts.items() if columns is None and is_every_day]
    counts |= {day - length: counts_of(day - length) for day in missing}
    daily = {day: columns for day, columns in counts.items() if columns is not None}
    return judge_drift(
        champion.reference, daily, as_of, spec.drift, bundle_digest=champion.bundle_digest, is_every_day=is_every_day
    )


def _counts(
    spec: RiskModelSpec, warehouse: Warehouse, champion: ChampionInForce, day: dt.date
) -> dict[str, ColumnCounts] | None:
    return warehouse.retrying(lambda: count_traffic(spec, champion, traffic_batches(warehouse, spec, day)))


def _drift_report(spec: RiskModelSpec, context: dg.AssetExecutionContext, stores: Stores) -> Iterator[Materialized]:
    is_any = False
    for day, as_of, champion in _days_with_champion(spec, context, stores):
        verdict = stores.evidence(spec.name).drift().get(as_of)
        if verdict is None or verdict.champion != champion.bundle_digest:
            _show(context, day, {"reason": f"there is no verdict on this champion as of {as_of}"})
            continue
        is_last = day == _days(context)[-1]
        path = report_path(stores.settings, spec.name, as_of)
        illustration = (
            _illustrated(spec, context, stores, champion, as_of)
            if is_last
            else Illustration(None, 0, "only the last day of a run has one")
        )
        write_file(path, drift_page(spec, champion, verdict, illustration).encode())
        _show(
            context, day, {"path": str(path), "sampled_rows": illustration.rows, **_report_link(stores.settings, path)}
        )
        is_any = True
    if is_any:
        yield dg.MaterializeResult()


def _illustrated(
    spec: RiskModelSpec, context: dg.AssetExecutionContext, stores: Stores, champion: ChampionInForce, as_of: dt.date
) -> Illustration:
    """Evidently's page, which nothing depends on; it needs decisions and a training set."""
    sample = sampled_traffic(stores.warehouse(context), spec, *traffic_window(spec, as_of), SAMPLE_ROWS)
    release = champion_for(stores.releases().history(spec.name), as_of.isoformat())
    if not sample.num_rows or release is None:
        return Illustration(None, 0, "the window has no decisions")
    try:
        training_set = stores.training_sets(spec.name).read(release.as_of)
    except (LifecycleError, OSError):
        return Illustration(None, 0, f"the training set as of {release.as_of} is not there")
    path = report_path(stores.settings, spec.name, as_of).with_suffix(".evidently.html")
    return write_illustration(spec, champion, training_set, sample, path)


def _report_link(settings: Settings, path: Path) -> dict[str, Any]:
    """The page's address while `lifecycle up` serves it; else the command that serves it."""
    if settings.reports_url is None:
        return {"served_by": "lifecycle reports"}
    address = f"{settings.reports_url}/{path.relative_to(settings.reports_dir).as_posix()}"
    return {"report": dg.MetadataValue.url(address)}


def report_path(settings: Settings, model: str, as_of: dt.date) -> Path:
    """File of the page of one day."""
    return settings.reports_dir / model / f"drift-{as_of.isoformat()}.html"
