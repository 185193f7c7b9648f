import datetime as dt

import pytest

from lifecycle.gates.input_gates import freshness, volume
from lifecycle.spec.risk_model import InputSpec

AS_OF = dt.date(2018, 8, 29)
SPEC = InputSpec(maximum_age_hours=30, minimum_volume_share=0.5)


@pytest.mark.parametrize(
    ("newest_at", "is_passed", "summary"),
    [
        ("2018-08-28T23:59", True, "the newest transaction is 0.0 h older than 2018-08-29"),
        ("2018-08-27T18:00", True, "30.0 h older"),
        ("2018-08-27T17:59", False, "more than 30 h"),
        (None, False, "no transaction before 2018-08-29"),
    ],
)
def test_freshness(newest_at: str | None, is_passed: bool, summary: str) -> None:
    verdict = freshness(dt.datetime.fromisoformat(newest_at) if newest_at else None, AS_OF, SPEC)
    assert verdict.is_passed == is_passed
    assert summary in verdict.summary


START, END = dt.date(2018, 8, 1), dt.date(2018, 8, 8)


@pytest.mark.parametrize(
    ("changes", "short"),
    [
        ({}, []),
        ({3: 500}, []),
        ({6: 499}, ["2018-08-07"]),
        ({0: 0, 6: 10}, ["2018-08-01", "2018-08-07"]),
        (dict.fromkeys(range(7), 0), [f"2018-08-0{day}" for day in range(1, 8)]),
        (dict.fromkeys(range(5), 0), [f"2018-08-0{day}" for day in range(1, 6)]),
    ],
)
def test_volume_finds_missing_and_half_days(changes: dict[int, int], short: list[str]) -> None:
    counts = {START + dt.timedelta(days=day): changes.get(day, 1000) for day in range(7)}
    verdict = volume(counts, START, END, SPEC)
    assert verdict.is_passed == (not short)
    assert verdict.observed["short_days"] == short


def test_a_day_that_was_never_loaded_counts_as_none_and_others_are_left_aside() -> None:
    counts = {START + dt.timedelta(days=day): 1000 for day in range(6)} | {END: 1, START - dt.timedelta(days=1): 1}
    verdict = volume(counts, START, END, SPEC)
    assert verdict.summary == "1 of 7 days below 500 transactions (2018-08-07: 0)"


def test_no_days_are_no_input() -> None:
    assert not volume({}, START, START, SPEC).is_passed
