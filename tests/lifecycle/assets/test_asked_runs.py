"""Backfills, runs that repeat them, ranges and past dates are backtests, which touch nothing."""

import datetime as dt
from collections.abc import Iterator

import dagster as dg
import msgspec
import pyarrow as pa
import pytest

from lifecycle.assets.asked_runs import FIRST_RELEASE_TAG, is_backfill
from lifecycle.assets.first_release import release_first
from lifecycle.assets.partitions import BACKFILL_TAG, PARTITION_TAG, RANGE_END_TAG, RANGE_START_TAG
from lifecycle.assets.registry import model_version_asset
from lifecycle.assets.resources import Stores
from lifecycle.assets.retraining import broken_tries, is_in_flight
from lifecycle.assets.rollout import release_asset
from lifecycle.assets.training import candidate_asset
from lifecycle.assets.validation import gate_checks
from lifecycle.defs.alerts import run_failure_alerts
from lifecycle.errors import LifecycleError
from lifecycle.modelling.training import Trained
from lifecycle.monitoring.alerts import Alert
from lifecycle.releases.consents import Person
from lifecycle.spec.risk_model import PromotionSpec, RiskModelSpec
from lifecycle.warehouse.reading.examples import MARTS
from tests.harness.toy_model import AS_OF
from tests.harness.toy_platform import FakeRegistry, failure, freeze, keep, materialize, promote

DAY = dt.timedelta(days=1)


@pytest.fixture
def instance() -> Iterator[dg.DagsterInstance]:
    with dg.DagsterInstance.ephemeral() as instance:
        yield instance


@pytest.fixture
def trainable(
    stores: Stores, spec: RiskModelSpec, model: Trained, table: pa.Table, monkeypatch: pytest.MonkeyPatch
) -> Stores:
    """The stores with the training set of `AS_OF`, on which every training gives the toy model."""
    freeze(stores, spec, table)
    monkeypatch.setattr("lifecycle.assets.training.train", lambda *_: model)
    return stores


def trained(
    stores: Stores, spec: RiskModelSpec, instance: dg.DagsterInstance, tags: dict[str, str] | None = None
) -> dg.ExecuteInProcessResult:
    """From the candidate to the release, in one run."""
    assets = [candidate_asset(spec), gate_checks(spec), model_version_asset(spec), release_asset(spec)]
    return materialize(stores, assets, AS_OF, instance, tags)


def alerted(stores: Stores, instance: dg.DagsterInstance, result: dg.ExecuteInProcessResult) -> list[Alert]:
    """The alerts after the sensor has seen a failed run."""
    run_failure_alerts(
        dg.build_run_status_sensor_context(
            sensor_name="run_failure_alerts",
            dagster_event=result.get_run_failure_event(),
            dagster_instance=instance,
            dagster_run=result.dagster_run,
        ).for_run_failure()
    )
    path = stores.settings.root / "alerts.jsonl"
    return [msgspec.json.decode(line, type=Alert) for line in path.read_bytes().splitlines()] if path.exists() else []


def strict(spec: RiskModelSpec) -> RiskModelSpec:
    """The model with a gate that refuses every candidate."""
    gates = spec.model_dump()["gates"]
    wanted = next(name for name in gates if name.startswith("minimum_") and name != "minimum_rows")
    return spec.model_copy(update={"gates": spec.gates.model_copy(update={wanted: 100_000})})


@pytest.mark.long
@pytest.mark.parametrize("is_refused", [False, True])
@pytest.mark.parametrize("champion_days_before", [None, 7])
def test_a_backfill_is_judged_and_touches_nothing(
    trainable: Stores, spec: RiskModelSpec, model: Trained, registry: FakeRegistry, instance: dg.DagsterInstance,
    champion_days_before: int | None, is_refused: bool,
) -> None:  # fmt: skip
    if champion_days_before is not None:
        promote(trainable, spec, keep(trainable, model, as_of=AS_OF - champion_days_before * DAY))
    history = trainable.releases().history("toy")
    gates = trainable.settings.evidence_dir / "toy" / "gates"
    before = {path: path.read_bytes() for path in gates.glob("*")}
    result = trained(trainable, strict(spec) if is_refused else spec, instance, {BACKFILL_TAG: "abcd"})
    assert result.success, failure(result)
    refused = [check.check_name for check in result.get_asset_check_evaluations() if not check.passed]
    assert ("enough_evidence" in refused) == is_refused
    assert trainable.releases().history("toy") == history
    assert registry.versions == {}
    assert not (trainable.settings.root / "alerts.jsonl").exists()
    assert {path: path.read_bytes() for path in gates.glob("*")} == before
    digest = trainable.candidates("toy").current(AS_OF.isoformat()).digest
    assert trainable.evidence("toy").gates(digest, is_backtest=True).is_passed == (not refused)
    observed = [event.asset_observation_data.asset_observation for event in result.get_asset_observation_events()]
    assert [one.description for one in observed] == ["Not registered: a backfill is a backtest"]
    assert observed[0].metadata["first_release_with"].value == f"lifecycle release --first toy {digest} --reason ..."


@pytest.mark.long
def test_a_run_that_was_asked_to_release_still_fails_at_a_gate_and_alerts(
    trainable: Stores, spec: RiskModelSpec, registry: FakeRegistry, instance: dg.DagsterInstance
) -> None:
    result = trained(trainable, strict(spec), instance, {PARTITION_TAG: AS_OF.isoformat()})
    assert not result.success
    assert [alert.kind for alert in alerted(trainable, instance, result)] == ["candidate_refused"]


@pytest.mark.parametrize(("tags", "kinds"), [({}, ["run_broken"]), ({BACKFILL_TAG: "abcd"}, [])])
def test_a_broken_backfill_of_trainings_raises_no_alert(
    stores: Stores, spec: RiskModelSpec, instance: dg.DagsterInstance, tags: dict[str, str], kinds: list[str]
) -> None:
    result = trained(stores, spec, instance, tags)
    assert not result.success
    assert [alert.kind for alert in alerted(stores, instance, result)] == kinds


@pytest.mark.long
@pytest.mark.parametrize("tags", [{}, {FIRST_RELEASE_TAG: "asked"}])
def test_the_first_release_of_a_date_that_is_not_the_datas_newest_must_be_asked_for(
    trainable: Stores, spec: RiskModelSpec, registry: FakeRegistry, instance: dg.DagsterInstance, tags: dict[str, str]
) -> None:
    day = AS_OF.isoformat()  # complete on the next day, so that a newer date is possible
    event = dg.AssetMaterialization(dg.AssetKey([MARTS, spec.mart]), partition=day)
    instance.report_runless_asset_event(event)
    result = trained(trainable, spec, instance, tags)
    assert result.success, failure(result)
    assert len(trainable.releases().history("toy")) == len(registry.versions) == len(tags)


def run(number: int, parent: int | None = None, **tags: str) -> dg.DagsterRun:
    """A failed run in Dagster's storage; a number names it."""
    return dg.DagsterRun(
        job_name="toy_retrain",
        run_id=f"{number}" * 36,
        status=dg.DagsterRunStatus.FAILURE,
        tags={name.replace("__", "/"): value for name, value in tags.items()} | {PARTITION_TAG: AS_OF.isoformat()},
        parent_run_id=f"{parent}" * 36 if parent is not None else None,
        root_run_id=f"{parent}" * 36 if parent is not None else None,
    )


def test_a_run_that_repeats_a_backfills_run_is_a_backfill(spec: RiskModelSpec, instance: dg.DagsterInstance) -> None:
    runs = [run(1, dagster__backfill="abcd"), run(2, parent=1), run(3, parent=2), run(4), run(5, parent=4)]
    for each in runs:
        instance.add_run(each)
    assert [is_backfill(instance, each) for each in runs] == [True, True, True, False, False]
    assert is_backfill(instance, run(6, parent=9)), "its parent was deleted"
    first, last = AS_OF.isoformat(), (AS_OF + DAY).isoformat()
    range_tags = [{RANGE_START_TAG: first, RANGE_END_TAG: end} for end in (first, last)]
    ranges = [dg.DagsterRun(job_name="toy_retrain", run_id="7" * 36, tags=tags) for tags in range_tags]
    assert [is_backfill(instance, each) for each in ranges] == [False, True]


def test_a_backfill_holds_up_no_retraining(spec: RiskModelSpec, instance: dg.DagsterInstance) -> None:
    instance.add_run(run(1, dagster__backfill="abcd"))
    assert broken_tries(instance, spec, AS_OF.isoformat()) == 0
    started = dg.DagsterRun(
        job_name="toy_retrain", run_id="2" * 36, status=dg.DagsterRunStatus.STARTED, tags={BACKFILL_TAG: "abcd"}
    )
    instance.add_run(started)
    assert not is_in_flight(instance, spec)


def test_a_run_over_several_dates_says_that_each_needs_its_own(
    trainable: Stores, spec: RiskModelSpec, instance: dg.DagsterInstance
) -> None:
    tags = {RANGE_START_TAG: (AS_OF - DAY).isoformat(), RANGE_END_TAG: AS_OF.isoformat()}
    result = dg.materialize(
        [candidate_asset(spec)], resources={"stores": trainable}, instance=instance, tags=tags, raise_on_error=False
    )
    assert "Expected one date of toy/candidate, got 2024-01-31 to 2024-02-01 in one run" in failure(result)
    assert alerted(trainable, instance, result) == []


@pytest.mark.long
def test_the_first_release_is_judged_again_and_made_once(
    trainable: Stores, spec: RiskModelSpec, registry: FakeRegistry, instance: dg.DagsterInstance
) -> None:
    assert trained(trainable, spec, instance, {BACKFILL_TAG: "abcd"}).success
    candidate = trainable.candidates("toy").current(AS_OF.isoformat())
    with pytest.raises(LifecycleError, match="does not: enough_evidence had too little evidence"):
        release_first(strict(spec), trainable, candidate, by="tester", reason="first")
    assert trainable.releases().history("toy") == ()
    release = release_first(spec, trainable, candidate, by="tester", reason="first")
    assert (release.number, release.champion.as_of, release.released_by) == (1, AS_OF.isoformat(), "tester")
    assert trainable.evidence("toy").gates(candidate.digest).is_passed
    with pytest.raises(LifecycleError, match="Expected no release of toy before the first, found 1"):
        release_first(spec, trainable, candidate, by="tester", reason="again")


@pytest.mark.long
def test_a_first_release_needs_another_person_than_who_makes_it_and_a_waiver_of_what_did_not_pass(
    trainable: Stores, spec: RiskModelSpec, registry: FakeRegistry, instance: dg.DagsterInstance
) -> None:
    assert trained(trainable, spec, instance, {BACKFILL_TAG: "abcd"}).success
    candidate = trainable.candidates("toy").current(AS_OF.isoformat())
    consents, now = trainable.releases().consents, dt.datetime.now(dt.UTC)
    asked = strict(spec).model_copy(update={"promotion": PromotionSpec(mode="auto", approvals="one")})
    consents.waive(
        "toy", candidate.digest, "enough_evidence", Person("anna", "ops"), reason="pilot", until=now + DAY, now=now
    )
    consents.approve("toy", candidate.digest, Person("Tester", "ops"), reason="mine", days=3, now=now)
    with pytest.raises(LifecycleError, match=r"0 of 1 given, not counted: Tester \(by the trainer\)"):
        release_first(asked, trainable, candidate, by="tester", reason="first")
    consents.approve("toy", candidate.digest, Person("anna", "ops"), reason="read", days=3, now=now)
    assert release_first(asked, trainable, candidate, by="tester", reason="first").number == 1
    assert not trainable.evidence("toy").gates(candidate.digest).is_passed
