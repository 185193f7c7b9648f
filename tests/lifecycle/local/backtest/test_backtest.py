"""`lifecycle backtest` as processes: it touches nothing, goes on after a kill, and mixes no results."""

import base64
import datetime as dt
import json
import os
import signal
import time
from pathlib import Path
from typing import Any

import dagster as dg
import pytest

from lifecycle.artefacts.backtests import ASKED_FILE
from lifecycle.assets.keys import ModelKeys
from lifecycle.assets.mirror import newest_metadata
from lifecycle.gates.candidate_gates import GATES
from lifecycle.reports.backtest_report import PLOT
from lifecycle.spec.dbt_projects import PACKAGE_DIR
from lifecycle.warehouse import Use, open_warehouse
from tests.harness.toy_home import FIRST_AS_OF, ToyHome, toy_home

pytestmark = pytest.mark.timeout(600)
DAY = dt.timedelta(days=1)


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> ToyHome:
    return toy_home(tmp_path / "home", monkeypatch)


def asked(dates: int, every: int = 3, *more: str) -> list[str]:
    """Arguments of a backtest of some dates."""
    last = FIRST_AS_OF + (dates - 1) * every * DAY
    return ["backtest", "toy", "--from", str(FIRST_AS_OF), "--to", str(last), "--every", str(every), "--json", *more]


def document(home: ToyHome, *arguments: str) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(home.run(*arguments))
    return found


def candidates(found: dict[str, Any]) -> list[str | None]:
    """Digest of each date's candidate."""
    results = [date["result"] for date in found["dates"]]
    return [result["ours"]["candidate_digest"] if result else None for result in results]


@pytest.mark.long
def test_a_backtest_with_a_champion_shows_its_dates_and_touches_nothing(home: ToyHome, tmp_path: Path) -> None:
    trained = document(home, "train", "toy", "--as-of", str(FIRST_AS_OF), "--json")
    digest = trained["candidate_digest"]
    home.run("release", "toy", digest[:12], "--first", "--reason", "test")
    [release] = home.stores.releases().history("toy")
    before, runs = home.untouched(), home.runs()
    page = tmp_path / "page.html"
    found = document(home, *asked(4), "--jobs", "2", "--html", str(page))
    assert home.untouched() == before
    assert home.runs() == runs
    assert [date["as_of"] for date in found["dates"]] == [str(FIRST_AS_OF + 3 * n * DAY) for n in range(4)]
    results = [date["result"] for date in found["dates"]]
    assert candidates(found)[0] == digest, "the same recipe on the same training set"
    assert {result["champion"] for result in results} == {release.champion.bundle_digest}
    assert all(len(result["ours"]["verdicts"]) == len(GATES) for result in results)
    assert [bool(date["drift"]) for date in found["dates"]] == [False, True, True, True]
    assert all(set(date["drift"]["psi"]) > {"score", "amount"} for date in found["dates"][1:])
    html = page.read_text()
    assert all(str(FIRST_AS_OF + 3 * n * DAY) in html for n in range(4))
    assert base64.b64decode(html.split("base64,")[1].split('"')[0]).startswith(b"\x89PNG")
    with dg.DagsterInstance.from_config(str(home.settings.dagster_home)) as instance:
        shown = newest_metadata(instance, ModelKeys("toy").backtest)
    assert shown["computed_dates"] == 4
    assert str(FIRST_AS_OF + 9 * DAY) in shown["dates"]
    assert "data:image/png;base64," in shown[PLOT]
    again = document(home, *asked(4))
    assert again["taken_over"] == 4
    assert candidates(again) == candidates(found)


@pytest.mark.long
def test_a_killed_backtest_goes_on_with_the_missing_dates(home: ToyHome) -> None:
    process = home.start(*asked(5, 2, "--jobs", "2"))
    results = home.settings.backtests_dir / "results" / "toy"
    wait_for(lambda: len(list(results.glob("*/2024-*.json"))) >= 2, process)
    children = children_of(process.pid)
    assert children
    process.kill()
    process.communicate(timeout=60)
    wait_for(lambda: not any(Path(f"/proc/{child}").exists() for child in children))
    kept = {path: path.read_bytes() for path in results.glob("*/2024-*.json")}
    found = document(home, *asked(5, 2))
    assert found["taken_over"] == len(kept) < 5
    assert {path: path.read_bytes() for path in kept} == kept
    assert all(date["result"] for date in found["dates"])
    assert document(home, *asked(3, 4))["taken_over"] == 3, "dates of another range are the same dates"


@pytest.mark.long
def test_a_child_that_is_killed_ends_the_backtest_with_a_remedy(home: ToyHome) -> None:
    process = home.start(*asked(5, 2, "--jobs", "1"))
    results = home.settings.backtests_dir / "results" / "toy"
    wait_for(lambda: bool(list(results.glob("*/2024-*.json"))), process)
    for child in children_of(process.pid):
        os.kill(child, signal.SIGKILL)
    _, err = process.communicate(timeout=120)
    assert process.returncode == 1
    assert "the same command goes on with the missing dates" in " ".join(err.split())
    assert document(home, *asked(5, 2))["taken_over"] >= 1


@pytest.mark.long
def test_another_model_file_other_data_or_another_champion_is_not_mixed_with_earlier_results(home: ToyHome) -> None:
    first = document(home, *asked(2))
    with open_warehouse(home.settings, Use("load")).session("the test corrects an amount") as session:
        session.execute(
            "update marts.toy_features set risk = 9.0 "
            "where transaction_id = (select min(transaction_id) from marts.toy_features where occurred_at >= ?)",
            [dt.datetime(2024, 1, 19)],  # noqa: DTZ001 - as the warehouse stores it
        )
    second = document(home, *asked(2))
    assert second["folder"] == first["folder"]
    assert [date["is_taken_over"] for date in second["dates"]] == [True, False]
    home.write(gates={"minimum_rows": 100, "minimum_positives": 100_000})
    third = document(home, *asked(2))
    assert third["taken_over"] == 0
    assert third["folder"] != first["folder"]
    stored = json.loads((Path(third["folder"]) / ASKED_FILE).read_text())
    assert stored["model"]["gates"]["minimum_positives"] == 100_000
    verdicts = [verdict for date in third["dates"] for verdict in date["result"]["ours"]["verdicts"]]
    assert {verdict["is_passed"] for verdict in verdicts if verdict["gate"] == "enough_evidence"} == {False}
    (home.models / "toy" / PACKAGE_DIR / "models" / "toy_features.sql").write_text("select 1")
    fourth = document(home, *asked(1))
    assert (fourth["taken_over"], fourth["folder"] != third["folder"]) == (0, True)


@pytest.mark.long
def test_another_recipe_is_judged_on_the_same_training_sets_and_paired(home: ToyHome, tmp_path: Path) -> None:
    fewer = [feature for feature in home_spec(home)["features"] if feature["name"] != "risk"]
    training = home_spec(home)["training"] | {"train": 8}
    file = home.write("blind", tmp_path / "others", features=fewer, training=training)
    span = ["--from", "2024-01-24", "--to", "2024-01-28", "--every", "4", "--json"]
    found = document(home, "backtest", "toy", *span, "--against", str(file))
    for date in found["dates"]:
        result = date["result"]
        ours, theirs = result["ours"]["metrics"]["roc_auc"], result["against"]["metrics"]["roc_auc"]
        assert result["difference"]["roc_auc"]["value"] == pytest.approx(ours["value"] - theirs["value"])
        difference = result["difference"]["roc_auc"]
        assert difference["low"] <= difference["value"] <= difference["high"]
        assert difference["value"] != 0
    other = home.write("later", tmp_path / "others", training=training | {"holdout": 2})
    error = home.run(*asked(2, 4, "--against", str(other)), expected=1)
    assert "it differs in training.holdout" in " ".join(error.split())


@pytest.mark.long
def test_a_date_that_cannot_be_computed_is_a_row_that_says_why(home: ToyHome) -> None:
    arguments = ["backtest", "toy", "--from", "2024-01-10", "--to", "2024-01-18", "--every", "8"]
    found = document(home, *arguments, "--json")
    early, whole = found["dates"]
    assert "No training set was frozen as of 2024-01-10" in early["not_computed"]
    assert whole["result"] is not None
    text = home.run(*arguments)
    assert "2024-01-10 was not computed: No training set was frozen" in text
    assert "1 of 1 dates passed every gate" in text or "0 of 1 dates passed every gate" in text
    assert "●" in text
    assert "Nothing was registered, released or alerted." in text


def test_an_unknown_model_is_an_error_with_suggestions(home: ToyHome) -> None:
    error = home.run("backtest", "toi", "--from", "2024-01-18", "--to", "2024-01-18", expected=1)
    assert "did you mean toy?" in error


def home_spec(home: ToyHome) -> dict[str, Any]:
    """The toy model as its file has it."""
    import yaml

    attributes: dict[str, Any] = yaml.safe_load((home.models / "toy" / "defs.yaml").read_text())["attributes"]
    return attributes


def children_of(pid: int) -> list[int]:
    """Processes that a process has started."""
    found = Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
    return [int(child) for child in found]


def wait_for(is_done: Any, process: Any = None) -> None:
    """Return once something is true; at most three minutes, and not beyond a process's end."""
    deadline = time.monotonic() + 180
    while not is_done():
        assert time.monotonic() < deadline
        assert process is None or process.poll() is None, process.communicate()
        time.sleep(0.02)
