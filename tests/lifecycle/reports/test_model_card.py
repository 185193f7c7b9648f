"""The model card says what was measured, is the same bytes every time, and is never left by its data."""

import dataclasses
import html
from pathlib import Path
from typing import Any

import msgspec
import pytest

from lifecycle.artefacts.candidates import Candidate, CandidateStore, training_files
from lifecycle.artefacts.evidence import GateEvidence
from lifecycle.gates.candidate_gates.fair_by_group import FairnessEvidence, fair_by_group
from lifecycle.modelling.evaluation import Interval
from lifecycle.modelling.fairness import metrics_of_counts
from lifecycle.modelling.group_evidence import ChampionDifference, GroupComparison, GroupFigures, PartitionEvidence
from lifecycle.modelling.training import Trained
from lifecycle.reports.card_plots import holdout_plots, importance_bars
from lifecycle.reports.model_card import model_card
from lifecycle.spec.examples import LabelNames
from lifecycle.spec.fairness import FairnessSpec, ProtectedSpec
from lifecycle.spec.risk_model import RiskModelSpec
from serving.contract.documents import Lineage, ReasonTexts, Verdict
from tests.harness.page_structure import INJECTION, Structure
from tests.harness.toy_model import SPEC, spec_with

ALLOWED_TAGS = {
    "html", "head", "meta", "title", "style", "body", "h1", "h2", "p", "table", "thead", "tbody", "tr", "th", "td",
    "div", "ul", "li", "code", "svg", "text", "path", "polyline", "circle", "rect",
}  # fmt: skip


def candidate(folder: Path, trained: Trained, text: str = "x") -> Candidate:
    """A stored candidate whose free texts are `text`."""
    deciding = msgspec.structs.replace(trained.deciding, reason_texts=ReasonTexts(version=text, texts={text: text}))
    lineage = Lineage(
        as_of="2024-02-01",
        training_set_digest=text,
        code_commit=text,
        parameters={text: text},
        seed=1,
        library_versions={text: text},
    )
    store = CandidateStore(folder, "toy")
    return store.write(trained.model_text, deciding, trained.golden, lineage, training_files(trained))


def evidence(text: str = "x") -> GateEvidence:
    verdicts = (
        Verdict(gate=text, is_passed=True, summary=text),
        Verdict(gate=text, is_passed=False, summary=text),
    )
    return GateEvidence(model="toy", candidate_digest="c", training_set_digest="d", as_of="d", verdicts=verdicts)


def spec_of(text: str) -> RiskModelSpec:
    features: list[dict[str, Any]] = [dict(feature, reason_group=text) for feature in SPEC["features"]]
    return spec_with(
        description=text,
        features=features,
        reason_texts={"version": text, "texts": {text: text}},
        card={"owner": text, "intended_use": text, "limits": [text]},
    )


def test_the_card_states_metrics_verdicts_inputs_reasons_and_lineage(
    tmp_path: Path, trained: Trained, spec: RiskModelSpec
) -> None:
    text = Structure(model_card(spec, candidate(tmp_path, trained, "wording"), evidence("312 positives"))).text
    assert (text[0], text[2]) == ("toy: model card", "toy")
    for heading in (
        "Use",
        "Approval",
        "Training",
        "Decision",
        "Holdout",
        "Fairness",
        "Gates",
        "Inputs",
        "Reasons",
        "Lineage",
    ):
        assert heading in text
    interval = trained.evaluation.metrics["average_precision"]
    row = text.index("average precision")
    assert text[row + 1 : row + 3] == [f"{interval.value:.4f}", f"{interval.low:.4f} to {interval.high:.4f}"]
    assert "95% interval" in text
    assert text.count("312 positives") == 4
    wording = "Wording wording; a decision states the strongest four."
    assert {"passed", "refused", "from 0", "0 to 1", "any", wording} <= set(text)
    assert "parameter wording" in text


def test_the_card_names_owner_use_and_limits_or_says_that_they_are_missing(
    tmp_path: Path, trained: Trained, spec: RiskModelSpec
) -> None:
    stored = candidate(tmp_path, trained)
    card = {"owner": "the fraud team", "intended_use": "card payments", "limits": ["not for credit", "not for 2030"]}
    tier = {"level": "medium", "reason": "people review each decline"}
    text = Structure(model_card(spec_with(card=card, tier=tier), stored, evidence())).text
    assert "medium: people review each decline" in text
    assert {"the fraud team", "card payments", "not for credit", "not for 2030"} <= set(text)
    missing = Structure(model_card(spec, stored, evidence())).text
    assert any("are not stated: the model's file has no" in part for part in missing)


def test_the_card_maps_the_verdicts_that_measured_something(tmp_path: Path, trained: Trained) -> None:
    measured = Verdict(gate="calibrated", is_passed=True, summary="1.0", observed={"slope": 1.0})
    nothing = Verdict(gate="not_costlier", is_passed=True, summary="the model's file has no costs")
    alone = Verdict(gate="not_worse_than_champion", is_passed=True, summary="no champion", observed={"champion": None})
    found = msgspec.structs.replace(evidence(), verdicts=(measured, nothing, alone))
    text = "|".join(Structure(model_card(spec_with(), candidate(tmp_path, trained), found)).text)
    assert "calibration|evidence|gates calibrated" in text
    assert "cost of the decisions|missing|not judged by not_costlier" in text
    assert "benchmark: the champion|missing|no champion" in text
    assert "every day at (UTC)|02:30" in text
    assert "The model was not compared by slice." in text


def test_the_card_says_which_model_the_figures_describe(tmp_path: Path, trained: Trained, spec: RiskModelSpec) -> None:
    refitted = " ".join(Structure(model_card(spec, candidate(tmp_path / "a", trained), evidence())).text)
    assert "The released model was fitted on 2024-01-22 to 2024-01-30 (exclusive)." in refitted
    assert "describe another model, the judged one, fitted by the same recipe on 2024-01-13 to 2024-01-21" in refitted
    as_judged = dataclasses.replace(trained, is_refitted=False)
    judged = " ".join(Structure(model_card(spec, candidate(tmp_path / "b", as_judged), evidence())).text)
    assert "It is the judged model: holdout and gates describe it." in judged
    assert "before 2024-02-01; no outcome of these days was needed." in judged


@pytest.mark.parametrize(
    ("mode", "statement"),
    [("auto", "No person approved this model."), ("manual", "A person must promote it (lifecycle promote)")],
)
def test_the_card_invents_no_approval(tmp_path: Path, trained: Trained, mode: str, statement: str) -> None:
    text = " ".join(
        Structure(model_card(spec_with(promotion={"mode": mode}), candidate(tmp_path, trained), evidence())).text
    )
    assert statement in text


def fairness(protected: ProtectedSpec, found: FairnessEvidence | str | None) -> GateEvidence:
    verdict = fair_by_group(protected, found, FairnessSpec(profile="eu"))
    return GateEvidence(model="toy", candidate_digest="c", training_set_digest="d", as_of="d", verdicts=(verdict,))


def test_the_card_repeats_why_decisions_were_not_compared_by_group(tmp_path: Path, trained: Trained) -> None:
    stored = candidate(tmp_path, trained)
    people = {"relation": "people", "columns": ["sex"]}
    for protected, found, reason in (
        ({"none": "companies have no sex"}, None, "companies have no sex"),
        (None, None, "the model's file does not say which attributes are protected; add `protected: {relation"),
        (people, "the table is gone", "the table is gone"),
    ):
        declared = ProtectedSpec.model_validate(protected or people)
        card = model_card(spec_with(protected=protected), stored, fairness(declared, found))
        assert f"Decisions were not compared by group: {reason}" in " ".join(Structure(card).text)
    # Judged before the gate existed.
    judged_before = " ".join(Structure(model_card(spec_with(protected=people), stored, evidence())).text)
    assert "the candidate has no verdict of fair_by_group" in judged_before


def test_the_card_shows_groups_disparities_and_limits_and_withholds_small_counts(
    tmp_path: Path, trained: Trained
) -> None:
    rates = metrics_of_counts(700, 100, 100, 100)
    groups = (
        GroupFigures("f", 1000, 200, {"declined": rates, "stopped": rates}, 1.25),
        GroupFigures(INJECTION, 9, 7, None, None),
    )
    compared = GroupComparison("sex", "f", "m", "stopped", "impact_ratio", Interval(0.91, 0.85, 0.97), 0.03)
    rival = ChampionDifference("sex", "stopped", "impact_ratio", Interval(-0.01, -0.02, float("nan")), 0.5)
    found = FairnessEvidence((PartitionEvidence("sex", 1012, 3, groups, (compared,), (rival,)),), {"sex": {"f": 0.61}})
    spec = spec_with(protected={"relation": "people", "columns": ["sex"]})
    assert spec.protected is not None
    page = Structure(model_card(spec, candidate(tmp_path, trained), fairness(spec.protected, found)))
    text = "|".join(page.text)
    for row in (
        "sex|f|1,000|200|0.200|0.200|0.500|0.125|0.500|1.250",
        f"sex|{INJECTION}|9|fewer than 10|-|-",
        "sex|unknown|3|-",
        "sex|f against m|impact ratio, stopped|0.910|0.850 to 0.970|0.03",
        "sex|stopped|impact ratio|-0.010|-0.020 to -",
        "profile|eu",
        "minimum impact ratio|none",
        "maximum opportunity difference|0.1",
        "sex|f|0.610",
    ):
        assert row in text
    assert set(page.tags) <= ALLOWED_TAGS


def test_the_plots_are_the_holdouts_curves(trained: Trained) -> None:
    roc, precision, calibration = holdout_plots(trained.curves, LabelNames())
    assert (roc.points[0], roc.points[-1]) == (("0.0", "180.0"), ("260.0", "0.0"))
    assert len(precision.points) == len(trained.curves.precision_recall["recall"])
    top = float(calibration.top)
    first = calibration.points[0]
    assert float(first[0]) == pytest.approx(260 * trained.curves.calibration["mean_score"][0] / top, abs=0.05)
    assert float(first[1]) == pytest.approx(180 * (1 - trained.curves.calibration["positive_share"][0] / top), abs=0.05)
    bars = importance_bars(trained.importance)
    assert [name for name, _, _ in bars] == sorted(trained.importance, key=lambda name: -trained.importance[name])
    assert bars[0][1] == "260.0"


def test_the_same_candidate_gives_the_same_bytes(tmp_path: Path, trained: Trained, spec: RiskModelSpec) -> None:
    first = model_card(spec, candidate(tmp_path / "a", trained), evidence())
    assert model_card(spec, candidate(tmp_path / "b", trained), evidence()) == first


def test_a_model_without_reason_texts_says_so(tmp_path: Path, trained: Trained, spec: RiskModelSpec) -> None:
    stored = candidate(tmp_path, trained)
    deciding = msgspec.structs.replace(trained.deciding, reason_texts=None)
    (stored.folder / "deciding.json").write_bytes(msgspec.json.encode(deciding))
    assert "The decisions of this model are not explained." in Structure(model_card(spec, stored, evidence())).text


@pytest.mark.parametrize("text", [INJECTION, "'", '"', "&lt;", "a & b", "</style>", "<!--"])
def test_no_text_of_the_data_leaves_its_cell(tmp_path: Path, trained: Trained, text: str) -> None:
    page = model_card(spec_of(text), candidate(tmp_path, trained, text), evidence(text))
    structure = Structure(page)
    plain = Structure(model_card(spec_of("x"), candidate(tmp_path, trained), evidence()))
    assert structure.tags == plain.tags
    assert set(structure.tags) <= ALLOWED_TAGS
    assert structure.attributes == plain.attributes
    assert "".join(structure.text).count(text) >= 15
    assert html.escape(text, quote=False).replace('"', "&#34;").replace("'", "&#39;") in page
