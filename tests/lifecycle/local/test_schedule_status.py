"""What `lifecycle status` says of schedules, asked of a real Dagster UI with its daemon."""

import datetime as dt
import http.server
import json
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager

import dagster as dg
import httpx
import msgspec
import pytest
from typer.testing import CliRunner

from lifecycle.cli import app
from lifecycle.errors import LifecycleError
from lifecycle.local.dagster_api import DagsterApi
from lifecycle.local.installation import DAGSTER_YAML
from lifecycle.local.ports import free_port
from lifecycle.local.processes import Service, running
from lifecycle.local.schedule_status import ScheduleStatus, read_schedules, schedule_lines
from lifecycle.monitoring.alerts import Alert
from lifecycle.settings.platform import Settings

KEY = dg.AssetKey(["toy", "decisions"])
CODE = """
import dagster as dg
from lifecycle.assets.schedules import daily_schedule

KEY = dg.AssetKey(["toy", "decisions"])

@dg.asset(key=KEY, partitions_def=dg.DailyPartitionsDefinition("2024-01-01"),
          backfill_policy=dg.BackfillPolicy.single_run())
def decisions():
    pass

@dg.sensor(name="toy_sensor", job_name="toy_monitor", default_status=dg.DefaultSensorStatus.STOPPED)
def sensor(context):
    pass

JOB = dg.define_asset_job("toy_monitor", selection=[decisions])
SCHEDULE = daily_schedule("toy_daily", JOB, KEY, {at!r}, model="toy", description="")
defs = dg.Definitions(assets=[decisions], jobs=[JOB], schedules=[SCHEDULE], sensors=[sensor])
"""
STOP = """
mutation Stop($id: String!) { stopRunningSchedule(id: $id) { ... on ScheduleStateResult { scheduleState { status } } } }
"""
RELOAD = 'mutation { reloadRepositoryLocation(repositoryLocationName: "toy.py") { __typename } }'
STATE = "{ schedulesOrError(repositorySelector: %s) { ... on Schedules { results { scheduleState { id } } } } }"
REPOSITORY = '{repositoryName: "__repository__", repositoryLocationName: "toy.py"}'


@contextmanager
def dagster(settings: Settings, code: str) -> Iterator[str]:
    """The address of a Dagster UI, with its daemon, of a file with definitions."""
    settings.dagster_home.mkdir(parents=True, exist_ok=True)
    (settings.dagster_home / "dagster.yaml").write_text(DAGSTER_YAML)
    (settings.root / "toy.py").write_text(code)
    with free_port() as port:
        arguments = ["-m", "dagster", "dev", "-f", str(settings.root / "toy.py"), "-h", "127.0.0.1", "-p", str(port)]
        environment = {"DAGSTER_HOME": str(settings.dagster_home), "LIFECYCLE_HOME": str(settings.root)}
        service = Service("dagster", [sys.executable, *arguments], port, "/server_info", environment)
        with running([service], settings.root / "logs"):
            yield service.url


def alerts(settings: Settings) -> list[Alert]:
    path = settings.root / "alerts.jsonl"
    return [msgspec.json.decode(line, type=Alert) for line in path.read_bytes().splitlines()] if path.exists() else []


def stop_schedule(url: str) -> None:
    found = httpx.post(f"{url}/graphql", json={"query": STATE % REPOSITORY}, timeout=30).json()
    [schedule] = found["data"]["schedulesOrError"]["results"]
    variables = {"id": schedule["scheduleState"]["id"]}
    httpx.post(f"{url}/graphql", json={"query": STOP, "variables": variables}, timeout=30).raise_for_status()


def wait_for_tick(url: str) -> ScheduleStatus:
    deadline = time.monotonic() + 240
    while True:
        schedule, _ = read_schedules(url)
        if schedule.last_result not in {None, "started"}:
            return schedule
        assert time.monotonic() < deadline, "Expected the daemon to evaluate the schedule"
        time.sleep(0.5)


@pytest.mark.long  # Dagster starts, and its daemon evaluates a schedule at the next full minute
def test_the_status_follows_a_schedule_that_is_on_finds_missed_days_and_is_stopped(
    settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    later = dt.datetime.now(dt.UTC) - dt.timedelta(hours=1)
    with dagster(settings, CODE.format(at=f"{later:%H:%M}")) as url:
        DagsterApi(url).wait_until_loaded()
        # Only now, because a busy machine needs more than a minute for the start.
        soon = dt.datetime.now(dt.UTC) + dt.timedelta(seconds=75)
        yesterday = soon.date() - dt.timedelta(days=1)
        with dg.DagsterInstance.from_config(str(settings.dagster_home)) as instance:
            covered = yesterday - dt.timedelta(days=3)
            instance.report_runless_asset_event(dg.AssetMaterialization(KEY, partition=covered.isoformat()))
        (settings.root / "toy.py").write_text(CODE.format(at=f"{soon:%H:%M}"))
        httpx.post(f"{url}/graphql", json={"query": RELOAD}, timeout=60).raise_for_status()
        DagsterApi(url).wait_until_loaded()
        monkeypatch.setenv("LIFECYCLE_DAGSTER_URL", f"{url}/")
        on, sensor = read_schedules(url)
        assert on == ScheduleStatus("toy_daily", "RUNNING", None, None, f"{soon:%Y-%m-%dT%H:%M}:00+00:00")
        assert sensor == ScheduleStatus("toy_sensor", "STOPPED", None, None, None)
        assert schedule_lines(url) == [
            f"{'toy_daily':<32}running  not evaluated yet, next {on.next_at}",
            f"{'toy_sensor':<32}stopped  not evaluated yet",
        ]
        evaluated = wait_for_tick(url)
        assert evaluated.last_result == "success"
        assert evaluated.last_at is not None
        assert evaluated.last_at[:16] == f"{soon:%Y-%m-%dT%H:%M}"
        assert evaluated.next_at == f"{soon + dt.timedelta(days=1):%Y-%m-%dT%H:%M}:00+00:00"
        [alert] = alerts(settings)
        first = yesterday - dt.timedelta(days=2)
        assert alert.message == f"toy_monitor did not cover the 3 days {first} to {yesterday}."
        assert [run.tags["dagster/asset_partition_range_start"] for run in DagsterApi(url).runs("toy_monitor")] == [
            str(first)
        ]
        shown = json.loads(CliRunner().invoke(app, ["status", "--json"]).stdout)
        assert shown["schedules"] == [schedule._asdict() for schedule in read_schedules(url)]
        stop_schedule(url)
        assert read_schedules(url)[0] == evaluated._replace(status="STOPPED", next_at=None)
        assert f"stopped  last success {evaluated.last_at}\n" in CliRunner().invoke(app, ["status"]).stdout


@pytest.mark.long  # Dagster starts
def test_definitions_that_do_not_load_are_an_error_with_the_address(settings: Settings) -> None:
    broken = "raise RuntimeError('broken')"
    expected = (
        r"Expected the code location to load, got: RuntimeError: broken; .* - at http://127\.0\.0\.1:\d+/locations"
    )
    with dagster(settings, broken) as url, pytest.raises(LifecycleError, match=expected):
        read_schedules(url)


def test_an_address_without_a_dagster_ui_is_an_error_with_the_remedy() -> None:
    with free_port() as port, pytest.raises(LifecycleError, match=r"got ConnectError; start it with `lifecycle up`"):
        read_schedules(f"http://127.0.0.1:{port}")


@pytest.mark.parametrize("body", [b"<html>", b"{}", b'{"data": null}'])
def test_another_server_at_the_address_is_an_error_with_the_remedy(body: bytes) -> None:
    class Other(http.server.BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            self.send_response(200)
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - the name of the base class
            """Requests are not logged."""

    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Other) as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.01,))
        thread.start()
        try:
            with pytest.raises(LifecycleError, match=r"Expected the Dagster UI, got \w+; .*LIFECYCLE_DAGSTER_URL"):
                schedule_lines(f"http://127.0.0.1:{server.server_address[1]}")
        finally:
            server.shutdown()
            thread.join()
