"""PASS, FAIL or INCONCLUSIVE: a row a case for each gate; and documents written before."""

import dataclasses
import datetime as dt
from collections.abc import Callable
from typing import Any

import msgspec
import numpy as np
import pytest

from lifecycle.gates.candidate_gates import GATES
from lifecycle.gates.candidate_gates.above_floor import above_floor
from lifecycle.gates.candidate_gates.beats_baseline import beats_baseline
from lifecycle.gates.candidate_gates.bounded_declines import Bounds, bounded_declines
from lifecycle.gates.candidate_gates.calibrated import calibrated
from lifecycle.gates.candidate_gates.consistent import consistent
from lifecycle.gates.candidate_gates.enough_evidence import Evidence, enough_evidence
from lifecycle.gates.candidate_gates.explained import explained
from lifecycle.gates.candidate_gates.fair_by_group import FairnessEvidence, fair_by_group
from lifecycle.gates.candidate_gates.no_leaking_feature import no_leaking_feature
from lifecycle.gates.candidate_gates.not_costlier import CHAMPION, CostEvidence, not_costlier
from lifecycle.gates.candidate_gates.not_worse_by_slice import SliceEvidence, not_worse_by_slice
from lifecycle.gates.candidate_gates.not_worse_than_champion import not_worse_than_champion
from lifecycle.gates.candidate_gates.point_in_time import point_in_time
from lifecycle.gates.candidate_gates.robust import robust
from lifecycle.gates.candidate_gates.servable import servable
from lifecycle.gates.input_gates import freshness, mart_complete, switched_off, volume
from lifecycle.gates.outcomes import overall, overall_text
from lifecycle.gates.promotion import JudgedVersion, missing_verdicts
from lifecycle.gates.served_evidence import Agreement, Costs, Flips, NotServed, Refused, Served, ServedEvidence
from lifecycle.modelling.calibration_fit import CalibrationFit
from lifecycle.modelling.evaluation import Interval
from lifecycle.modelling.explanations import Explanations
from lifecycle.modelling.group_evidence import GroupComparison, PartitionEvidence
from lifecycle.modelling.robustness import Robustness
from lifecycle.modelling.slices import SliceFigures, SliceGain
from lifecycle.modelling.thresholds import BandCounts, Floors
from lifecycle.modelling.windows import WindowCount
from lifecycle.spec.decision import CapacitySpec, CostsSpec, DecisionSpec
from lifecycle.spec.fairness import FairnessSpec, ProtectedSpec
from lifecycle.spec.gates import (
    CalibrationLimits,
    ConsistencyLimits,
    ExplanationLimits,
    GatesSpec,
    RobustnessLimits,
    ServabilityBudgets,
)
from lifecycle.spec.input_checks import InputSpec
from lifecycle.spec.slices import SliceLimits, SliceSpec
from serving.contract.documents import Bands, Manifest, Outcome, Verdict
from tests.lifecycle.gates.test_candidate_gates import (
    AS_OF,
    GATES_SPEC,
    TRAINING,
    WINDOWS,
    comparison,
    difference,
    examples,
)

NAN = float("nan")
IMMATURE = WindowCount("holdout", "2018-08-15", "2018-08-23", "2018-08-29", 168, 16)
DECISION = DecisionSpec(capacity=CapacitySpec(review=100, decline=20))
FLOORED = GatesSpec(minimum_rows=1, minimum_positives=1, floor=0.2)
DAY = dt.date(2018, 8, 1)


def evidence(rows: int, positives: int, holdout: int) -> Verdict:
    return enough_evidence(Evidence(rows, positives), Evidence(500, holdout), GATES_SPEC)


def rows_in_time(changes: dict[str, dict[int, Any]], *, is_empty: bool = False, is_mature: bool = True) -> Verdict:
    found = examples(**changes)
    found = found.rows(np.zeros(len(found), dtype=np.bool_)) if is_empty else found
    return point_in_time(found, WINDOWS if is_mature else (IMMATURE,), AS_OF, TRAINING, 7)


def floor(value: float, gates: GatesSpec = FLOORED) -> Verdict:
    return above_floor({"average_precision": Interval(value, value, value)}, gates)


def champion(digest: str | None, *compared: Any) -> Verdict:
    comparison_or_none = comparison(*compared) if compared else None
    return not_worse_than_champion("candidate", digest, comparison_or_none, GATES_SPEC, TRAINING, 7)


def sliced(*gains: tuple[float, float, float, float], small: int = 0, **limits: Any) -> Verdict:
    """Slices of a channel, each with value, low, high and p-value of its gain, and one with so few rows of 1,000."""
    found = [
        SliceFigures("channel", f"channel = {number}", 1000, 50, (SliceGain("roc_auc", Interval(*gain[:3]), gain[3]),))
        for number, gain in enumerate(gains)
    ]
    found += [SliceFigures("channel", "channel = other", small, 3, ())] if small else []
    return not_worse_by_slice(SliceEvidence("champion", ("channel",), tuple(found)), SliceLimits(**limits))


def decision_costs(difference: tuple[float, float, float], margin: float | None = None) -> Verdict:
    gates = GatesSpec(minimum_rows=1, minimum_positives=1, cost_margin=margin)
    evidence = CostEvidence(CHAMPION, 1000, 1.0 + difference[0], 1.0, Interval(*difference))
    return not_costlier(evidence, CostsSpec(review=1, wrong_decline=10, missed=100), gates)


DECLARED = {"by": (SliceSpec(feature="channel"),)}


def declines(days: int, declined: int) -> Verdict:
    counts = BandCounts(days, 14_000, 7_000, 0, declined, 0)
    return bounded_declines(
        Bands(review_from=0.2, decline_from=0.8), counts, Floors(0.02, 0.5), DECISION, Bounds(0.02, 7)
    )


def fair(impact_ratio: float | None, **settings: Any) -> Verdict:
    """Decisions by sex with this ratio, certain beyond doubt; ``None`` if the attributes could not be read."""
    found: FairnessEvidence | str = "the table is missing"
    if impact_ratio is not None:
        interval = Interval(impact_ratio, impact_ratio, impact_ratio)
        compared = GroupComparison("sex", "f", "m", "declined", "impact_ratio", interval, 0.0)
        found = FairnessEvidence((PartitionEvidence("sex", 2000, 0, (), (compared,)),), {})
    people = ProtectedSpec(relation="people", columns=("sex",))
    return fair_by_group(people, found, FairnessSpec(minimum_rows=1, minimum_events=1, **settings))


def days(counts: list[int]) -> Verdict:
    by_day = {DAY + dt.timedelta(days=day): count for day, count in enumerate(counts)}
    return volume(by_day, DAY, DAY + dt.timedelta(days=len(counts)), InputSpec(), model="m")


def age(hours: int | None) -> Verdict:
    newest = None if hours is None else dt.datetime(2018, 8, 29) - dt.timedelta(hours=hours)  # noqa: DTZ001
    return freshness(newest, AS_OF, InputSpec())


def calibration(slope: tuple[float, ...], ratio: tuple[float, ...], **limits: Any) -> Verdict:
    fit = CalibrationFit(1000, 50, Interval(*slope), Interval(0.0, -0.1, 0.1), Interval(*ratio), 0.2)
    return calibrated(fit, CalibrationLimits(**limits))


def robustness(**changes: Any) -> Verdict:
    found = Robustness(rows=10, unbounded={"missing": 0}, falling={"amount": 0}, flips=0.05, seed_change=0.5)
    return robust(dataclasses.replace(found, **changes), RobustnessLimits())


def explanations(**changes: Any) -> Verdict:
    found = Explanations(rows=10, largest_gap=1e-6, stopped=20, agreement=0.5)
    return explained(dataclasses.replace(found, **changes), ExplanationLimits())


COSTS = Costs(
    load_cpu_seconds=5.0,
    load_seconds=60.0,
    memory_bytes=256_000_000,
    decision_cpu_us=1000.0,
    explanation_cpu_us=2000.0,
    latency_p50_us=9000.0,
    latency_p99_us=90_000.0,
    explained_p50_us=9000.0,
    explained_p99_us=90_000.0,
    bundle_bytes=50_000_000,
)
AGREED = Agreement(24)
NOT_SERVED, REFUSED = NotServed("the server ended with status 1"), Refused("Expected margin 1.0, got 2.0")


def served(
    found: ServedEvidence | None = None, *, flips: float | None = None, limit: float | None = None, **changes: Any
) -> Verdict:
    evidence = Served(AGREED, Agreement(500), 900, COSTS)
    differing = None if flips is None else Flips(flips)
    limits = ConsistencyLimits(maximum_flips=limit)
    return consistent(found or dataclasses.replace(evidence, **changes), differing, limits)


def costs(found: ServedEvidence | None = None, **changes: Any) -> Verdict:
    measured = dataclasses.replace(COSTS, **changes)
    return servable(found or Served(AGREED, AGREED, 24, measured), ServabilityBudgets())


CASES: list[tuple[str, Callable[[], Verdict], Outcome]] = [
    ("rows and positives suffice", lambda: evidence(1000, 50, 50), "PASS"),
    ("a row is missing", lambda: evidence(999, 50, 50), "INCONCLUSIVE"),
    ("a positive to fit on is missing", lambda: evidence(1000, 49, 50), "INCONCLUSIVE"),
    ("a positive of the holdout is missing", lambda: evidence(1000, 50, 49), "INCONCLUSIVE"),
    ("all rows are in time", lambda: rows_in_time({}), "PASS"),
    ("a row is from the future", lambda: rows_in_time({"known_at": {5: np.datetime64(AS_OF, "us")}}), "FAIL"),
    ("labels are not mature", lambda: rows_in_time({}, is_mature=False), "FAIL"),
    ("there are no rows", lambda: rows_in_time({}, is_empty=True), "INCONCLUSIVE"),
    ("no rows, and labels not mature", lambda: rows_in_time({}, is_empty=True, is_mature=False), "FAIL"),
    ("the floor is reached", lambda: floor(0.2), "PASS"),
    ("the floor is not reached", lambda: floor(0.199), "FAIL"),
    ("the metric is not defined", lambda: floor(NAN), "INCONCLUSIVE"),
    ("there is no floor", lambda: floor(NAN, GATES_SPEC), "PASS"),
    ("no feature leaks", lambda: no_leaking_feature({"age": 0.95}, GATES_SPEC), "PASS"),
    ("a feature leaks", lambda: no_leaking_feature({"age": 0.951}, GATES_SPEC), "FAIL"),
    ("above the baseline", lambda: beats_baseline(difference(0.02, 1e-9, 0.05), GATES_SPEC), "PASS"),
    ("the interval touches 0", lambda: beats_baseline(difference(0.02, 0.0, 0.05), GATES_SPEC), "INCONCLUSIVE"),
    ("the interval holds 0", lambda: beats_baseline(difference(-0.02, -0.05, 0.01), GATES_SPEC), "INCONCLUSIVE"),
    ("below the baseline", lambda: beats_baseline(difference(-0.02, -0.05, 0.0), GATES_SPEC), "FAIL"),
    ("not comparable", lambda: beats_baseline(difference(0.02, NAN, NAN), GATES_SPEC), "INCONCLUSIVE"),
    ("there is no champion", lambda: champion(None), "PASS"),
    ("it is the champion", lambda: champion("candidate"), "PASS"),
    ("the champion saw every day", lambda: champion("champion"), "INCONCLUSIVE"),
    ("few common positives", lambda: champion("champion", 49, difference(-0.2, -0.3, -0.1)), "INCONCLUSIVE"),
    ("no metric on common days", lambda: champion("champion", 50, None), "INCONCLUSIVE"),
    ("not below the champion", lambda: champion("champion", 50, difference(-0.01, -0.03, 0.0)), "PASS"),
    ("below the champion", lambda: champion("champion", 50, difference(-0.02, -0.03, -0.001)), "FAIL"),
    ("no interval", lambda: champion("champion", 50, difference(0.1, NAN, NAN)), "INCONCLUSIVE"),
    ("on no slice worse", lambda: sliced((0.01, -0.02, 0.04, 0.5), (-0.02, -0.05, 0.01, 0.2)), "PASS"),
    ("surely worse on a slice", lambda: sliced((0.01, -0.02, 0.04, 0.5), (-0.05, -0.08, -0.02, 0.001)), "FAIL"),
    ("worse, but not after Holm", lambda: sliced((0.0, -1.0, 1.0, 1.0), (-0.05, -0.1, -1e-9, 0.03)), "PASS"),
    ("a slice is surely better", lambda: sliced((0.05, 0.02, 0.08, 0.001)), "PASS"),
    ("a small slice that nobody declared", lambda: sliced((0.0, -1.0, 1.0, 1.0), small=900), "PASS"),
    ("a declared slice is too small", lambda: sliced((0.0, -1.0, 1.0, 1.0), small=900, **DECLARED), "INCONCLUSIVE"),
    ("a declared slice of few rows", lambda: sliced((0.0, -1.0, 1.0, 1.0), small=20, **DECLARED), "PASS"),
    ("within the margin on a slice", lambda: sliced((0.0, -0.04, 0.04, 1.0), margin=0.05), "PASS"),
    ("not within the margin", lambda: sliced((0.0, -0.05, 0.05, 1.0), margin=0.05), "INCONCLUSIVE"),
    ("no slices", lambda: not_worse_by_slice(SliceEvidence("champion", (), ()), SliceLimits()), "PASS"),
    ("slices of the champion itself", lambda: not_worse_by_slice(None, SliceLimits()), "PASS"),
    ("no costlier", lambda: decision_costs((0.1, 0.0, 0.2)), "PASS"),
    ("surely costlier", lambda: decision_costs((0.1, 1e-9, 0.2)), "FAIL"),
    ("costs without an interval", lambda: decision_costs((0.1, NAN, NAN)), "INCONCLUSIVE"),
    ("within the margin of cost", lambda: decision_costs((0.0, -0.04, 0.049), 0.05), "PASS"),
    ("not within the margin of cost", lambda: decision_costs((0.0, -0.05, 0.05), 0.05), "INCONCLUSIVE"),
    ("beyond the margin of cost", lambda: decision_costs((0.1, 0.06, 0.14), 0.05), "FAIL"),
    ("no costs", lambda: not_costlier(None, None, GATES_SPEC), "PASS"),
    ("few declines", lambda: declines(7, 140), "PASS"),
    ("many declines", lambda: declines(7, 141), "FAIL"),
    ("few days to cut the bands", lambda: declines(6, 100), "INCONCLUSIVE"),
    ("few days, and many declines", lambda: declines(6, 141), "FAIL"),
    ("no limits on decisions by group", lambda: fair(0.5, profile="none"), "PASS"),
    ("a group is declined too often", lambda: fair(0.5), "FAIL"),
    ("attributes cannot be read", lambda: fair(None), "INCONCLUSIVE"),
    ("no limits, and attributes cannot be read", lambda: fair(None, profile="none"), "INCONCLUSIVE"),
    ("no word on protected attributes", lambda: fair_by_group(None, None, FairnessSpec()), "INCONCLUSIVE"),
    ("calibrated", lambda: calibration((1.0, 0.8, 1.2), (1.0, 0.9, 1.1)), "PASS"),
    ("slope wholly below", lambda: calibration((0.3, 0.2, 0.49), (1.0, 0.9, 1.1)), "FAIL"),
    ("slope below, not wholly", lambda: calibration((0.45, 0.3, 0.6), (1.0, 0.9, 1.1)), "INCONCLUSIVE"),
    ("slope within, its interval is not", lambda: calibration((0.6, 0.3, 0.9), (1.0, 0.9, 1.1)), "PASS"),
    ("twice the expected events", lambda: calibration((1.0, 0.8, 1.2), (2.5, 2.01, 3.0)), "FAIL"),
    ("no slope", lambda: calibration((NAN, NAN, NAN), (1.0, 0.9, 1.1)), "INCONCLUSIVE"),
    ("a limit of the error", lambda: calibration((1.0, 0.8, 1.2), (1.0, 0.9, 1.1), maximum_error=0.1), "FAIL"),
    ("robust", robustness, "PASS"),
    ("not finite", lambda: robustness(unbounded={"missing": 1}), "FAIL"),
    ("against a constraint", lambda: robustness(falling={"amount": 1}), "FAIL"),
    ("decisions flip", lambda: robustness(flips=0.051), "FAIL"),
    ("seeds differ", lambda: robustness(seed_change=0.51), "FAIL"),
    ("not fitted again", lambda: robustness(seed_change=None), "PASS"),
    ("no rows to spoil", lambda: robustness(rows=0), "INCONCLUSIVE"),
    ("explained", explanations, "PASS"),
    ("contributions miss", lambda: explanations(largest_gap=2e-6), "FAIL"),
    ("a gap that is not defined", lambda: explanations(largest_gap=NAN), "FAIL"),
    ("a rounded sum", lambda: explanations(largest_gap=9e-6, is_single_precision=True), "PASS"),
    ("a rounded sum misses", lambda: explanations(largest_gap=2e-5, is_single_precision=True), "FAIL"),
    ("other reasons", lambda: explanations(agreement=0.49), "FAIL"),
    ("other reasons of few", lambda: explanations(agreement=0.0, stopped=19), "PASS"),
    ("no rows to explain", lambda: explanations(rows=0), "INCONCLUSIVE"),
    ("every bit is served", served, "PASS"),
    ("decisions flip, without a limit", lambda: served(flips=0.5), "PASS"),
    ("decisions flip up to the limit", lambda: served(flips=0.1, limit=0.1), "PASS"),
    ("decisions flip beyond the limit", lambda: served(flips=0.11, limit=0.1), "FAIL"),
    ("a limit, and no champion", lambda: served(limit=0.1), "PASS"),
    ("a golden score differs", lambda: served(golden=Agreement(24, scores=1, first="row 2")), "FAIL"),
    ("a holdout score differs", lambda: served(holdout=Agreement(9, scores=1, first="row 2")), "FAIL"),
    ("a decision differs", lambda: served(holdout=Agreement(9, decisions=1, first="row 2")), "FAIL"),
    ("a row is refused", lambda: served(holdout=Agreement(9, refused=1, first="row 2")), "FAIL"),
    ("a golden score differs, and no row", lambda: served(golden=Agreement(1, 1), holdout=Agreement(0)), "FAIL"),
    ("no holdout row is asked for", lambda: served(holdout=Agreement(0)), "INCONCLUSIVE"),
    ("the server refuses the bundle", lambda: served(REFUSED), "FAIL"),
    ("there is no server", lambda: served(NOT_SERVED), "INCONCLUSIVE"),
    ("every budget is kept, whatever the clock says", costs, "PASS"),
    ("no reasons to measure", lambda: costs(explanation_cpu_us=None), "PASS"),
    ("loading takes too long", lambda: costs(load_cpu_seconds=5.01), "FAIL"),
    ("too much memory", lambda: costs(memory_bytes=256_000_001), "FAIL"),
    ("a decision takes too long", lambda: costs(decision_cpu_us=1001.0), "FAIL"),
    ("reasons take too long", lambda: costs(explanation_cpu_us=2001.0), "FAIL"),
    ("the bundle is too large", lambda: costs(bundle_bytes=50_000_001), "FAIL"),
    ("a refused bundle cannot be measured", lambda: costs(REFUSED), "FAIL"),
    ("no server to measure", lambda: costs(NOT_SERVED), "INCONCLUSIVE"),
    ("fresh", lambda: age(30), "PASS"),
    ("stale", lambda: age(31), "FAIL"),
    ("nothing was ever loaded", lambda: age(None), "INCONCLUSIVE"),
    ("every day is whole", lambda: days([10, 10, 10]), "PASS"),
    ("a day is short", lambda: days([10, 4, 10]), "FAIL"),
    ("no day to judge", lambda: days([]), "INCONCLUSIVE"),
    ("the mart has every row", lambda: mart_complete({DAY: (9, 9)}, "mart"), "PASS"),
    ("the mart lacks a row", lambda: mart_complete({DAY: (9, 8)}, "mart"), "FAIL"),
    ("the mart has no day", lambda: mart_complete({}, "mart"), "INCONCLUSIVE"),
]


@pytest.mark.parametrize(("judge", "outcome"), [case[1:] for case in CASES], ids=[case[0] for case in CASES])
def test_each_gate_says_whether_evidence_is_against_the_candidate_or_missing(
    judge: Callable[[], Verdict], outcome: Outcome
) -> None:
    verdict = judge()
    assert verdict.outcome == outcome
    assert verdict.is_passed == (outcome == "PASS")
    assert verdict.summary


def test_the_table_has_every_gate_of_a_candidate_with_each_outcome_that_blocks_it() -> None:
    blocked = {(judge().gate, outcome) for _, judge, outcome in CASES if outcome != "PASS"}
    assert {gate for gate, _ in blocked} >= set(GATES)


@pytest.mark.parametrize(
    ("outcomes", "outcome", "text", "refusal"),
    [
        (("PASS", "PASS"), "PASS", "passed", None),
        (("PASS", "FAIL"), "FAIL", "refused by b", "b failed"),
        (("PASS", "INCONCLUSIVE"), "INCONCLUSIVE", "inconclusive: b", "b had too little evidence"),
        (("FAIL", "INCONCLUSIVE"), "FAIL", "refused by a; inconclusive: b", "a failed; b had too little evidence"),
        (("INCONCLUSIVE", "INCONCLUSIVE"), "INCONCLUSIVE", "inconclusive: a, b", "a, b had too little evidence"),
        ((), "INCONCLUSIVE", "no verdicts", "there is no verdict of a, b"),
    ],
)
def test_all_gates_together_pass_only_if_each_of_them_passed(
    outcomes: tuple[Outcome, ...], outcome: Outcome, text: str, refusal: str | None
) -> None:
    verdicts = tuple(Verdict.of(gate, one, "", {}, {}) for gate, one in zip("ab", outcomes, strict=False))
    assert (overall(verdicts), overall_text(verdicts)) == (outcome, text)
    assert missing_verdicts(JudgedVersion("", "c", AS_OF, "c", verdicts), ("a", "b")) == refusal


def test_a_check_that_is_switched_off_is_not_inconclusive() -> None:
    spec = InputSpec(switched_off={"mart_complete": "the mart is a view"})
    assert switched_off(mart_complete({}, "mart"), spec).outcome == "PASS"


@pytest.mark.parametrize(("is_passed", "outcome"), [(True, "PASS"), (False, "FAIL")])
def test_a_verdict_of_before_is_read_and_written_with_the_same_bytes(is_passed: bool, outcome: Outcome) -> None:
    word = "true" if is_passed else "false"
    written = f'{{"gate":"a","is_passed":{word},"summary":"s","observed":{{}},"required":{{}}}}'.encode()
    verdict = msgspec.json.decode(written, type=Verdict)
    assert verdict.outcome == outcome
    assert msgspec.json.encode(verdict) == written == msgspec.json.encode(Verdict.of("a", outcome, "s", {}, {}))


def test_a_manifest_is_written_as_servers_of_before_read_it() -> None:
    fields = {field.name for field in msgspec.structs.fields(Manifest)}
    assert "outcome" not in fields
    assert b"inconclusive" not in msgspec.json.encode(Verdict.of("a", "PASS", "s", {}, {}))


def test_an_inconclusive_verdict_keeps_its_outcome_and_cannot_have_passed() -> None:
    verdict = Verdict.of("a", "INCONCLUSIVE", "s", {"n": 1}, {})
    assert msgspec.json.decode(msgspec.json.encode(verdict), type=Verdict) == verdict
    with pytest.raises(msgspec.ValidationError, match="Expected `is_inconclusive` only"):
        msgspec.json.decode(b'{"gate":"a","is_passed":true,"summary":"","is_inconclusive":true}', type=Verdict)
