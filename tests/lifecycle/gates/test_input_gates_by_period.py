"""Volume by week and month, and checks that a model's file switches off with a reason."""

import datetime as dt

import pytest

from lifecycle.gates.input_gates import freshness, switched_off, volume
from lifecycle.spec.examples import Cadence
from lifecycle.spec.input_checks import InputSpec

MONTHS = [dt.date(2025, month, 1) for month in range(1, 13)]
SPEC = InputSpec()


@pytest.mark.parametrize(
    ("count", "acknowledged", "is_passed", "summary"),
    [
        (900, (), True, "10 months, each with at least 50% of its usual transactions"),
        (499, (), False, "1 of 10 months have too few transactions (Tue 2025-07-01: 499 of about 1,000)"),
        (0, (), False, "Tue 2025-07-01: 0 of about 1,000"),
        (0, (dt.date(2025, 7, 20),), True, "10 months"),
    ],
)
def test_a_month_is_compared_with_the_other_months(
    count: int, acknowledged: tuple[dt.date, ...], is_passed: bool, summary: str
) -> None:
    counts = {month: count if month.month == 7 else 1000 for month in MONTHS}
    verdict = volume(
        counts, dt.date(2025, 2, 10), dt.date(2026, 1, 1), SPEC,
        model="credit", acknowledged=acknowledged, cadence="monthly",
    )  # fmt: skip
    assert verdict.is_passed is is_passed
    assert summary in verdict.summary


@pytest.mark.parametrize(("cadence", "is_passed"), [("weekly", True), ("event", False)])
def test_days_without_examples_are_usual_in_a_weekly_model_only(cadence: Cadence, is_passed: bool) -> None:
    counts = {dt.date(2025, 1, 6) + dt.timedelta(weeks=week): 500 for week in range(20)}
    verdict = volume(counts, dt.date(2025, 2, 3), dt.date(2025, 5, 12), SPEC, model="credit", cadence=cadence)
    assert verdict.is_passed is is_passed


def test_a_check_that_is_switched_off_says_why_and_what_it_would_have_said() -> None:
    failed = freshness(dt.datetime.fromisoformat("2025-01-01T00:00"), dt.date(2025, 3, 1), SPEC)
    off = InputSpec(switched_off={"input_freshness": "the file arrives once a quarter"})
    assert not switched_off(failed, SPEC).is_passed
    verdict = switched_off(failed, off)
    assert verdict.is_passed
    assert verdict.summary.startswith("switched off (the file arrives once a quarter); it would say: the newest")
    fresh = freshness(dt.datetime.fromisoformat("2025-02-28T23:00"), dt.date(2025, 3, 1), SPEC)
    assert switched_off(fresh, off) == fresh
