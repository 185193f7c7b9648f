"""`lifecycle train` and `lifecycle compare` as processes on the toy model's home."""

import json
from pathlib import Path
from typing import Any

import pytest

from tests.harness.toy_home import FIRST_AS_OF, ToyHome, toy_home

pytestmark = pytest.mark.timeout(600)


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Any:
    with pytest.MonkeyPatch.context() as patch:
        yield toy_home(tmp_path_factory.mktemp("toy") / "home", patch)


def trained(home: ToyHome, as_of: str = str(FIRST_AS_OF)) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(home.run("train", "toy", "--as-of", as_of, "--json"))
    return found


@pytest.mark.long
def test_a_training_prints_what_the_ui_shows_and_registers_nothing(home: ToyHome) -> None:
    before, runs = home.untouched(), home.runs()
    text = home.run("train", "toy", "--as-of", str(FIRST_AS_OF))
    for words in ("metrics on the holdout", "average precision", "Windows", "Gates", "point_in_time", "minimum_rows"):
        assert words in text
    assert "Nothing was registered or released." in text
    found = trained(home)
    assert found["candidate_digest"] in text
    assert {gate["gate"] for gate in found["gates"]} > {"enough_evidence", "beats_baseline"}
    after = home.untouched()
    added = {Path(path).relative_to(home.settings.root).parts[:3] for path in after.keys() - before.keys()}
    kept = {("evidence", "toy", "backtest_gates"), ("candidates", "toy", "by_digest")}
    assert added - kept == {("candidates", "toy", Path(found["folder"]).name)}
    assert {path: after[path] for path in before} == before
    assert home.runs() == runs
    assert not home.stores.candidates("toy").has(str(FIRST_AS_OF)), "a training by hand is no date's current candidate"


@pytest.mark.long
def test_two_candidates_are_compared_on_the_rows_of_both_holdouts(home: ToyHome) -> None:
    first = trained(home)
    fewer = [feature for feature in features_of(home) if feature["name"] != "amount"]
    home.write(features=fewer)
    second = trained(home)
    home.write()
    digests = [first["candidate_digest"], second["candidate_digest"]]
    found = json.loads(home.run("compare", digests[0][:10], digests[1], "--json"))
    assert [found[side]["candidate_digest"] for side in ("first", "second")] == digests
    paired = found["paired"]
    for name, difference in paired["difference"].items():
        assert difference["value"] == pytest.approx(
            paired["first"]["metrics"][name]["value"] - paired["second"]["metrics"][name]["value"]
        )
    assert paired["first"]["metrics"] == first["metrics"], "the same holdout, the same metrics"
    assert paired["second"]["metrics"] == second["metrics"]
    assert paired["difference"]["roc_auc"]["low"] > 0, "the amount decides frauds"
    text = home.run("compare", *digests)
    for words in ("first minus", "Parameters", "Features", "amount", "Gates", "beats_baseline"):
        assert words in text


@pytest.mark.long
def test_candidates_of_other_dates_are_compared_on_common_days_or_refused(home: ToyHome) -> None:
    digests = [trained(home, as_of)["candidate_digest"] for as_of in ("2024-01-18", "2024-01-19", "2024-01-25")]
    paired = json.loads(home.run("compare", digests[0], digests[1], "--json"))["paired"]
    assert (paired["start"], paired["end"]) == ("2024-01-14", "2024-01-16")
    error = home.run("compare", digests[0], digests[2], expected=1)
    assert "Expected two holdouts with rows in common, got [2024-01-13, 2024-01-16) and" in " ".join(error.split())


@pytest.mark.long
def test_unknown_models_dates_and_digests_are_errors_with_suggestions(home: ToyHome) -> None:
    assert "did you mean toy?" in home.run("train", "toyy", "--as-of", "2024-01-18", expected=1)
    early = " ".join(home.run("train", "toy", "--as-of", "2023-01-18", expected=1).split())
    assert "got 2023-01-18; the nearest is 2024-01-" in early
    unknown = " ".join(home.run("compare", "abcd1234", "ffff", expected=1).split())
    assert "Expected a candidate of any model with digest abcd1234, found none;" in unknown


def features_of(home: ToyHome) -> list[dict[str, Any]]:
    import yaml

    found: list[dict[str, Any]] = yaml.safe_load(Path(home.models / "toy" / "defs.yaml").read_text())["attributes"][
        "features"
    ]
    return found
