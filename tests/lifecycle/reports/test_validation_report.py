"""The validation report as a function of a dossier: groups, guidance and open points."""

import datetime as dt
from pathlib import Path

import pytest

from lifecycle.artefacts.candidates import Candidate, CandidateStore, training_files
from lifecycle.artefacts.evidence import GateEvidence
from lifecycle.gates.approval_policy import approvals_of
from lifecycle.gates.candidate_gates import GATES
from lifecycle.gates.candidate_gates.consistent import consistent
from lifecycle.gates.candidate_gates.fair_by_group import FairnessEvidence, fair_by_group
from lifecycle.gates.candidate_gates.not_worse_by_slice import SliceEvidence, not_worse_by_slice
from lifecycle.gates.served_evidence import Agreement, Costs, Flips, Served, SliceFlips
from lifecycle.gates.waiver_policy import waivers_of
from lifecycle.modelling.evaluation import Interval
from lifecycle.modelling.fairness import metrics_of_counts
from lifecycle.modelling.group_evidence import GroupComparison, GroupFigures, PartitionEvidence
from lifecycle.modelling.slices import SliceFigures, SliceGain
from lifecycle.modelling.training import Trained
from lifecycle.reports.validation_content import ChampionBeside, Dossier, validation_report
from lifecycle.reports.validation_guidance import GuidanceLine, guidance
from lifecycle.reports.validation_page import scalars, validation_page
from lifecycle.reports.validation_points import open_points
from lifecycle.spec.fairness import FairnessSpec
from lifecycle.spec.gates import ConsistencyLimits
from lifecycle.spec.risk_model import RiskModelSpec
from lifecycle.spec.slices import SliceLimits
from serving.contract.documents import Lineage, Outcome, Verdict
from tests.harness.page_structure import Structure
from tests.harness.toy_model import spec_with
from tests.harness.toy_platform import PASSING

NOW = dt.datetime(2024, 2, 2, tzinfo=dt.UTC)
TIER = {"level": "high", "reason": "it declines payments"}
NO_CHAMPION = ChampionBeside("There was no champion.")


@pytest.fixture
def candidate(tmp_path: Path, trained: Trained) -> Candidate:
    lineage = Lineage(
        as_of="2024-02-01", training_set_digest="d" * 64, code_commit=None, parameters={}, seed=1, library_versions={}
    )
    return CandidateStore(tmp_path, "toy").write(
        trained.model_text, trained.deciding, trained.golden, lineage, training_files(trained)
    )


def dossier(
    spec: RiskModelSpec, candidate: Candidate, verdicts: tuple[Verdict, ...], champion: ChampionBeside = NO_CHAMPION
) -> Dossier:
    return Dossier(
        spec=spec,
        candidate=candidate,
        evidence=GateEvidence(
            model="toy", candidate_digest=candidate.digest, training_set_digest="d" * 64, as_of="2024-02-01",
            verdicts=verdicts,
        ),
        is_backtest=False,
        champion=champion,
        approvals=approvals_of((), "toy", candidate.digest, spec.promotion, (), NOW),
        waivers=waivers_of((), candidate.digest, verdicts, NOW),
        trainers=("tina",),
        is_trainer_known=True,
    )  # fmt: skip


def test_groups_are_shown_with_their_plots_and_small_ones_without_events(candidate: Candidate) -> None:
    spec = spec_with(protected={"relation": "people", "columns": ["sex"]})
    assert spec.protected is not None
    rates = metrics_of_counts(700, 100, 100, 100)
    groups = (
        GroupFigures("f", 1000, 200, {"declined": rates, "stopped": rates}, 1.25),
        GroupFigures("x", 9, 7, None, None),
    )
    compared = GroupComparison("sex", "f", "m", "stopped", "impact_ratio", Interval(0.91, 0.85, 0.97), 0.03)
    found = FairnessEvidence((PartitionEvidence("sex", 1012, 3, groups, (compared,), ()),), {"sex": {"f": 0.61}})
    judged = fair_by_group(spec.protected, found, FairnessSpec(profile="eu"))
    verdicts = tuple(judged if verdict.gate == "fair_by_group" else verdict for verdict in PASSING)
    made = dossier(spec, candidate, verdicts)
    report = validation_report(made)
    page = Structure(validation_page(made, report))
    text = "|".join(page.text)
    assert "sex|f|1,000|200|0.200|0.200|0.500|0.125|0.500|1.250" in text
    assert "sex|x|9|fewer than 10|-" in text
    assert {"favourable rate", "false positive rate"} <= set(page.values["alt"])
    assert next(line for line in report.gates if line.gate == "fair_by_group").observed["groups"][1]["events"] is None


def test_slices_are_tables_beside_their_gates(candidate: Candidate) -> None:
    gains = (SliceGain("average_precision", Interval(-0.01, -0.03, 0.01), 0.2),
             SliceGain("brier", Interval(0.002, 0.001, 0.003), 0.04))  # fmt: skip
    figures = (SliceFigures("segment", "segment = gold", 1200, 40, gains), SliceFigures("risk", "risk < 0", 9, 1, ()))
    by_slice = not_worse_by_slice(SliceEvidence("champion", ("segment", "risk"), figures), SliceLimits())
    flips = Flips(0.1, (SliceFlips("segment = gold", 1200, 0.125),))
    served = Served(Agreement(24), Agreement(500), 900, Costs(1, 1, 1, 1, None, 1, 1, None, None, 1))
    judged = {verdict.gate: verdict for verdict in (by_slice, consistent(served, flips, ConsistencyLimits()))}
    made = dossier(spec_with(), candidate, tuple(judged.get(verdict.gate, verdict) for verdict in PASSING))
    text = "|".join(Structure(validation_page(made, validation_report(made))).text)
    gain = "-0.0100 [-0.0300, +0.0100]|0.2|+0.0020 [+0.0010, +0.0030]|0.04"
    assert f"segment = gold|1,200|40|average precision|{gain}" in text
    assert "risk < 0|9|1|too few to judge|-|-|-|-" in text
    assert "slice|rows|differ|segment = gold|1,200|12.50%" in text


def test_a_model_without_statements_has_them_as_open_points(candidate: Candidate) -> None:
    report = validation_report(dossier(spec_with(description="", reason_texts=None), candidate, PASSING))
    assert {point.text for point in report.open_points} == {
        "the model's purpose is not described",
        "the model has no owner",
        "the model's tier is not stated",
        "intended use and limits are not stated",
        "the decisions are not explained to customers",
        "the code that trained the candidate is not known",
    }
    complete = spec_with(owner="risk", tier=TIER, card={"intended_use": "cards", "limits": ["not for credit"]})
    [left] = validation_report(dossier(complete, candidate, PASSING)).open_points
    assert left.text == "the code that trained the candidate is not known"


@pytest.mark.parametrize(
    ("commit", "text"),
    [
        (None, "the code that trained the candidate is not known"),
        ("0123abcd+", "the candidate was trained by code with local changes"),
        ("0123abcd", None),
    ],
)
def test_code_that_no_commit_names_is_an_open_point(commit: str | None, text: str | None) -> None:
    lineage = Lineage(
        as_of="2024-02-01", training_set_digest="d", code_commit=commit, parameters={}, seed=1, library_versions={}
    )
    complete = spec_with(owner="risk", tier=TIER, card={"intended_use": "cards", "limits": ["not for credit"]})
    found = open_points(
        complete,
        lineage,
        PASSING,
        missing=(),
        approvals=approvals_of((), "toy", "c", complete.promotion, (), NOW),
        waivers=waivers_of((), "c", PASSING, NOW),
        findings=(),
        uncompared=None,
        is_backtest=False,
        is_trainer_known=True,
    )
    assert [point.text for point in found] == ([] if text is None else [text])


def test_a_champion_that_cannot_be_compared_is_an_open_point(candidate: Candidate) -> None:
    missed = ChampionBeside("The champion is not compared: its files are gone", is_missed=True)
    report = validation_report(dossier(spec_with(), candidate, PASSING, missed))
    assert missed.statement in {point.text for point in report.open_points}
    [line] = [line for line in report.guidance if line.topic == "benchmark: the champion"]
    assert (line.state, line.statement) == ("missing", missed.statement)


def lines_of(
    gates: dict[str, Outcome | None], *, required: int = 1, is_approved: bool = True
) -> tuple[GuidanceLine, ...]:
    lineage = Lineage(
        as_of="2024-02-01", training_set_digest="d", code_commit="0123", parameters={}, seed=1, library_versions={}
    )
    spec = spec_with(protected={"relation": "people", "columns": ["sex"]})
    return guidance(
        spec,
        lineage,
        gates,
        has_search=True,
        has_comparison=True,
        champion="",
        is_approved=is_approved,
        required=required,
    )


@pytest.mark.parametrize(
    ("outcome", "state", "statement"),
    [
        ("PASS", "evidence", "gates calibrated"),
        ("FAIL", "evidence", "gates calibrated; failed: calibrated"),
        ("INCONCLUSIVE", "partly", "gates calibrated; inconclusive: calibrated"),
        (None, "missing", "not judged by calibrated"),
    ],
)
def test_a_heading_has_evidence_if_its_gate_decided_either_way(
    outcome: Outcome | None, state: str, statement: str
) -> None:
    gates: dict[str, Outcome | None] = dict.fromkeys(GATES, "PASS")
    lines = lines_of(gates | {"calibrated": outcome})
    [line] = [line for line in lines if line.topic == "calibration"]
    assert (line.state, line.statement) == (state, statement)
    assert {line.heading.partition(":")[0] for line in lines} == {
        "Model materiality",
        "Model development, implementation and use",
        "Validation",
        "Governance, policies and controls",
    }


@pytest.mark.parametrize(
    ("required", "is_approved", "state"), [(0, True, "missing"), (1, False, "missing"), (2, True, "evidence")]
)
def test_no_required_approval_is_no_evidence_of_one(required: int, is_approved: bool, state: str) -> None:
    lines = lines_of({}, required=required, is_approved=is_approved)
    [line] = [line for line in lines if line.topic == "approval by others than the trainer"]
    assert line.state == state


def test_numbers_of_a_verdict_are_text_and_its_tables_are_left_out() -> None:
    values = {"a_b": 0.123456, "digest": "f" * 64, "none": None, "rows": [{"x": 1}], "map": {"x": 1}, "names": ["a"]}
    assert scalars(values) == [("a b", "0.1235"), ("digest", "f" * 12), ("none", "none"), ("names", "a")]
