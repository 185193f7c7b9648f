"""The gate's truth table: one row a case."""

from typing import Any

import msgspec
import pytest

from lifecycle.gates.candidate_gates.fair_by_group import NAME, FairnessEvidence, fair_by_group
from lifecycle.modelling.evaluation import Interval
from lifecycle.modelling.fairness import metrics_of_counts
from lifecycle.modelling.group_evidence import (
    ChampionDifference,
    GroupComparison,
    GroupFigures,
    PartitionEvidence,
)
from lifecycle.spec.fairness import FairnessSpec, ProtectedSpec

PROTECTED = ProtectedSpec(relation="people", columns=("sex",))
LARGE = metrics_of_counts(700, 100, 100, 100)


def group(name: str, rows: int = 1000, events: int = 200, *, is_judged: bool = True) -> GroupFigures:
    metrics = {"declined": LARGE, "stopped": LARGE} if is_judged else None
    return GroupFigures(name, rows, events, metrics, 1.0 if is_judged else None)


def comparison(measure: str, value: float, p_value: float, decision: str = "declined") -> GroupComparison:
    return GroupComparison("sex", "f", "m", decision, measure, Interval(value, value - 0.05, value + 0.05), p_value)


def champion(
    value: float, low: float, high: float, measure: str = "impact_ratio", p_value: float | None = None
) -> ChampionDifference:
    p_value = (0.001 if high < 0 else 0.5) if p_value is None else p_value
    return ChampionDifference("sex", "declined", measure, Interval(value, low, high), p_value)


FAIR = (
    comparison("impact_ratio", 0.97, 0.4),
    comparison("opportunity_difference", 0.01, 0.3),
    comparison("calibration_shift", -0.02, 0.5, "score"),
)
BOTH = (group("f"), group("m"))


def partition(**changes: Any) -> PartitionEvidence:
    fields: dict[str, Any] = {
        "name": "sex", "rows": 2000, "missing_rows": 0, "groups": BOTH, "comparisons": FAIR,
    }  # fmt: skip
    return PartitionEvidence(**fields | changes)


CASES: dict[str, tuple[PartitionEvidence, dict[str, Any], str, str]] = {
    # what: (evidence, settings, outcome, part of the summary)
    "no disparity": (partition(), {}, "PASS", "3 comparisons between groups of sex, profile us_ecoa"),
    "ratio at four fifths": (partition(comparisons=(comparison("impact_ratio", 0.8, 1e-9),)), {}, "PASS", ""),
    "ratio below, significant": (
        partition(comparisons=(comparison("impact_ratio", 0.79, 1e-9),)), {}, "FAIL",
        "sex = f against m: impact_ratio (declined) 0.790 [0.740, 0.840], p 1e-09",
    ),
    "ratio below, not significant": (
        partition(comparisons=(comparison("impact_ratio", 0.79, 0.2),)), {}, "INCONCLUSIVE", "p 0.2",
    ),
    "significant before Holm's correction only": (
        partition(comparisons=(*FAIR, comparison("impact_ratio", 0.79, 0.03))), {}, "INCONCLUSIVE", "p 0.12",
    ),
    "ratio below, in the profile without a ratio": (
        partition(comparisons=(comparison("impact_ratio", 0.5, 1e-9),)), {"profile": "eu"}, "PASS", "profile eu",
    ),
    "ratio below, with a limit of the model's own": (
        partition(comparisons=(comparison("impact_ratio", 0.79, 1e-9),)), {"minimum_impact_ratio": 0.75}, "PASS", "",
    ),
    "ratio undefined": (
        partition(comparisons=(comparison("impact_ratio", float("nan"), 1.0),)), {}, "INCONCLUSIVE", "nan",
    ),
    "good customers stopped more often": (
        partition(comparisons=(comparison("opportunity_difference", 0.11, 1e-9, "stopped"),)), {"profile": "eu"},
        "FAIL", "opportunity_difference (stopped) 0.110",
    ),
    "good customers stopped as often": (
        partition(comparisons=(comparison("opportunity_difference", 0.1, 1e-9),)), {}, "PASS", "",
    ),
    "risk overstated": (
        partition(comparisons=(comparison("calibration_shift", -0.3, 1e-9, "score"),)), {}, "FAIL", "-0.300",
    ),
    "risk understated": (
        partition(comparisons=(comparison("calibration_shift", 0.3, 1e-9, "score"),)), {}, "FAIL", "0.300",
    ),
    "a group is too small": (
        partition(groups=(*BOTH, group("x", 250, 20, is_judged=False))), {}, "INCONCLUSIVE",
        "sex = x has 250 rows and 20 events, where 300 and 30 are needed",
    ),
    "a group is too small, and below 2 % of the rows": (
        partition(groups=(*BOTH, group("x", 39, 4, is_judged=False))), {}, "PASS", "1 groups too small to judge",
    ),
    "one group only": (partition(groups=(group("f"),), comparisons=()), {}, "INCONCLUSIVE", "fewer than two groups"),
    "attribute unknown within the bound": (partition(missing_rows=100), {}, "PASS", ""),
    "attribute unknown beyond the bound": (
        partition(missing_rows=101), {}, "INCONCLUSIVE", "sex is unknown for 5.1% of the rows, above 5.0%",
    ),
    "as fair as the champion": (partition(champion=(champion(0.0, -0.04, 0.04),)), {}, "PASS", ""),
    "clearly less fair than the champion": (
        partition(champion=(champion(-0.08, -0.1, -0.06),)), {}, "FAIL", "against the champion's -0.080",
    ),
    "less fair than the champion, but not after Holm": (
        partition(champion=(champion(-0.08, -0.15, -0.01, p_value=0.03), champion(0.0, -0.04, 0.04))), {},
        "INCONCLUSIVE", "against the champion's -0.080",
    ),
    "less fair within the margin": (partition(champion=(champion(-0.03, -0.049, -0.01),)), {}, "PASS", ""),
    "perhaps less fair beyond the margin": (
        partition(champion=(champion(-0.02, -0.06, 0.02),)), {}, "INCONCLUSIVE", "margin 0.05",
    ),
    "less fair than the champion in a measure without a limit": (
        partition(champion=(champion(-0.2, -0.3, -0.1),)), {"profile": "eu"}, "PASS", "",
    ),
    "everything wrong, profile none": (
        partition(
            comparisons=(comparison("impact_ratio", 0.1, 0.0),), missing_rows=1999, groups=BOTH[:1],
            champion=(champion(-0.5, -0.6, -0.4),),
        ),
        {"profile": "none"}, "PASS", "profile none",
    ),
    "a fault outweighs a doubt": (
        partition(comparisons=(comparison("impact_ratio", 0.5, 0.0),), missing_rows=1000), {}, "FAIL", "unknown",
    ),
}  # fmt: skip


@pytest.mark.parametrize(("evidence", "settings", "expected", "summary"), CASES.values(), ids=CASES)
def test_the_truth_table(evidence: PartitionEvidence, settings: dict[str, Any], expected: str, summary: str) -> None:
    verdict = fair_by_group(PROTECTED, FairnessEvidence((evidence,), {}), FairnessSpec(**settings))
    assert verdict.gate == NAME
    assert verdict.outcome == expected
    assert summary in verdict.summary
    # What is kept on disk is read back as it was.
    assert msgspec.json.decode(msgspec.json.encode(verdict), type=type(verdict)) == verdict


@pytest.mark.parametrize(
    ("protected", "evidence", "expected", "summary"),
    [
        (None, None, "INCONCLUSIVE", "add `protected: {relation: ..., columns: [...]}`, or `protected: {none: why}`"),
        (ProtectedSpec(none="no data on persons"), None, "PASS", "no protected attributes: no data on persons"),
        (PROTECTED, None, "INCONCLUSIVE", "were not read"),
        (PROTECTED, "protected.people is empty", "INCONCLUSIVE", "protected.people is empty"),
        (PROTECTED, FairnessEvidence((), {}), "INCONCLUSIVE", "no partition"),
    ],
)
def test_without_protected_attributes_a_reason_is_needed(
    protected: ProtectedSpec | None, evidence: FairnessEvidence | None, expected: str, summary: str
) -> None:
    verdict = fair_by_group(protected, evidence, FairnessSpec())
    assert verdict.outcome == expected
    assert summary in verdict.summary


def test_the_events_of_a_handful_of_people_are_withheld() -> None:
    evidence = FairnessEvidence((partition(groups=(*BOTH, group("x", 9, 7, is_judged=False))),), {"sex": {"f": 0.6}})
    strict = FairnessSpec(minimum_group_share=0.001)
    verdict = fair_by_group(PROTECTED, evidence, strict)
    (row,) = (row for row in verdict.observed["groups"] if row["group"] == "x")
    assert (row["rows"], row["events"], row["declined_tpr"], row["outcome"]) == (9, None, None, "INCONCLUSIVE")
    assert "9 rows and fewer than 10 events" in verdict.summary
    assert verdict.observed["proxy_auc"] == {"sex": {"f": 0.6}}


def test_the_verdict_shows_every_group_and_its_limits() -> None:
    verdict = fair_by_group(PROTECTED, FairnessEvidence((partition(missing_rows=3),), {}), FairnessSpec())
    assert [row["group"] for row in verdict.observed["groups"]] == ["f", "m"]
    assert verdict.observed["groups"][0]["declined_precision"] == 0.5
    assert verdict.observed["sex/impact_ratio"] == 0.97
    assert verdict.observed["sex/missing_rows"] == 3
    assert verdict.required["minimum_impact_ratio"] == 0.8
    assert verdict.required["profile"] == "us_ecoa"
    assert len(verdict.observed["comparisons"]) == 3
