import datetime as dt
from collections.abc import Sequence

import msgspec
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import entropy

from lifecycle.modelling.evaluation import Interval
from lifecycle.modelling.reference import SCORE, ColumnCounts, Reference, count, freeze
from lifecycle.monitoring.drift import DriftVerdict, estimate_onset, judge_drift, psi
from lifecycle.monitoring.live_performance import PerformanceVerdict, judge_performance
from lifecycle.spec.monitoring import DriftSpec
from lifecycle.tables.arrays import FloatArray

SPEC = DriftSpec(window_days=7, maximum_psi=0.2, minimum_rows=1000)
END = dt.date(2018, 8, 29)
DATES = [END - dt.timedelta(days=back) for back in range(7, 0, -1)]
COUNTS = st.lists(st.integers(1, 10_000), min_size=3, max_size=3)


@given(COUNTS, COUNTS)
def test_psi_is_the_symmetric_relative_entropy(reference: list[int], current: list[int]) -> None:
    twin = entropy(current, reference) + entropy(reference, current)
    assert psi(reference, current) == pytest.approx(twin, abs=1e-9)
    assert psi(reference, current) == pytest.approx(psi(current, reference), abs=1e-9)
    assert psi(reference, reference) == 0.0


def test_an_empty_bin_costs_a_finite_price_that_falls_with_its_weight() -> None:
    assert 0 < psi([1000, 1000, 0], [1000, 1000, 1]) < 0.001
    assert psi([1000, 1000, 0], [1000, 1000, 1]) < psi([1000, 1000, 0], [1000, 1000, 500]) < 3
    assert psi([10, 0, 10], [5, 0, 15]) == psi([10, 10], [5, 15])


@pytest.mark.parametrize(
    ("reference", "current"), [([1, 2], [1, 2, 3]), ([0, 0], [1, 2]), ([1, 2], [0, 0]), ([-1, 2], [1, 2])]
)
def test_windows_that_cannot_be_compared_are_refused(reference: list[int], current: list[int]) -> None:
    with pytest.raises(ValueError, match="Expected"):
        psi(reference, current)


def traffic(seed: int, weekend_is_different: bool = True, moved: float = 0.0) -> dict[str, FloatArray]:
    """One day's decisions."""
    generator = np.random.default_rng(seed)
    weekend = float(weekend_is_different and seed % 7 >= 5)
    amount = generator.lognormal(3 + weekend, 1, 400)
    amount[: int(moved * 400)] = 0.5
    missing = np.where(generator.random(400) < 0.1, np.nan, generator.normal(size=400))
    return {"amount": amount, "is_weekend": np.full(400, weekend), "missing": missing, SCORE: generator.random(400)}


def stacked(days: Sequence[dict[str, FloatArray]]) -> dict[str, FloatArray]:
    return {name: np.concatenate([day[name] for day in days]) for name in days[0]}


@pytest.fixture(scope="module")
def reference() -> Reference:
    window = stacked([traffic(seed) for seed in range(28)])
    return Reference({name: freeze(values, 10) for name, values in window.items()}, "a", "b")


def daily(reference: Reference, moved: Sequence[float] = (0,) * 7) -> dict[dt.date, dict[str, ColumnCounts]]:
    days = zip(DATES, moved, strict=True)
    return {date: count(reference, traffic(70 + day, moved=share)) for day, (date, share) in enumerate(days)}


def test_whole_weeks_of_the_same_traffic_are_no_drift_whatever_the_weekdays(reference: Reference) -> None:
    verdict = judge_drift(reference, daily(reference), END, SPEC, bundle_digest="b")
    assert (verdict.has_verdict, verdict.is_alarm, verdict.alarmed, verdict.onset) == (True, False, (), None)
    assert verdict.rows == 2800
    assert set(verdict.psi) == {"amount", "is_weekend", "missing", SCORE}
    assert max(verdict.psi.values()) < 0.05
    assert verdict.reason.startswith("no column above 0.2; the highest is")
    assert (verdict.window_start, verdict.window_end) == ("2018-08-22", "2018-08-29")


def test_a_burst_of_small_amounts_alarms_with_its_first_day(reference: Reference) -> None:
    verdict = judge_drift(reference, daily(reference, (0, 0, 0, 0.5, 0.5, 0.5, 0.5)), END, SPEC, bundle_digest="b")
    assert (verdict.is_alarm, verdict.alarmed, verdict.onset) == (True, ("amount",), "2018-08-25")
    assert verdict.reason == f"PSI above 0.2: amount {verdict.psi['amount']:.3f}"
    assert msgspec.json.decode(msgspec.json.encode(verdict), type=DriftVerdict) == verdict


def test_the_score_drifts_too(reference: Reference) -> None:
    counts = daily(reference)
    for columns in counts.values():
        bins = columns[SCORE].bins
        columns[SCORE] = ColumnCounts((sum(bins), *[0] * (len(bins) - 1)))
    verdict = judge_drift(reference, counts, END, SPEC, bundle_digest="b")
    assert verdict.alarmed == (SCORE,)
    assert "the score" in verdict.reason


def test_too_few_decisions_give_no_verdict(reference: Reference) -> None:
    few = judge_drift(reference, daily(reference, (0.5,) * 7), END, DriftSpec(minimum_rows=2801), bundle_digest="b")
    assert (few.has_verdict, few.is_alarm, few.psi) == (False, False, {})
    assert few.reason == "2800 decisions, below 2801: no verdict"
    assert not judge_drift(reference, {}, END, SPEC, bundle_digest="b").has_verdict


@pytest.mark.parametrize("lost", range(7))
@pytest.mark.parametrize("moved", [0.0, 0.5])
def test_a_day_without_decisions_is_replaced_by_the_same_weekday_of_the_window_before(
    reference: Reference, lost: int, moved: float
) -> None:
    counts = daily(reference, (moved,) * 7)
    counts[DATES[lost] - dt.timedelta(days=7)] = count(reference, traffic(70 + lost - 7, moved=moved))
    whole = judge_drift(reference, counts, END, SPEC, bundle_digest="b")
    del counts[DATES[lost]]
    gap = judge_drift(reference, counts, END, SPEC, bundle_digest="b")
    assert (gap.has_verdict, gap.is_alarm, gap.alarmed) == (True, whole.is_alarm, whole.alarmed)
    assert gap.missing_days == (DATES[lost].isoformat(),)
    assert whole.missing_days == ()
    assert (gap.window_start, gap.window_end, gap.rows) == (whole.window_start, whole.window_end, whole.rows)
    assert gap.psi["is_weekend"] == whole.psi["is_weekend"]
    assert gap.reason.endswith(f"(no decisions on {DATES[lost]}: replaced by the days one window earlier)")


def test_a_weekday_without_decisions_in_both_windows_gives_no_verdict(reference: Reference) -> None:
    counts = daily(reference, (0.5,) * 7)
    del counts[DATES[2]]
    gap = judge_drift(reference, counts, END, SPEC, bundle_digest="b")
    assert (gap.has_verdict, gap.is_alarm, gap.missing_days) == (False, False, (DATES[2].isoformat(),))
    assert gap.reason == "1 of 7 days have no decisions, nor the days one window earlier: no verdict"


def test_days_outside_the_window_are_left_aside(reference: Reference) -> None:
    outside = {END: count(reference, traffic(1, moved=1.0)), DATES[0] - dt.timedelta(days=1): {}}
    verdict = judge_drift(reference, daily(reference) | outside, END, SPEC, bundle_digest="b")
    assert (verdict.rows, verdict.is_alarm) == (2800, False)


@pytest.mark.parametrize("onset", range(7))
def test_the_onset_is_found_in_spite_of_weekdays(reference: Reference, onset: int) -> None:
    moved = [0.4 if day >= onset else 0.0 for day in range(7)]
    by_day = np.array([columns["amount"].bins for columns in daily(reference, moved).values()], dtype=np.float64)
    assert estimate_onset(reference.columns["amount"].counts, by_day, DATES) == DATES[onset]


PROMISED = Interval(0.625, 0.5, 0.75)
TOLERANT = DriftSpec(recall_tolerance=0.25)


@pytest.mark.parametrize(
    ("caught", "positives", "has_verdict", "is_alarm"),
    [
        (0, 0, False, False),
        (0, 49, False, False),
        (0, 50, True, True),
        (17, 100, True, True),
        (18, 100, True, False),
        (11, 50, True, False),
        (229, 1000, True, False),
        (227, 1000, True, True),
        (100, 100, True, False),
    ],
)
def test_live_recall_alarms_if_even_its_upper_limit_is_below_the_holdouts_interval_and_the_tolerance(
    caught: int, positives: int, has_verdict: bool, is_alarm: bool
) -> None:
    verdict = judge_performance(caught, positives, PROMISED, (DATES[0], END), 50, TOLERANT)
    assert (verdict.has_verdict, verdict.is_alarm) == (has_verdict, is_alarm)
    assert (verdict.required, verdict.promised) == (0.25, 0.625)
    assert msgspec.json.decode(msgspec.json.encode(verdict), type=PerformanceVerdict) == verdict
