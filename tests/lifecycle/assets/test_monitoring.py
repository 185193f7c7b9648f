import datetime as dt
from typing import Any

import dagster as dg
import msgspec
import pyarrow as pa
import pyarrow.compute as pc
import pytest

from lifecycle.artefacts.training_sets import TrainingSetStore
from lifecycle.assets.champion import champion_in_force
from lifecycle.assets.monitoring import measured_traffic, monitoring_assets
from lifecycle.assets.resources import Stores
from lifecycle.local.exporter.collector import Exporter
from lifecycle.modelling.training import Trained
from lifecycle.monitoring.accounts import DayOfRequests
from lifecycle.monitoring.alerts import Alert
from lifecycle.spec.risk_model import RiskModelSpec
from lifecycle.warehouse import Use, Warehouse, open_warehouse
from lifecycle.warehouse.reading.decisions import daily_decisions, traffic_batches
from serving.log.segments import line_of, segment_name
from tests.harness.logs import line, rejection
from tests.harness.toy_model import AS_OF
from tests.harness.toy_platform import (
    failure,
    fill_warehouse,
    keep,
    log_decisions,
    materialize,
    metadata,
    promote,
)

DAY = dt.date(2024, 1, 31)
"""Its monitoring is as of `AS_OF`, and compares the decisions of 25 to 31 January."""
ASSETS = {"decisions": 0, "live_performance": 1, "drift": 2, "drift_report": 3, "decision_load": 4}


def monitored(stores: Stores, spec: RiskModelSpec, *names: str) -> dg.ExecuteInProcessResult:
    assets = monitoring_assets(spec)
    return materialize(stores, [assets[ASSETS[name]] for name in names], DAY)


@pytest.fixture
def live(stores: Stores, spec: RiskModelSpec, model: Trained, table: pa.Table) -> int:
    """A champion of 31 January, and a warehouse and a log of its decisions since 20 January; their number."""
    release = promote(stores, spec, keep(stores, model, as_of=DAY))
    fill_warehouse(stores, spec, table, table)
    start = pa.scalar(dt.datetime(2024, 1, 20), pa.timestamp("us"))  # noqa: DTZ001 - as the table has it
    rows = table.filter(pc.greater_equal(table["occurred_at"], start))
    log_decisions(stores, spec, rows, release.champion.bundle_digest)
    return int(rows.num_rows)


def test_decisions_are_loaded_once_and_counted_by_day(stores: Stores, spec: RiskModelSpec, live: int) -> None:
    shown = metadata(monitored(stores, spec, "decisions"), "decisions")
    of_run = [shown[f"{name}_by_this_run"] for name in ("read", "inserted", "repeated", "refused")]
    assert of_run == [live, live, 0, 0]
    assert 0 < shown["dagster/row_count"] < live
    assert metadata(monitored(stores, spec, "decisions"), "decisions")["read_by_this_run"] == 0


def test_the_verdicts_go_to_the_evidence_and_an_alarm_to_the_alerts(
    stores: Stores, spec: RiskModelSpec, live: int, model: Trained
) -> None:
    result = monitored(stores, spec, "decisions", "live_performance", "drift")
    assert result.success, failure(result)
    performance = stores.evidence("toy").live_performance()[AS_OF]
    assert (performance.window_start, performance.window_end) == ("2024-01-23", "2024-01-30")
    assert performance.promised == model.evaluation.metrics["recall_at_capacity"].value
    shown = metadata(result, "live_performance")
    assert (shown["promised"], shown["is_alarm"]) == (performance.promised, performance.is_alarm)
    assert (shown["as_of"], shown["reason"]) == ("2024-02-01", performance.reason)
    verdict = stores.evidence("toy").drift()[AS_OF]
    # Every recorded score is 0.2, and the holdout's were spread.
    assert "score" in verdict.traffic.alarmed
    assert verdict.performance == performance
    assert verdict.champion_trained_until == model.trained_until
    shown = metadata(result, "drift")
    assert (shown["as_of"], shown["is_alarm"], shown["reason"]) == ("2024-02-01", True, verdict.reason)
    assert (shown["onset"], shown["new_positives"], shown["rows"]) == (verdict.onset, 0, verdict.traffic.rows)
    assert monitored(stores, spec, "drift").success
    [alert] = alerts(stores)
    texts = "; ".join(news.text for news in verdict.news)
    assert (alert.kind, alert.message) == ("drift", f"An alarm begins: {texts}. Onset {verdict.onset}.")


def alerts(stores: Stores) -> list[Alert]:
    lines = (stores.settings.root / "alerts.jsonl").read_bytes().splitlines()
    return [msgspec.json.decode(line, type=Alert) for line in lines]


def test_a_crash_between_the_alert_and_the_verdict_neither_loses_nor_repeats_an_alert(
    stores: Stores, spec: RiskModelSpec, live: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    def killed(point: str) -> None:
        raise RuntimeError(point)

    assert monitored(stores, spec, "decisions").success
    with monkeypatch.context() as patch:
        patch.setattr("lifecycle.assets.monitoring.crash_point", killed)
        assert "monitoring.alerted" in failure(monitored(stores, spec, "drift"))
    assert stores.evidence("toy").drift() == {}
    told = alerts(stores)
    assert [alert.kind for alert in told] == ["drift"]
    assert monitored(stores, spec, "drift").success
    assert stores.evidence("toy").drift()[AS_OF].standing is not None
    assert alerts(stores) == told


@pytest.mark.long
def test_a_lost_day_is_alerted_and_the_alarm_stands_through_it_and_a_backfill(
    stores: Stores, spec: RiskModelSpec, model: Trained, table: pa.Table
) -> None:
    release = promote(stores, spec, keep(stores, model, as_of=DAY))
    fill_warehouse(stores, spec, table, table)
    days = table["occurred_at"].cast(pa.date32())
    is_logged = pc.and_(pc.greater_equal(days, dt.date(2024, 1, 20)), pc.less(days, DAY))
    log_decisions(stores, spec, table.filter(is_logged), release.champion.bundle_digest)
    before = DAY - dt.timedelta(days=1)
    assets = monitoring_assets(spec)
    for day in (before, DAY):
        assert materialize(stores, assets[:3], day).success
    first, second = stores.evidence("toy").drift().values()
    assert first.standing is not None
    assert second.standing is not None
    assert second.traffic.missing_days == (DAY.isoformat(),)
    assert second.traffic.has_verdict
    assert (second.standing.since, second.standing.onset) == (first.standing.since, first.standing.onset)
    told = alerts(stores)
    assert [(alert.kind, alert.as_of) for alert in told] == [("drift", "2024-01-31"), ("no_decisions", "2024-02-01")]
    assert told[1].message.startswith("2024-01-31 has no decisions.")
    for day in (before, DAY):
        assert materialize(stores, assets[1:3], day).success
    assert list(stores.evidence("toy").drift().values()) == [first, second]
    assert alerts(stores) == told


def test_requests_that_no_monitor_judges_are_shown_and_alerted(stores: Stores, spec: RiskModelSpec, live: int) -> None:
    refused = {"kind": "InvalidRequest", "status": 422, "model": "toy", "feature": "kind", "fault": "category"}
    folder = stores.settings.decision_log_dir
    (folder / segment_name(3)).write_bytes(
        line_of(rejection(schema_version=2, **refused, occurred_on=DAY, count=50))
        + line("late", transaction_id="0012", model="toy", occurred_at=dt.datetime(2024, 1, 31, 12, tzinfo=dt.UTC))
    )
    result = monitored(stores, spec, "decisions", "live_performance")
    assert result.success, failure(result)
    shown = metadata(result, "decisions")
    assert shown["refused"] == 50
    assert "| InvalidRequest | kind | category | 50 |" in shown["refusals"]
    performance = metadata(result, "live_performance")
    assert (performance["decisions"], performance["unmatched_decisions"]) == (shown["dagster/row_count"], 1)
    refusals, unmatched = [alert for alert in alerts(stores) if alert.kind == "unaccounted"]
    assert "InvalidRequest (kind, category) refused 50 of" in refusals.message
    assert f"segments of the decision log are gone before they were loaded: {segment_name(2)}" in refusals.message
    assert "1 of" in unmatched.message
    assert "decisions have no transaction in the mart" in unmatched.message
    assert (refusals.as_of, refusals.model) == ("2024-02-01", "toy")
    requests, matching = stores.evidence("toy").requests()[AS_OF], stores.evidence("toy").matching()[AS_OF]
    assert requests == DayOfRequests(DAY, shown["dagster/row_count"], {"InvalidRequest": 50})
    assert (matching.unmatched, matching.transactions) == (1, performance["transactions"])


def test_prometheus_is_told_what_dagster_shows(stores: Stores, spec: RiskModelSpec, live: int) -> None:
    names = ("decisions", "live_performance", "drift", "decision_load")
    result = monitored(stores, spec, *names)
    assert result.success, failure(result)
    decisions, performance, drift, load = (metadata(result, name) for name in names)
    told = Exporter(stores.settings).exposition().decode()
    for name, value in {
        'decisions{model="toy"}': decisions["dagster/row_count"],
        'unaccounted{cause="undecided_transactions",model="toy"}': performance["undecided_transactions"],
        'recall_promised{model="toy"}': performance["promised"],
        'recall_positives{model="toy"}': performance["positives"],
        'alarm_standing{model="toy"}': int(drift["is_alarm"]),
        'entity_capacity_per_day{band="declined",model="toy"}': load["decline_capacity"],
        'alerts_total{kind="drift",model="toy"}': 1,
        'judged_day_timestamp_seconds{model="toy"}': dt.datetime(2024, 1, 31, tzinfo=dt.UTC).timestamp(),
        'release_number{model="toy"}': 1,
    }.items():
        [line] = [line for line in told.splitlines() if line.startswith(f"lifecycle_{name} ")]
        assert float(line.rpartition(" ")[2]) == value, name


def test_decisions_without_a_champion_are_an_alert(stores: Stores, spec: RiskModelSpec, table: pa.Table) -> None:
    fill_warehouse(stores, spec, table, table)
    log_decisions(stores, spec, table.slice(table.num_rows - 500), "f" * 64)
    assert monitored(stores, spec, "decisions").success
    [alert] = alerts(stores)
    assert alert.kind == "unaccounted"
    assert "decisions and no champion to judge them by" in alert.message


def test_each_day_of_a_range_shows_its_own_values_and_is_read_once(
    stores: Stores, spec: RiskModelSpec, live: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    read: list[dt.date] = []

    def observed_batches(warehouse: Warehouse, spec: RiskModelSpec, day: dt.date) -> Any:
        read.append(day)
        return traffic_batches(warehouse, spec, day)

    monkeypatch.setattr("lifecycle.assets.monitoring.traffic_batches", observed_batches)
    days = [DAY - dt.timedelta(days=1), DAY]
    assets = [asset for asset in monitoring_assets(spec) if asset.key.path[-1] != "drift_report"]
    result = dg.materialize(
        assets,
        resources={"stores": stores},
        tags={
            "dagster/asset_partition_range_start": days[0].isoformat(),
            "dagster/asset_partition_range_end": days[1].isoformat(),
        },
        raise_on_error=False,
    )
    assert result.success, failure(result)
    shown = {
        name: {
            event.partition: {key: value.value for key, value in event.metadata.items()}
            for event in result.asset_materializations_for_node(f"toy__{name}")
        }
        for name in ("decisions", "decision_load", "live_performance", "drift")
    }
    evidence = stores.evidence("toy")
    warehouse = open_warehouse(stores.settings, Use("read"))
    counts = daily_decisions(warehouse, "toy", days[0], AS_OF)
    for day in days:
        key, as_of = day.isoformat(), day + dt.timedelta(days=1)
        assert shown["decisions"][key]["dagster/row_count"] == counts[day]
        assert shown["decision_load"][key]["reviewed_entities"] == 0
        assert shown["decision_load"][key]["reason"] == evidence.decision_load()[as_of].reason
        performance, verdict = evidence.live_performance()[as_of], evidence.drift()[as_of]
        assert (shown["live_performance"][key]["as_of"], shown["live_performance"][key]["reason"]) == (
            as_of.isoformat(),
            performance.reason,
        )
        assert (shown["drift"][key]["rows"], shown["drift"][key]["as_of"]) == (verdict.traffic.rows, verdict.as_of)
    assert shown["drift"]["2024-01-30"]["rows"] != shown["drift"]["2024-01-31"]["rows"]
    assert len(read) == len(set(read)) > spec.drift.window_days
    champion = champion_in_force(spec, stores, AS_OF)
    assert champion is not None
    alone = measured_traffic(spec, warehouse, champion, AS_OF, {})
    assert alone == evidence.drift()[AS_OF].traffic


@pytest.mark.long
@pytest.mark.parametrize("url", [None, "http://127.0.0.1:3001"])
def test_the_report_is_the_page_of_the_verdict_with_a_link_that_opens(
    stores: Stores, spec: RiskModelSpec, live: int, table: pa.Table, monkeypatch: pytest.MonkeyPatch, url: str | None
) -> None:
    if url is not None:
        monkeypatch.setenv("LIFECYCLE_REPORTS_URL", url)
    monkeypatch.setattr("lifecycle.reports.illustration._rendered", lambda *_: b"<p>a sample</p>")
    monkeypatch.setattr(TrainingSetStore, "read", lambda *_: table)
    result = monitored(Stores(), spec, "decisions", "live_performance", "drift", "drift_report")
    assert result.success, failure(result)
    shown, path = metadata(result, "drift_report"), stores.settings.reports_dir / "toy" / "drift-2024-02-01.html"
    verdict = stores.evidence("toy").drift()[AS_OF]
    assert f"<strong>alarm</strong> since {AS_OF}" in path.read_text()
    assert verdict.reason.split(";")[0] in path.read_text().replace("&#39;", "'")
    assert path.with_suffix(".evidently.html").read_text() == "<p>a sample</p>"
    link = {"served_by": "lifecycle reports"} if url is None else {"report": f"{url}/toy/drift-2024-02-01.html"}
    assert shown == {"sampled_rows": verdict.traffic.rows, "path": str(path), **link}


def test_a_report_without_a_training_set_says_so(stores: Stores, spec: RiskModelSpec, live: int) -> None:
    result = monitored(stores, spec, "decisions", "drift", "drift_report")
    assert result.success, failure(result)
    page = (stores.settings.reports_dir / "toy" / "drift-2024-02-01.html").read_text()
    assert "There is no illustration: the training set as of 2024-01-31 is not there." in page


def test_cards_above_the_capacity_are_alerted_once_and_shown_for_the_day(
    stores: Stores, spec: RiskModelSpec, model: Trained, table: pa.Table
) -> None:
    release = promote(stores, spec, keep(stores, model, as_of=DAY))
    fill_warehouse(stores, spec, table, table)
    start = pa.scalar(dt.datetime(2024, 1, 25), pa.timestamp("us"))  # noqa: DTZ001 - as the table has it
    rows = table.filter(pc.greater_equal(table["occurred_at"], start))
    log_decisions(stores, spec, rows, release.champion.bundle_digest, decision="decline")
    for _ in range(2):
        result = monitored(stores, spec, "decisions", "decision_load")
        assert result.success, failure(result)
    verdict = stores.evidence("toy").decision_load()[AS_OF]
    assert verdict.exceeded == ("declined", "reviewed or declined")
    assert verdict.days == 7
    shown = metadata(result, "decision_load")
    assert (shown["is_alarm"], shown["reason"], shown["decline_capacity"]) == (True, verdict.reason, 2)
    assert shown["declined_entities"] == shown["reviewed_entities"] == shown["entities"] > 0
    [alert] = [
        msgspec.json.decode(line, type=Alert)
        for line in (stores.settings.root / "alerts.jsonl").read_bytes().splitlines()
    ]
    assert (alert.kind, alert.message) == ("over_capacity", f"{verdict.reason}.")


@pytest.mark.parametrize("name", ["decision_load", "live_performance", "drift", "drift_report"])
def test_without_a_champion_there_is_no_verdict_and_no_report(stores: Stores, spec: RiskModelSpec, name: str) -> None:
    result = monitored(stores, spec, name)
    assert result.success, failure(result)
    assert not result.asset_materializations_for_node(f"toy__{name}")
    assert stores.evidence("toy").drift() == {}
