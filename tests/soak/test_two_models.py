"""Two models in one installation and one server: breaking the file of either leaves the other as it was."""

import datetime as dt
import json
import secrets
import shutil
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import httpx
import pytest
import yaml

from lifecycle.assets.keys import ModelKeys
from lifecycle.cli.run import DEMO_SEED
from lifecycle.local.demo.story import FEATURES_JOB, demo_world
from lifecycle.local.demo.timeline import Timeline, timeline
from lifecycle.local.simulator import SIMULATED, simulate
from lifecycle.local.simulator.credit import CreditConfig, simulate_credit
from lifecycle.releases.alert_log import ALERTS_FILE
from lifecycle.settings.platform import Settings
from lifecycle.spec.model_files import read_model
from tests.harness.running_installation import RunningInstallation, running_installation

pytestmark = [pytest.mark.soak, pytest.mark.timeout(2400), pytest.mark.filterwarnings("ignore")]
CARDS, CREDIT = "card_fraud", "credit_default"
DAY = dt.timedelta(days=1)
CREDIT_TABLES = ("credit_clients", "credit_outcomes", "credit_protected")
CREDIT_DAYS = 320
"""Two gaps and the maturity, of 60 days each, are 180 of them."""
CREDIT_WINDOWS = {"train": 70, "validation": 14, "holdout": 14, "search": {"trials": 2, "metric": "roc_auc"}}


@dataclass(frozen=True)
class World:
    """A running installation whose two models each have one release."""

    installation: RunningInstallation
    days: Timeline
    models: Path

    def train(self, model: str, as_of: dt.date) -> None:
        """Train, judge and, where the model has a champion, release by itself."""
        self.installation.run(ModelKeys(model).retrain_job, as_of.isoformat())

    def released_as_of(self, model: str) -> list[str]:
        """The champions' dates, oldest first, as the command line lists them."""
        listed = json.loads(self.installation.command("releases", model, "--json"))["releases"]
        return [release["champion"]["as_of"] for release in listed]

    def decide(self, model: str) -> tuple[str, str]:
        """The decision on the model's own example, and the bundle that made it."""
        url = f"{self.installation.serving_url}/v1/models/{model}"
        new = dict.fromkeys(("decision_id", "transaction_id"), secrets.token_hex(8))
        answer = httpx.post(f"{url}/score", json=httpx.get(url).json()["example"] | new)
        assert answer.status_code == 200, answer.text
        return answer.json()["decision"], answer.json()["bundle_digest"]

    def alerted(self) -> list[str]:
        """Models whose file an alert names as faulty."""
        file = self.installation.settings.root / ALERTS_FILE
        alerts = [json.loads(line) for line in file.read_text().splitlines()] if file.exists() else []
        return [alert["model"] for alert in alerts if alert["kind"] == "faulty_model"]


def with_short_windows(file: Path) -> None:
    """Let the credit model train on the simulated days."""
    document = yaml.safe_load(file.read_text())
    attributes = document["attributes"]
    attributes["training"] = CREDIT_WINDOWS
    attributes["promotion"] = {"mode": "auto"}
    attributes["gates"] |= {"minimum_rows": 1000, "minimum_positives": 60}
    # The short holdout has too few events in the smaller groups.
    attributes["fairness"] = {"profile": "none"}
    file.write_text(yaml.safe_dump(document, sort_keys=False))


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    folder = tmp_path_factory.mktemp("two_models")
    for model in (CARDS, CREDIT):
        shutil.copytree(Settings().models / model, folder / "models" / model)
    with_short_windows(folder / "models" / CREDIT / "defs.yaml")
    with pytest.MonkeyPatch.context() as patch, running_installation(folder / "home") as installation:
        patch.setenv("LIFECYCLE_MODELS", str(folder / "models"))
        installation.command("init")
        days = timeline(read_model(CARDS, "demo"), dt.datetime.now(dt.UTC).date())
        simulate(demo_world(days.first_day, days.end_day, DEMO_SEED), folder / "raw")
        start = days.end_day - CREDIT_DAYS * DAY
        simulate_credit(CreditConfig(start, CREDIT_DAYS, clients=3000), folder / "raw", lambda *_: None)
        for table in (*SIMULATED, *CREDIT_TABLES):
            installation.command("warehouse", "load", table, str(folder / "raw" / table))
        installation.start()
        installation.run(FEATURES_JOB, start.isoformat(), (days.end_day - DAY).isoformat())
        made = World(installation, days, folder / "models")
        for model in (CARDS, CREDIT):
            made.train(model, days.live_start)
            installation.command("release", "--first", model, "--as-of", str(days.live_start), "--reason", "test")
        yield made


def test_one_server_decides_with_both(world: World) -> None:
    installation = world.installation
    for model in (CARDS, CREDIT):
        expected = installation.released(model)
        installation.wait(
            lambda model=model, expected=expected: installation.served(model) == expected,  # type: ignore[misc]
            f"the server to decide with {expected}",
        )
        assert world.decide(model)[1] == expected
    assert len({installation.released(model) for model in (CARDS, CREDIT)}) == 2


@pytest.mark.parametrize(("broken", "other"), [(CREDIT, CARDS), (CARDS, CREDIT)])
def test_breaking_either_file_leaves_the_other_training_releasing_and_serving(
    world: World, broken: str, other: str
) -> None:
    installation, file = world.installation, world.models / broken / "defs.yaml"
    before, text, alerts = world.decide(broken), file.read_text(), len(world.alerted())
    file.write_text(text.replace("features:", "feature:", 1))
    try:
        installation.dagster.reload()
        installation.wait(lambda: broken in world.alerted()[alerts:], f"an alert on the file of {broken}")
        assert other not in world.alerted()[alerts:]
        world.train(other, world.days.end_day)
        assert world.released_as_of(other) == [str(world.days.live_start), str(world.days.end_day)]
        expected = installation.released(other)
        installation.wait(lambda: installation.served(other) == expected, f"the server to decide with {expected}")
        assert set(installation.champions(other).values()) == {expected}
        # The broken model's release needs its file no longer.
        assert world.decide(broken) == before
    finally:
        file.write_text(text)
        installation.dagster.reload()
    installation.wait(lambda: installation.served(broken) == before[1], "the mended model to be served as before")
