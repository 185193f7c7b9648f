"""Runs of a process that was killed, on a real Dagster storage."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import dagster as dg
import pytest

from lifecycle.errors import LifecycleError
from lifecycle.local.dagster_api import DagsterApi
from lifecycle.local.installation import DAGSTER_YAML
from lifecycle.local.lost_runs import fail_lost_runs, has_process
from lifecycle.local.ports import free_port
from lifecycle.local.processes import Service, running
from lifecycle.settings.platform import Settings

SLEEPER = """
import sys, time
import dagster as dg

@dg.op
def waits():
    print("waiting", flush=True)
    time.sleep(600)

@dg.job(name="toy_retrain")
def job():
    waits()

with dg.DagsterInstance.from_config(sys.argv[1]) as instance:
    job.execute_in_process(instance=instance)
"""


@pytest.fixture
def home(settings: Settings) -> Path:
    settings.dagster_home.mkdir(parents=True)
    (settings.dagster_home / "dagster.yaml").write_text(DAGSTER_YAML)
    return settings.dagster_home


def statuses(home: Path) -> dict[str, dg.DagsterRunStatus]:
    with dg.DagsterInstance.from_config(str(home)) as instance:
        return {run.run_id: run.status for run in instance.get_runs()}


@pytest.mark.long  # starts a program that imports Dagster
def test_a_run_is_failed_once_its_process_was_killed_and_not_before(settings: Settings, home: Path) -> None:
    command = [sys.executable, "-c", SLEEPER, str(home)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True) as process:
        try:
            assert process.stdout is not None
            assert process.stdout.readline() == "waiting\n"
            assert fail_lost_runs(settings) == []
            [run_id] = statuses(home)
        finally:
            process.kill()
    assert process.returncode == -signal.SIGKILL
    assert statuses(home) == {run_id: dg.DagsterRunStatus.STARTED}
    assert fail_lost_runs(settings) == [run_id]
    assert statuses(home) == {run_id: dg.DagsterRunStatus.FAILURE}
    assert fail_lost_runs(settings) == []


def test_a_number_that_another_process_has_now_does_not_keep_a_run_alive(settings: Settings, home: Path) -> None:
    with dg.DagsterInstance.from_config(str(home)) as instance:
        for number, timestamp in ((1, 1_000_000_000.0), (2, None)):
            run = dg.DagsterRun(job_name="toy_retrain", run_id=f"{number}" * 36, status=dg.DagsterRunStatus.STARTED)
            instance.add_run(run)
            report(instance, run, os.getpid(), timestamp)
    assert fail_lost_runs(settings) == ["1" * 36]


def report(instance: dg.DagsterInstance, run: dg.DagsterRun, pid: int, timestamp: float | None) -> None:
    """Report that a process executes a run, at a time or now."""
    from dagster._core.events import EngineEventData

    with pytest.MonkeyPatch.context() as patch:
        if timestamp is not None:
            patch.setattr("time.time", lambda: timestamp)
        instance.report_engine_event("executing", run, EngineEventData.in_process(pid))


def test_a_run_that_never_got_a_process_is_failed_and_a_finished_one_is_left(settings: Settings, home: Path) -> None:
    with dg.DagsterInstance.from_config(str(home)) as instance:
        for number, status in enumerate((dg.DagsterRunStatus.STARTING, dg.DagsterRunStatus.SUCCESS)):
            instance.add_run(dg.DagsterRun(job_name="toy_retrain", run_id=f"{number}" * 36, status=status))
    assert fail_lost_runs(settings) == ["0" * 36]
    assert statuses(home)["1" * 36] == dg.DagsterRunStatus.SUCCESS


@pytest.mark.filterwarnings("ignore")  # of the client of Dagster
@pytest.mark.long  # starts the daemon
@pytest.mark.timeout(600)
def test_a_run_that_hangs_is_failed_after_the_maximum_run_time_and_its_process_ends(home: Path, tmp_path: Path) -> None:
    text = DAGSTER_YAML.replace("max_runtime_seconds: 21600", "max_runtime_seconds: 5\n  poll_interval_seconds: 1")
    assert text != DAGSTER_YAML
    (home / "dagster.yaml").write_text(text)
    code = tmp_path / "hanging.py"
    code.write_text(SLEEPER.partition("with dg.")[0])
    with free_port() as port:
        command = [sys.executable, "-m", "dagster", "dev", "-f", str(code), "-p", str(port)]
        service = Service("dagster", command, port, "/server_info", {"DAGSTER_HOME": str(home)})
        with running([service], tmp_path / "logs"):
            api = DagsterApi(service.url)
            api.wait_until_loaded()
            run_id = api.launch("toy_retrain", {})
            with pytest.raises(LifecycleError, match="it ended with FAILURE"):
                api.wait(run_id, lambda: None)
            with dg.DagsterInstance.from_config(str(home)) as instance:
                messages = [event.message for event in instance.all_logs(run_id)]
                assert any("Exceeded maximum runtime of 5 seconds" in message for message in messages)
                deadline = time.monotonic() + 60
                while has_process(instance, run_id):
                    assert time.monotonic() < deadline
                    time.sleep(0.5)
