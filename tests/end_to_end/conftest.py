"""One small installation, taken from raw rows to a release by real Dagster runs, for all tests of this folder."""

import contextlib
import datetime as dt
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import dagster as dg
import httpx
import pytest

from lifecycle.assets.partitions import RANGE_END_TAG, RANGE_START_TAG
from lifecycle.assets.resources import Stores
from lifecycle.cli.run import DEMO_SEED
from lifecycle.local import snowflake as local_snowflake
from lifecycle.local.demo.live import requests_of
from lifecycle.local.demo.story import demo_world
from lifecycle.local.demo.timeline import Timeline, timeline
from lifecycle.local.demo.traffic import Replay, replay
from lifecycle.local.installation import prepare
from lifecycle.local.ports import free_port
from lifecycle.local.processes import serving_environment
from lifecycle.local.simulator import SIMULATED, simulate
from lifecycle.local.snowflake import LocalSnowflake
from lifecycle.settings.child_environment import SERVER_PREFIXES, child_environment
from lifecycle.settings.platform import Settings
from lifecycle.spec.model_files import read_model
from lifecycle.spec.risk_model import RiskModelSpec
from lifecycle.warehouse import Use, open_warehouse
from lifecycle.warehouse.loading.load import load
from tests.harness.foreign_environment import FOREIGN

MODEL = "card_fraud"
IN_PROCESS = ("AWS_", "DATABRICKS_", "DBT_", "GIT_", "LIFECYCLE_", "MLFLOW_")
"""Foreign variables that must change nothing although this process, which is no command of ours, keeps them."""


@dataclass(frozen=True)
class World:
    """An installation with simulated days, and Dagster's definitions and storage over it."""

    settings: Settings
    spec: RiskModelSpec
    days: Timeline
    definitions: dg.Definitions
    instance: dg.DagsterInstance
    endpoint: LocalSnowflake | None
    """Where its warehouse is in Snowflake."""

    @property
    def installation(self) -> Stores:
        return Stores()

    def run(self, job: str, partition: dt.date, **tags: str) -> dg.ExecuteInProcessResult:
        """Run a job of one date; tags are given with ``__`` for a slash."""
        return self.definitions.resolve_job_def(job).execute_in_process(
            partition_key=partition.isoformat(),
            instance=self.instance,
            raise_on_error=False,
            tags={name.replace("__", "/"): value for name, value in tags.items()},
        )

    def run_range(self, job: str, start: dt.date, end: dt.date) -> dg.ExecuteInProcessResult:
        last = (end - dt.timedelta(days=1)).isoformat()
        tags = {RANGE_START_TAG: start.isoformat(), RANGE_END_TAG: last}
        return self.definitions.resolve_job_def(job).execute_in_process(
            tags=tags, instance=self.instance, raise_on_error=False
        )


@pytest.fixture(scope="module", params=["duckdb", "snowflake"])
def world(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    home = tmp_path_factory.mktemp("end_to_end") / "home"
    with contextlib.ExitStack() as stack:
        patch = stack.enter_context(pytest.MonkeyPatch.context())
        instance = stack.enter_context(dg.DagsterInstance.ephemeral())
        endpoint = None
        if request.param == "snowflake":
            endpoint = stack.enter_context(local_snowflake.running(home / "endpoint", arguments=("--enforce",)))
            for name, value in endpoint.environment().items():
                patch.setenv(name, value)
        for name, value in FOREIGN.items():
            if name.startswith(IN_PROCESS):
                patch.setenv(name, value)
        patch.setenv("LIFECYCLE_HOME", str(home))
        patch.setenv("LIFECYCLE_PROFILE", "demo")
        settings = Settings()
        prepare(settings)
        spec = read_model(MODEL, settings.profile)
        days = timeline(spec, dt.date(2026, 11, 20))
        _load_simulated(settings, days, home / "simulated")
        from lifecycle.definitions import defs

        definitions = defs() if callable(defs) else defs
        made = World(settings, spec, days, definitions, instance, endpoint)
        assert made.run_range("features", days.first_day, days.end_day).success
        yield made


def _load_simulated(settings: Settings, days: Timeline, folder: Path) -> None:
    simulate(demo_world(days.first_day, days.end_day, DEMO_SEED), folder)
    for relation in SIMULATED:
        load(open_warehouse(settings, Use("load")), relation, folder / relation)


@contextlib.contextmanager
def server(world: World, **settings: str) -> Iterator[str]:
    """The real server over the world's release store, with further settings; its address."""
    with free_port() as port:
        environment = child_environment(*SERVER_PREFIXES) | serving_environment(world.settings, port) | settings
        process = subprocess.Popen([sys.executable, "-m", "serving"], env=environment, stderr=subprocess.PIPE)
        url = f"http://127.0.0.1:{port}"
        try:
            deadline = time.monotonic() + 60
            while time.monotonic() < deadline:
                with contextlib.suppress(httpx.TransportError):
                    if httpx.get(f"{url}/readyz").status_code == 200:
                        break
                time.sleep(0.1)
            yield url
        finally:
            process.terminate()
            process.communicate(timeout=30)


def decide(world: World, url: str, start: dt.date, end: dt.date) -> Replay:
    """Send the requests of ``[start, end)``."""
    requests = requests_of(open_warehouse(world.settings), world.spec, start, end)
    return replay(url, MODEL, requests)
