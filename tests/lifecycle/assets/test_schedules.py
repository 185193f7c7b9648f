"""Which days the daily schedules request, on a Dagster storage with and without covered days."""

import datetime as dt

import dagster as dg
import msgspec
import pytest

from lifecycle.assets.partitions import RANGE_END_TAG, RANGE_START_TAG
from lifecycle.assets.schedules import daily_schedule, default_status
from lifecycle.monitoring.alerts import Alert
from lifecycle.settings.platform import Settings

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


def requested(instance: dg.DagsterInstance) -> dg.RunRequest | dg.SkipReason:
    schedule = daily_schedule("toy_daily", JOB, KEY, "02:30", model="toy", description="")
    definitions = dg.Definitions(assets=[decisions], jobs=[JOB], schedules=[schedule])
    repository = definitions.get_repository_def()
    context = dg.build_schedule_context(instance, dt.datetime.now(dt.UTC), repository_def=repository)
    answer = definitions.resolve_schedule_def("toy_daily").evaluate_tick(context)
    if answer.skip_message:
        return dg.SkipReason(answer.skip_message)
    [request] = answer.run_requests or []
    return request


def alerts(settings: Settings) -> list[Alert]:
    path = settings.root / "alerts.jsonl"
    return [msgspec.json.decode(line, type=Alert) for line in path.read_bytes().splitlines()] if path.exists() else []


def test_after_ten_days_down_all_ten_are_requested_once_and_the_gap_is_one_alert(home: Settings) -> None:
    first = YESTERDAY - dt.timedelta(days=9)
    with storage(home) as instance:
        for days in (30, 10):
            cover(instance, YESTERDAY - dt.timedelta(days=days))
        requests = [requested(instance), requested(instance)]
    assert len({request.run_key for request in requests if isinstance(request, dg.RunRequest)}) == 1
    [request, _] = requests
    assert isinstance(request, dg.RunRequest)
    assert (request.tags[RANGE_START_TAG], request.tags[RANGE_END_TAG]) == (first.isoformat(), YESTERDAY.isoformat())
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


def test_more_days_than_a_schedule_requests_are_left_to_a_person(home: Settings) -> None:
    with storage(home) as instance:
        cover(instance, YESTERDAY - dt.timedelta(days=200))
        request = requested(instance)
    assert isinstance(request, dg.RunRequest)
    first = YESTERDAY - dt.timedelta(days=89)
    assert request.tags[RANGE_START_TAG] == first.isoformat()
    [alert] = alerts(home)
    assert f"Earlier days are missing, too: start a backfill of toy_monitor up to {first}." in alert.remedy


def test_schedules_run_except_in_a_demonstration(home: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    assert default_status() is dg.DefaultScheduleStatus.RUNNING
    monkeypatch.setenv("LIFECYCLE_PROFILE", "demo")
    assert default_status() is dg.DefaultScheduleStatus.STOPPED
