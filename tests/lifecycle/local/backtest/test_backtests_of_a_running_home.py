"""Backtests of a running installation: real backfills with and without a champion, and twelve dates by the command."""

import datetime as dt
import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import dagster as dg
import pytest

from lifecycle.assets.keys import ModelKeys
from lifecycle.assets.mirror import newest_metadata
from lifecycle.local.installation import addresses
from lifecycle.reports.backtest_report import PLOT
from tests.harness.running_installation import RunningInstallation, running_installation
from tests.harness.toy_home import FIRST_AS_OF, ToyHome, toy_home

pytestmark = [pytest.mark.long, pytest.mark.timeout(2400), pytest.mark.filterwarnings("ignore")]
MODEL = "toy"
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
    """A running installation with a month of the toy model's transactions."""

    installation: RunningInstallation
    home: ToyHome

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
        """Change a threshold of the gates, and load the model again."""
        self.home.write(gates={"minimum_rows": 100, "minimum_positives": number})
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
    root = tmp_path_factory.mktemp("running") / "home"
    with pytest.MonkeyPatch.context() as patch:
        home = toy_home(root, patch, rows=16_000)
        with running_installation(root, profile=None) as installation:
            installation.start()
            yield World(installation, home)


def test_backtests_touch_nothing_whatever_is_the_champion(world: World) -> None:
    installation, home, first = world.installation, world.home, FIRST_AS_OF + DAY
    releases = home.stores.releases()
    runs = world.backfill(first, first + DAY)
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
    world.backfill(first - DAY, first + DAY)
    candidate = home.stores.candidates(MODEL).current((first + DAY).isoformat())
    assert not home.stores.evidence(MODEL).gates(candidate.digest, is_backtest=True).is_passed
    assert releases.history(MODEL) == history
    assert world.versions() == 1
    assert not (home.settings.root / "alerts.jsonl").exists()
    world.set_minimum_positives(5)


def test_twelve_dates_by_one_command_touch_nothing(world: World, tmp_path: Path) -> None:
    home, last = world.home, FIRST_AS_OF + (DATES - 1) * DAY
    before, runs, versions = world.untouched(), home.runs(), world.versions()
    span = ["--from", str(FIRST_AS_OF), "--to", str(last), "--every", "1", "--html", str(tmp_path / "page.html")]
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
