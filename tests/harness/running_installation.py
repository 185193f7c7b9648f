"""An installation whose real processes run, fail and move: started by `lifecycle up`, operated by its own commands."""

import contextlib
import json
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, fields
from pathlib import Path
from typing import Any

import httpx
import pytest
from dagster import DagsterRunStatus
from dagster_graphql import DagsterGraphQLClient

from lifecycle.assets.partitions import PARTITION_TAG, RANGE_END_TAG, RANGE_START_TAG
from lifecycle.assets.resources import Stores
from lifecycle.errors import LifecycleError
from lifecycle.local.dagster_api import ANSWER_SECONDS, DagsterApi, Run
from lifecycle.local.installation import addresses
from lifecycle.local.ports import free_port
from lifecycle.local.processes import Ports
from lifecycle.settings.platform import Settings

TIMEOUT_SECONDS = 600.0
_LAUNCH_BACKFILL = """
mutation Launch($params: LaunchBackfillParams!) {
  launchPartitionBackfill(backfillParams: $params) {
    __typename
    ... on LaunchBackfillSuccess { backfillId }
    ... on PythonError { message }
  }
}"""
_BACKFILL = """
query Backfill($id: String!) {
  partitionBackfillOrError(backfillId: $id) { ... on PartitionBackfill { status runs(limit: 100) { runId status } } }
}"""
_LATEST_RELEASE = """
query Latest($path: [String!]!) {
  assetOrError(assetKey: {path: $path}) {
    ... on Asset {
      assetMaterializations(limit: 1) { metadataEntries { label ... on TextMetadataEntry { text } } }
    }
  }
}"""


class RunningInstallation:
    """One home, and the processes of `lifecycle up` on it."""

    def __init__(self, home: Path, ports: Ports, patch: pytest.MonkeyPatch) -> None:
        self.ports = ports
        self._patch = patch
        self._process: subprocess.Popen[bytes] | None = None
        self._use(home)

    @property
    def serving_url(self) -> str:
        """Address of the scoring server."""
        return addresses(self.ports)["Scoring API"]

    @property
    def dagster(self) -> DagsterApi:
        """Dagster's interface."""
        return DagsterApi(addresses(self.ports)["Dagster UI"])

    @property
    def stores(self) -> Stores:
        """The stores of the home, as assets and sensors read them."""
        return Stores()

    def start(self) -> None:
        """Start everything and return once Dagster has loaded the models and the server answers."""
        ports = [part for name, port in asdict(self.ports).items() for part in (f"--{name}-port", str(port))]
        with (self.home.parent / "up.log").open("ab") as log:
            self._process = subprocess.Popen(
                [*_program(), "up", *ports],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )
        self.wait(self._is_answering, "the processes of lifecycle up to answer")
        self.dagster.wait_until_loaded()

    def stop(self) -> None:
        """End everything as an operator does."""
        if self._process is not None:
            self._process.terminate()
            try:
                self._process.wait(timeout=60)
            except subprocess.TimeoutExpired:
                self.cut_power()
            self._process = None

    def cut_power(self) -> None:
        """Kill every process of this home at once."""
        assert self._process is not None
        for process in self.processes():
            with contextlib.suppress(ProcessLookupError):
                os.kill(process, signal.SIGKILL)
        self._process.wait(timeout=60)
        self._process = None

    def move_to_copy(self, home: Path) -> None:
        """Continue on a copy; the original is gone."""
        shutil.copytree(self.home, home, symlinks=True)
        shutil.rmtree(self.home)
        self._use(home)

    def processes(self) -> list[int]:
        """Ids of `lifecycle up` and of every process that descends from it."""
        assert self._process is not None
        children: dict[int, list[int]] = {}
        for folder in Path("/proc").iterdir():
            with contextlib.suppress(OSError, ValueError):
                parent = int((folder / "stat").read_text().rpartition(")")[2].split()[1])
                children.setdefault(parent, []).append(int(folder.name))
        found = [self._process.pid]
        for process in found:
            found += children.get(process, [])
        return found

    def command(self, *arguments: str) -> str:
        """Run a `lifecycle` command and return what it prints; a failure is an assertion with its output."""
        program = [*_program(), *arguments]
        done = subprocess.run(program, check=False, capture_output=True, text=True, timeout=TIMEOUT_SECONDS)
        assert done.returncode == 0, f"lifecycle {' '.join(arguments)}: {done.stdout}{done.stderr}"
        return done.stdout

    def launch(self, job: str, first: str, last: str | None = None) -> str:
        """Launch a job on one partition, or on a range with both ends, and return the run's id."""
        tags = {PARTITION_TAG: first} if last is None else {RANGE_START_TAG: first, RANGE_END_TAG: last}
        return self.dagster.launch(job, tags)

    def run(self, job: str, first: str, last: str | None = None) -> None:
        """Launch a job and wait until it has succeeded."""
        self.dagster.wait(self.launch(job, first, last), lambda: None)

    def ask(self, query: str, **variables: Any) -> dict[str, Any]:
        """The only answer of a GraphQL query to Dagster."""
        document = httpx.post(
            f"{self.dagster.url}/graphql", json={"query": query, "variables": variables}, timeout=300.0
        ).json()
        assert "errors" not in document, document
        [answer] = document["data"].values()
        return dict(answer)

    def launch_backfill(self, assets: Sequence[Sequence[str]], names: Sequence[str]) -> Callable[[], dict[str, Any]]:
        """Launch a backfill of assets and partitions as the UI does; what is returned asks for its status and runs."""
        selection = [{"path": list(path)} for path in assets]
        params = {"assetSelection": selection, "partitionNames": list(names), "tags": []}
        launched = self.ask(_LAUNCH_BACKFILL, params=params)
        assert launched["__typename"] == "LaunchBackfillSuccess", launched
        return lambda: self.ask(_BACKFILL, id=launched["backfillId"])

    def failure(self, run_id: str) -> str | None:
        """Wait until a run has ended; its error, ``None`` if it succeeded."""
        try:
            self.dagster.wait(run_id, lambda: None)
        except LifecycleError as error:
            return str(error)
        return None

    def is_started(self, run_id: str) -> bool:
        """Whether Dagster takes a run for running."""
        client = DagsterGraphQLClient("127.0.0.1", self.ports.dagster, timeout=ANSWER_SECONDS)
        return client.get_run_status(run_id) is DagsterRunStatus.STARTED

    def sensor_runs(self, job: str) -> list[Run]:
        """The runs that the sensor of a job started, newest first."""
        return [run for run in self.dagster.runs(job) if "dagster/sensor_name" in run.tags]

    def champions(self, model: str) -> dict[str, str]:
        """Digest of the champion's bundle by what each part of the platform says."""
        return {
            "release store": self.released(model),
            "server": self.served(model),
            "command line": self._listed(model),
            "MLflow": self._aliased(model),
            "Dagster": self._materialised(model),
        }

    def wait(self, is_done: Callable[[], bool], expected: str, timeout_seconds: float = TIMEOUT_SECONDS) -> None:
        """Return once `is_done`; an assertion that names what was expected if that takes too long."""
        deadline = time.monotonic() + timeout_seconds
        while not is_done():
            assert time.monotonic() < deadline, f"Expected {expected} within {timeout_seconds:.0f} s"
            time.sleep(0.2)

    def _use(self, home: Path) -> None:
        self.home = home
        self._patch.setenv("LIFECYCLE_HOME", str(home))
        self.settings = Settings()

    def _is_answering(self) -> bool:
        assert self._process is not None
        assert self._process.poll() is None, (self.home.parent / "up.log").read_text()[-3000:]
        with contextlib.suppress(httpx.TransportError):
            return all(httpx.get(url, timeout=2.0).status_code < 500 for url in self._health())
        return False

    def _health(self) -> list[str]:
        urls = addresses(self.ports)
        return [f"{urls['Dagster UI']}/server_info", f"{urls['MLflow UI']}/health", f"{self.serving_url}/healthz"]

    def released(self, model: str) -> str:
        """Digest of the champion's bundle in the release store."""
        release = self.stores.releases().latest(model)
        assert release is not None
        return release.champion.bundle_digest

    def served(self, model: str) -> str:
        """Digest of the bundle that the server decides with; empty if it has none."""
        answer: dict[str, Any] = httpx.get(f"{self.serving_url}/v1/models/{model}", timeout=5.0).json()
        return str(answer.get("bundle_digest"))

    def _listed(self, model: str) -> str:
        listed = json.loads(self.command("releases", model, "--json"))
        return str(listed["releases"][-1]["champion"]["bundle_digest"])

    def _aliased(self, model: str) -> str:
        import mlflow

        client = mlflow.MlflowClient(addresses(self.ports)["MLflow UI"])
        return str(client.get_model_version_by_alias(model, "champion").tags["bundle_digest"])

    def _materialised(self, model: str) -> str:
        entries = self.ask(_LATEST_RELEASE, path=[model, "release"])["assetMaterializations"][0]["metadataEntries"]
        return str({entry["label"]: entry.get("text") for entry in entries}["bundle_digest"])


@contextlib.contextmanager
def running_installation(home: Path, profile: str | None = "demo") -> Iterator[RunningInstallation]:
    """An installation in a profile at `home`, not started yet; ends with all of its processes."""
    with contextlib.ExitStack() as stack:
        patch = stack.enter_context(pytest.MonkeyPatch.context())
        if profile is None:
            patch.delenv("LIFECYCLE_PROFILE", raising=False)
        else:
            patch.setenv("LIFECYCLE_PROFILE", profile)
        ports = Ports(*(stack.enter_context(free_port()) for _ in fields(Ports)))
        installation = RunningInstallation(home, ports, patch)
        try:
            yield installation
        finally:
            installation.stop()


def _program() -> list[str]:
    return [str(Path(sys.executable).with_name("lifecycle"))]
