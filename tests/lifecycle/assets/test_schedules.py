"""Which days the daily schedules request, on a Dagster storage with and without covered days."""

import dataclasses
import datetime as dt

import dagster as dg
import msgspec
import pytest

from lifecycle.assets.keys import ModelKeys
from lifecycle.assets.monitoring import monitoring_assets
from lifecycle.assets.partitions import PARTITION_TAG, RANGE_END_TAG, RANGE_START_TAG
from lifecycle.assets.resources import Stores
from lifecycle.assets.retraining import monitor_schedule
from lifecycle.assets.schedules import IN_FLIGHT, Incomplete, daily_schedule, default_status
from lifecycle.modelling.training import Trained
from lifecycle.monitoring.alerts import Alert
from lifecycle.settings.platform import Settings
from lifecycle.spec.risk_model import RiskModelSpec
from tests.harness.toy_platform import keep, promote
from tests.harness.verdicts import ALARM

KEY = dg.AssetKey(["toy", "decisions"])
TODAY = dt.datetime.now(dt.UTC).date()
YESTERDAY = TODAY - dt.timedelta(days=1)


@dg.asset(
    key=KEY, partitions_def=dg.DailyPartitionsDefinition("2024-01-01"), backfill_policy=dg.BackfillPolicy.single_run()
)
def decisions() -> None:
    """An asset by day."""


JOB = dg.define_asset_job("toy_monitor", selection=[decisions])


@pytest.fixture
def home(settings: Settings) -> Settings:
    settings.root.mkdir(parents=True)
    return settings


def storage(settings: Settings) -> dg.DagsterInstance:
    """A storage that a schedule can open by its reference."""
    return dg.DagsterInstance.local_temp(str(settings.root))


def cover(instance: dg.DagsterInstance, day: dt.date) -> None:
    instance.report_runless_asset_event(dg.AssetMaterialization(KEY, partition=day.isoformat()))


def evaluated(
    instance: dg.DagsterInstance, incomplete: Incomplete | None = None
) -> list[dg.RunRequest] | dg.SkipReason:
    schedule = daily_schedule("toy_daily", JOB, KEY, "02:30", model="toy", description="", incomplete=incomplete)
    definitions = dg.Definitions(assets=[decisions], jobs=[JOB], schedules=[schedule])
    repository = definitions.get_repository_def()
    # The context opens the storage again; left open, it would be the current one of every later test.
    with dg.build_schedule_context(instance, dt.datetime.now(dt.UTC), repository_def=repository) as context:
        answer = definitions.resolve_schedule_def("toy_daily").evaluate_tick(context)
    if answer.skip_message:
        return dg.SkipReason(answer.skip_message)
    return list(answer.run_requests or [])


def requested(instance: dg.DagsterInstance) -> dg.RunRequest | dg.SkipReason:
    """The only request, or why there is none."""
    answer = evaluated(instance)
    if isinstance(answer, dg.SkipReason):
        return answer
    [request] = answer
    return request


def days_of(request: dg.RunRequest) -> tuple[str | None, str | None]:
    """First and last day of a request."""
    if request.partition_key is not None:
        return request.partition_key, request.partition_key
    return request.tags[RANGE_START_TAG], request.tags[RANGE_END_TAG]


def back(days: int) -> dt.date:
    return YESTERDAY - dt.timedelta(days=days)


def alerts(settings: Settings) -> list[Alert]:
    path = settings.root / "alerts.jsonl"
    return [msgspec.json.decode(line, type=Alert) for line in path.read_bytes().splitlines()] if path.exists() else []


def test_after_ten_days_down_all_ten_are_requested_once_and_the_gap_is_one_alert(home: Settings) -> None:
    first = YESTERDAY - dt.timedelta(days=9)
    with storage(home) as instance:
        cover(instance, back(10))
        requests = [requested(instance), requested(instance)]
    assert len({request.run_key for request in requests if isinstance(request, dg.RunRequest)}) == 1
    [request, _] = requests
    assert isinstance(request, dg.RunRequest)
    assert days_of(request) == (first.isoformat(), YESTERDAY.isoformat())
    [alert] = alerts(home)
    assert (alert.kind, alert.model) == ("days_missed", "toy")
    assert alert.message == f"toy_monitor did not cover the 10 days {first} to {YESTERDAY}."


def test_each_day_only_yesterday_is_requested_and_nothing_if_it_is_covered(home: Settings) -> None:
    with storage(home) as instance:
        fresh = requested(instance)
        cover(instance, YESTERDAY - dt.timedelta(days=1))
        daily = requested(instance)
        cover(instance, YESTERDAY)
        covered = requested(instance)
    assert isinstance(fresh, dg.RunRequest)
    assert isinstance(daily, dg.RunRequest)
    assert fresh.partition_key == daily.partition_key == YESTERDAY.isoformat()
    assert covered == dg.SkipReason(f"{YESTERDAY} is covered")
    assert alerts(home) == []


def test_the_requested_range_runs_as_one_run(home: Settings) -> None:
    with storage(home) as instance:
        cover(instance, YESTERDAY - dt.timedelta(days=4))
        request = requested(instance)
        assert isinstance(request, dg.RunRequest)
        job = dg.Definitions(assets=[decisions], jobs=[JOB]).resolve_job_def("toy_monitor")
        assert job.execute_in_process(instance=instance, tags=dict(request.tags)).success
        assert len(instance.get_materialized_partitions(KEY)) == 5
        assert requested(instance) == dg.SkipReason(f"{YESTERDAY} is covered")


def test_days_between_covered_ones_are_requested_too_and_each_gap_is_told_once(home: Settings) -> None:
    with storage(home) as instance:
        for days in (12, 11, 8, 6, 5, 4, 3, 2, 1):
            cover(instance, back(days))
        first, second = evaluated(instance), evaluated(instance)
        cover(instance, back(0))
        cover(instance, back(9))
        third = evaluated(instance)
    assert isinstance(first, list)
    gaps = [(back(10), back(9)), (back(7), back(7)), (back(0), back(0))]
    assert [days_of(request) for request in first] == [(str(start), str(end)) for start, end in gaps]
    assert isinstance(second, list)
    assert [request.run_key for request in second] == [request.run_key for request in first]
    assert isinstance(third, list)
    assert [days_of(request) for request in third] == [(str(back(10)),) * 2, (str(back(7)),) * 2]
    told = alerts(home)
    assert [alert.message for alert in told] == [
        f"toy_monitor did not cover the 2 days {back(10)} to {back(9)}, {back(7)}.",
        f"toy_monitor did not cover {back(10)}.",
    ]


def test_a_covered_day_whose_run_broke_later_is_requested_again(home: Settings) -> None:
    with storage(home) as instance:
        for days in (3, 2, 1, 0):
            cover(instance, back(days))
        answer = evaluated(instance, lambda days: {day for day in days if day in {back(3), back(1)}})
    assert isinstance(answer, list)
    assert [days_of(request) for request in answer] == [(str(back(3)),) * 2, (str(back(1)),) * 2]


@pytest.mark.parametrize("status", [*IN_FLIGHT[1:], dg.DagsterRunStatus.FAILURE])
def test_days_of_a_run_that_has_not_ended_are_not_requested_twice(home: Settings, status: dg.DagsterRunStatus) -> None:
    """Dagster makes up for several ticks after a stop, each with an execution time of its own."""
    with storage(home) as instance:
        for days in (9, 5):
            cover(instance, back(days))
        ranged = {RANGE_START_TAG: str(back(8)), RANGE_END_TAG: str(back(7))}
        for number, tags in enumerate((ranged, {PARTITION_TAG: str(back(0))})):
            run = dg.DagsterRun(job_name="toy_monitor", run_id=f"{number}" * 36, status=status, tags=tags)
            instance.add_run(run)
        answer = evaluated(instance)
    assert isinstance(answer, list)
    running = [(str(back(6)), str(back(6))), (str(back(4)), str(back(1)))]
    ended = [(str(back(8)), str(back(6))), (str(back(4)), str(back(0)))]
    assert [days_of(request) for request in answer] == (running if status in IN_FLIGHT else ended)


def test_yesterday_in_a_run_is_a_reason_to_skip(home: Settings) -> None:
    with storage(home) as instance:
        run = dg.DagsterRun(
            job_name="toy_monitor",
            run_id="1" * 36,
            status=dg.DagsterRunStatus.STARTED,
            tags={PARTITION_TAG: YESTERDAY.isoformat()},
        )
        instance.add_run(run)
        assert evaluated(instance) == dg.SkipReason(f"a run covers {YESTERDAY}")


def test_more_days_than_a_schedule_requests_are_left_to_a_person(home: Settings) -> None:
    with storage(home) as instance:
        cover(instance, YESTERDAY - dt.timedelta(days=200))
        request = requested(instance)
    assert isinstance(request, dg.RunRequest)
    first = YESTERDAY - dt.timedelta(days=89)
    assert request.tags[RANGE_START_TAG] == first.isoformat()
    [alert] = alerts(home)
    assert f"Earlier days are missing, too: start a backfill of toy_monitor up to {first}." in alert.remedy


def test_the_monitoring_of_a_day_that_broke_before_its_verdict_is_requested_again(
    stores: Stores, spec: RiskModelSpec, model: Trained
) -> None:
    """The day is covered by its first asset; only days after the first champion need a verdict."""
    assets = monitoring_assets(spec)
    monitor = dg.define_asset_job("toy_monitor", selection=assets)
    definitions = dg.Definitions(
        assets=assets, jobs=[monitor], schedules=[monitor_schedule(spec, monitor)], resources={"stores": stores}
    )
    with storage(stores.settings) as instance:
        for days in (3, 2, 1, 0):
            key = ModelKeys("toy").decisions
            instance.report_runless_asset_event(dg.AssetMaterialization(key, partition=back(days).isoformat()))
        schedule, repository = definitions.resolve_schedule_def("toy_daily"), definitions.get_repository_def()

        def skipped_or_requested() -> str | list[dg.RunRequest]:
            with dg.build_schedule_context(instance, dt.datetime.now(dt.UTC), repository_def=repository) as context:
                tick = schedule.evaluate_tick(context)
            return tick.skip_message or list(tick.run_requests or [])

        assert skipped_or_requested() == f"{YESTERDAY} is covered"
        promote(stores, spec, keep(stores, model, as_of=back(2)))
        stores.evidence("toy").write_drift(dataclasses.replace(ALARM, as_of=TODAY.isoformat()))
        requests = skipped_or_requested()
        assert isinstance(requests, list)
        assert [days_of(request) for request in requests] == [(str(back(2)), str(back(1)))]
        (stores.settings.release_store / "releases" / "toy" / "000001.json").write_text("{}")
        assert skipped_or_requested() == f"{YESTERDAY} is covered"


def test_schedules_run_except_in_a_demonstration(home: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    assert default_status() is dg.DefaultScheduleStatus.RUNNING
    monkeypatch.setenv("LIFECYCLE_PROFILE", "demo")
    assert default_status() is dg.DefaultScheduleStatus.STOPPED
