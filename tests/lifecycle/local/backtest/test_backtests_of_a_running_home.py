"""Backtests of a running installation: real backfills with and without a champion, and twelve dates by the command."""

import datetime as dt
import json
import re
import shutil
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import dagster as dg
import pytest

from lifecycle.assets.keys import ModelKeys
from lifecycle.assets.mirror import newest_metadata
from lifecycle.cli.run import DEMO_SEED
from lifecycle.local.demo.story import FEATURES_JOB, demo_world
from lifecycle.local.demo.timeline import Timeline, timeline
from lifecycle.local.installation import addresses
from lifecycle.local.simulator import SIMULATED, simulate
from lifecycle.reports.backtest_report import PLOT
from lifecycle.settings.platform import Settings
from lifecycle.spec.model_files import read_model
from tests.harness.running_installation import RunningInstallation, running_installation
from tests.harness.toy_home import ToyHome

pytestmark = [pytest.mark.long, pytest.mark.timeout(2400), pytest.mark.filterwarnings("ignore")]
MODEL = "card_fraud"
DAY = dt.timedelta(days=1)
DATES = 12
KEYS = ModelKeys(MODEL)
_AGAIN = """
mutation Again($params: ReexecutionParams!) {
  launchRunReexecution(reexecutionParams: $params) {
    __typename
    ... on LaunchRunSuccess { run { runId tags { key value } } }
    ... on PythonError { message }
  }
}"""


@dataclass(frozen=True)
class World:
    """An installation with simulated days and built features, and its model's file."""

    installation: RunningInstallation
    days: Timeline
    file: Path

    @property
    def home(self) -> ToyHome:
        """What a backtest must leave as it is."""
        return ToyHome(self.installation.settings, self.file.parents[1])

    def backfill(self, *dates: dt.date) -> list[str]:
        """Run a backfill of the training assets and their gates as the UI does; its runs, all of which succeed."""
        training = (KEYS.training_set, KEYS.candidate, KEYS.model_version, KEYS.release)
        state = self.installation.launch_backfill([key.path for key in training], [date.isoformat() for date in dates])
        self.installation.wait(lambda: state()["status"] not in {"REQUESTED", "CANCELING"}, "the backfill to end")
        runs = state()["runs"]
        failures = [self.installation.failure(run["runId"]) for run in runs]
        assert failures == [None] * len(dates)
        return [run["runId"] for run in runs]

    def set_minimum_positives(self, number: int) -> None:
        """Change a threshold of the demonstration's gates, and load the model again."""
        text, count = re.subn(r"(minimum_rows: 5000, minimum_\w+): \d+", rf"\1: {number}", self.file.read_text())
        assert count == 1
        self.file.write_text(text)
        self.installation.dagster.reload()

    def versions(self) -> int:
        """Number of the model's versions in MLflow."""
        import mlflow

        client = mlflow.MlflowClient(addresses(self.installation.ports)["MLflow UI"])
        return len(client.search_model_versions(f"name='{MODEL}'"))

    def untouched(self) -> dict[str, str]:
        """Digests of what a backtest must leave as it is; MLflow's server writes its own database."""
        return {path: digest for path, digest in self.home.untouched().items() if "/mlflow/" not in path}


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    folder = tmp_path_factory.mktemp("running")
    shutil.copytree(Settings().models / MODEL, folder / "models" / MODEL)
    search_once(folder / "models" / MODEL / "defs.yaml")
    with pytest.MonkeyPatch.context() as patch, running_installation(folder / "home") as installation:
        patch.setenv("LIFECYCLE_MODELS", str(folder / "models"))
        installation.command("init")
        days = timeline(read_model(MODEL, "demo"), dt.datetime.now(dt.UTC).date())
        simulate(demo_world(days.first_day, days.end_day, DEMO_SEED), folder / "simulated")
        for relation in SIMULATED:
            installation.command("warehouse", "load", relation, str(folder / "simulated" / relation))
        installation.start()
        installation.run(FEATURES_JOB, days.first_day.isoformat(), (days.end_day - DAY).isoformat())
        yield World(installation, days, folder / "models" / MODEL / "defs.yaml")


def search_once(file: Path) -> None:
    """Train by the default parameters alone: twelve dates need no search."""
    text, count = re.subn(r"search: \{trials: 4\}", "search: {trials: 1}", file.read_text())
    assert count == 1
    file.write_text(text)


def test_backtests_touch_nothing_whatever_is_the_champion(world: World) -> None:
    installation, home, first = world.installation, world.home, world.days.live_start
    releases = home.stores.releases()
    runs = world.backfill(first, first + 7 * DAY)
    again = world.installation.ask(_AGAIN, params={"parentRunId": runs[0], "strategy": "ALL_STEPS"})
    assert again["__typename"] == "LaunchRunSuccess", again
    assert "dagster/backfill" not in {tag["key"] for tag in again["run"]["tags"]}
    assert installation.failure(again["run"]["runId"]) is None
    assert releases.history(MODEL) == ()
    assert world.versions() == 0
    assert not (home.settings.root / "alerts.jsonl").exists()
    assert not (home.settings.evidence_dir / MODEL / "gates").exists()

    installation.command("release", "--first", MODEL, "--as-of", str(first), "--reason", "test")
    history = releases.history(MODEL)
    assert [release.champion.as_of for release in history] == [first.isoformat()]
    champion = history[0].champion.bundle_digest
    assert installation.champions(MODEL) == dict.fromkeys(installation.champions(MODEL), champion)
    assert world.versions() == 1

    world.set_minimum_positives(100_000)
    world.backfill(first - 7 * DAY, first + 7 * DAY)
    candidate = home.stores.candidates(MODEL).current((first + 7 * DAY).isoformat())
    assert not home.stores.evidence(MODEL).gates(candidate.digest, is_backtest=True).is_passed
    assert releases.history(MODEL) == history
    assert world.versions() == 1
    assert not (home.settings.root / "alerts.jsonl").exists()
    world.set_minimum_positives(30)


def test_twelve_dates_by_one_command_touch_nothing(world: World, tmp_path: Path) -> None:
    home, last = world.home, world.days.end_day
    before, runs, versions = world.untouched(), home.runs(), world.versions()
    first = last - 2 * (DATES - 1) * DAY
    span = ["--from", str(first), "--to", str(last), "--every", "2", "--html", str(tmp_path / "page.html")]
    found = json.loads(world.installation.command("backtest", MODEL, *span, "--json"))
    assert world.untouched() == before
    assert home.runs() == runs
    assert world.versions() == versions
    assert len(found["dates"]) == DATES
    assert all(date["result"] for date in found["dates"])
    assert (tmp_path / "page.html").read_text().count(str(last)) > 1
    with dg.DagsterInstance.from_config(str(home.settings.dagster_home)) as instance:
        shown = newest_metadata(instance, KEYS.backtest)
    assert shown["computed_dates"] == DATES
    assert "data:image/png;base64," in shown[PLOT]
