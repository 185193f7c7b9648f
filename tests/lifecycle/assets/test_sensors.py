import dataclasses
import datetime as dt

import dagster as dg
import msgspec
import pytest

from lifecycle.assets.partitions import PARTITION_TAG
from lifecycle.assets.resources import Stores
from lifecycle.assets.retraining import broken_tries, is_in_flight, refused_gates, retrain_sensor
from lifecycle.assets.schedules import IN_FLIGHT
from lifecycle.defs.alerts import run_failure_alerts
from lifecycle.modelling.training import Trained
from lifecycle.monitoring.alerts import Alert
from lifecycle.monitoring.drift import DriftVerdict
from lifecycle.monitoring.verdict import MonitoringVerdict
from lifecycle.spec.risk_model import RiskModelSpec
from tests.harness.toy_model import AS_OF
from tests.harness.toy_platform import keep, promote

TRAFFIC = DriftVerdict(
    bundle_digest="b", window_start="2024-01-25", window_end="2024-02-01", rows=900, has_verdict=True, is_alarm=True,
    psi={"amount": 0.3}, alarmed=("amount",), threshold=0.2, onset="2024-01-26", reason="PSI above 0.2: amount 0.300",
)  # fmt: skip
ALARM = MonitoringVerdict(
    as_of=AS_OF.isoformat(), is_alarm=True, reason=TRAFFIC.reason, onset="2024-01-26", new_positives=60, champion="b",
    champion_trained_until="2024-01-20", traffic=TRAFFIC, performance=None,
)  # fmt: skip


@dg.job(name="toy_retrain")
def retrain() -> None:
    """Stands for the real job."""


@dg.op
def fails() -> None:
    raise dg.Failure("disk full")


@dg.job(name="toy_retrain")
def broken() -> None:
    fails()


@dg.asset
def judged() -> None:
    """An asset whose gate refuses."""


@dg.asset_check(asset=judged, blocking=True)
def blocking_gate() -> dg.AssetCheckResult:
    return dg.AssetCheckResult(passed=False)


refusing = dg.Definitions(
    assets=[judged], asset_checks=[blocking_gate], jobs=[dg.define_asset_job("toy_retrain")]
).resolve_job_def("toy_retrain")


def evaluated(
    stores: Stores, spec: RiskModelSpec, instance: dg.DagsterInstance, cursor: str | None = None
) -> dg.SensorResult | dg.SkipReason:
    context = dg.build_sensor_context(instance=instance, cursor=cursor, resources={"stores": stores})
    return retrain_sensor(spec, retrain)(context)  # type: ignore[return-value]


def test_the_retrain_sensor_waits_for_a_verdict_and_for_an_alarm(stores: Stores, spec: RiskModelSpec) -> None:
    with dg.DagsterInstance.ephemeral() as instance:
        skipped = evaluated(stores, spec, instance)
        assert isinstance(skipped, dg.SkipReason)
        assert skipped.skip_message == "There is no verdict on live traffic yet"
        stores.evidence("toy").write_drift(dataclasses.replace(ALARM, is_alarm=False))
        skipped = evaluated(stores, spec, instance)
        assert isinstance(skipped, dg.SkipReason)
        assert skipped.skip_message == "As of 2024-02-01: there is no alarm"


def test_the_retrain_sensor_orders_the_newest_alarm_once(stores: Stores, spec: RiskModelSpec, model: Trained) -> None:
    release = promote(stores, spec, keep(stores, model))
    quiet = dataclasses.replace(ALARM, as_of="2024-01-31", is_alarm=False)
    stores.evidence("toy").write_drift(quiet)
    stores.evidence("toy").write_drift(dataclasses.replace(ALARM, champion=release.champion.bundle_digest))
    with dg.DagsterInstance.ephemeral() as instance:
        ordered = evaluated(stores, spec, instance)
        assert isinstance(ordered, dg.SensorResult)
        [request] = ordered.run_requests or []
        assert (request.run_key, request.partition_key) == ("toy:2024-02-01", "2024-02-01")
        assert request.tags["lifecycle/reason"].startswith(
            "PSI above 0.2: amount 0.300; 60 new positives since 2024-01-26"
        )
        repeated = evaluated(stores, spec, instance, ordered.cursor)
        assert isinstance(repeated, dg.SkipReason)
        assert "already ordered" in (repeated.skip_message or "")


@pytest.mark.parametrize("status", [dg.DagsterRunStatus.STARTING, dg.DagsterRunStatus.STARTED])
def test_the_retrain_sensor_waits_for_the_last_day_of_a_check(
    stores: Stores, spec: RiskModelSpec, model: Trained, status: dg.DagsterRunStatus
) -> None:
    release = promote(stores, spec, keep(stores, model))
    stores.evidence("toy").write_drift(dataclasses.replace(ALARM, champion=release.champion.bundle_digest))
    with dg.DagsterInstance.ephemeral() as instance:
        instance.add_run(dg.DagsterRun(job_name="toy_monitor", run_id="1" * 36, status=status))
        skipped = evaluated(stores, spec, instance)
        assert isinstance(skipped, dg.SkipReason)
        assert skipped.skip_message == "A check of the live days is in progress; its last day decides"
    with dg.DagsterInstance.ephemeral() as instance:
        instance.add_run(dg.DagsterRun(job_name="toy_monitor", run_id="1" * 36, status=dg.DagsterRunStatus.FAILURE))
        assert isinstance(evaluated(stores, spec, instance), dg.SensorResult)


def test_a_retraining_that_broke_off_is_ordered_again_three_times_at_most(
    stores: Stores, spec: RiskModelSpec, model: Trained
) -> None:
    release = promote(stores, spec, keep(stores, model))
    stores.evidence("toy").write_drift(dataclasses.replace(ALARM, champion=release.champion.bundle_digest))
    keys, cursor = [], None
    with dg.DagsterInstance.ephemeral() as instance:
        for _ in range(3):
            ordered = evaluated(stores, spec, instance, cursor)
            assert isinstance(ordered, dg.SensorResult)
            [request] = ordered.run_requests or []
            keys.append(request.run_key)
            cursor = ordered.cursor
            tags = {PARTITION_TAG: request.partition_key or ""}
            broken.execute_in_process(instance=instance, raise_on_error=False, tags=tags)
        skipped = evaluated(stores, spec, instance, cursor)
    assert keys == ["toy:2024-02-01", "toy:2024-02-01:try-2", "toy:2024-02-01:try-3"]
    assert isinstance(skipped, dg.SkipReason)
    assert "3 retrainings at as_of 2024-02-01 broke off" in (skipped.skip_message or "")


def test_a_retraining_that_a_gate_refused_or_a_person_cancelled_did_not_break_off(spec: RiskModelSpec) -> None:
    as_of = AS_OF.isoformat()
    with dg.DagsterInstance.ephemeral() as instance:
        tags = {PARTITION_TAG: as_of}
        broken.execute_in_process(instance=instance, raise_on_error=False, tags=tags)
        assert broken_tries(instance, spec, as_of) == 1
        status = dg.DagsterRunStatus.CANCELED
        instance.add_run(dg.DagsterRun(job_name="toy_retrain", run_id="1" * 36, status=status, tags=tags))
        assert broken_tries(instance, spec, as_of) == 0
        result = refusing.execute_in_process(instance=instance, raise_on_error=False, tags=tags)
        assert refused_gates(instance, result.run_id) == ["blocking_gate"]
        assert broken_tries(instance, spec, as_of) == 0


STATUSES = [*IN_FLIGHT, dg.DagsterRunStatus.SUCCESS, dg.DagsterRunStatus.FAILURE]


# Dagster stores a queued run only with the code location that it came from.
@pytest.mark.parametrize("status", [status for status in STATUSES if status != dg.DagsterRunStatus.QUEUED])
def test_a_retraining_is_in_flight_until_it_has_ended(spec: RiskModelSpec, status: dg.DagsterRunStatus) -> None:
    with dg.DagsterInstance.ephemeral() as instance:
        instance.add_run(dg.DagsterRun(job_name="toy_retrain", run_id="1" * 36, status=status))
        assert is_in_flight(instance, spec) == (status in IN_FLIGHT)


def alert_of(result: dg.ExecuteInProcessResult, instance: dg.DagsterInstance, stores: Stores) -> Alert:
    """The only alert after the sensor has seen a failed run."""
    context = dg.build_run_status_sensor_context(
        sensor_name="run_failure_alerts",
        dagster_event=result.get_run_failure_event(),
        dagster_instance=instance,
        dagster_run=result.dagster_run,
    ).for_run_failure()
    run_failure_alerts(context)
    [line] = (stores.settings.root / "alerts.jsonl").read_bytes().splitlines()
    return msgspec.json.decode(line, type=Alert)


def test_a_failed_run_raises_an_alert_with_its_address(stores: Stores, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LIFECYCLE_DAGSTER_URL", "http://127.0.0.1:3456")
    with dg.DagsterInstance.ephemeral() as instance:
        tags = {PARTITION_TAG: AS_OF.isoformat()}
        result = broken.execute_in_process(instance=instance, raise_on_error=False, tags=tags)
        alert = alert_of(result, instance, stores)
    assert (alert.title, alert.run_id) == ("Run broken: toy as of 2024-02-01", result.run_id)
    assert alert.run_url == f"http://127.0.0.1:3456/runs/{result.run_id}"
    assert alert.raised_at <= dt.datetime.now(dt.UTC)


def test_the_alert_of_a_run_whose_blocking_check_failed_is_a_refusal(stores: Stores) -> None:
    @dg.asset
    def candidate() -> None:
        """An asset with one gate that blocks and one that does not."""

    @dg.asset_check(asset=candidate, blocking=True)
    def blocking_gate() -> dg.AssetCheckResult:
        return dg.AssetCheckResult(passed=False)

    @dg.asset_check(asset=candidate)
    def other_check() -> dg.AssetCheckResult:
        return dg.AssetCheckResult(passed=False)

    with dg.DagsterInstance.ephemeral() as instance:
        checked = [candidate, blocking_gate, other_check]
        result = dg.materialize(checked, instance=instance, raise_on_error=False)
        alert = alert_of(result, instance, stores)
    assert (alert.kind, "blocking_gate did not pass" in alert.message) == ("candidate_refused", True)
    assert "other_check" not in alert.message
