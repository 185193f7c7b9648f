import datetime as dt
from collections.abc import Callable, Collection

import pytest

from lifecycle.gates.input_gates import freshness, volume
from lifecycle.spec.input_checks import CalendarSpec, InputSpec

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
    verdict = volume(counts, START, END, SPEC, model="m")
    assert verdict.is_passed == (not short)
    assert verdict.observed["short_days"] == short


def test_a_day_that_was_never_loaded_counts_as_none_and_others_are_left_aside() -> None:
    counts = {START + dt.timedelta(days=day): 1000 for day in range(6)} | {END: 1, START - dt.timedelta(days=1): 1}
    verdict = volume(counts, START, END, SPEC, model="m")
    assert verdict.summary == (
        "1 of 7 days have too few transactions (Tue 2018-08-07: 0 of about 1,000). Load what is missing and build the "
        "features of these days; or accept a day as it is: `lifecycle acknowledge m 2018-08-07 --reason ...`; or put "
        "days that are always like this into `input.calendar` of the model's file"
    )


def test_no_days_are_no_input() -> None:
    assert not volume({}, START, START, SPEC, model="m").is_passed


FIRST = dt.date(2018, 4, 2)  # a Monday
LAST = FIRST + dt.timedelta(weeks=20)


def counts_of(count: Callable[[dt.date], float], start: dt.date = FIRST) -> dict[dt.date, int]:
    return {date: round(count(date)) for date in (start + dt.timedelta(days=day) for day in range((LAST - start).days))}


def short_days(counts: dict[dt.date, int], spec: InputSpec = SPEC, acknowledged: Collection[dt.date] = ()) -> list[str]:
    verdict = volume(counts, FIRST, LAST, spec, model="m", acknowledged=acknowledged)
    days: list[str] = verdict.observed["short_days"]
    assert verdict.is_passed == (not days)
    return days


def weekly(date: dt.date) -> float:
    return 300 if date.weekday() == 6 else 1000


def test_a_weekend_is_compared_with_weekends() -> None:
    assert short_days(counts_of(weekly)) == []
    sunday = dt.date(2018, 7, 1)
    assert short_days({**counts_of(weekly), sunday: 140}) == ["2018-07-01"]
    assert short_days({**counts_of(weekly), sunday: 160}) == []
    # A weekday with the transactions of a Sunday is short, and a median over all days would not know.
    assert short_days({**counts_of(weekly), dt.date(2018, 7, 4): 300}) == ["2018-07-04"]


@pytest.mark.parametrize("weekly_growth", [1.0, 1.1, 1.25, 0.9])
def test_growth_makes_no_day_short_and_hides_none(weekly_growth: float) -> None:
    counts = counts_of(lambda date: weekly(date) * weekly_growth ** ((date - FIRST).days / 7))
    assert short_days(counts) == []
    lost = dt.date(2018, 8, 1)
    assert short_days({**counts, lost: counts[lost] // 4}) == ["2018-08-01"]


def test_the_weeks_before_the_first_day_are_references() -> None:
    before = FIRST - dt.timedelta(weeks=6)
    counts = counts_of(lambda date: 1000 if date < FIRST or date >= FIRST + dt.timedelta(weeks=2) else 100, before)
    assert len(short_days(counts)) == 14


def test_one_lost_day_holds_up_training_until_a_person_accepts_it() -> None:
    lost = dt.date(2018, 7, 4)
    counts = {**counts_of(weekly), lost: 0}
    assert short_days(counts) == ["2018-07-04"]
    assert short_days(counts, acknowledged=[lost]) == []
    # What a person has accepted is no measure for other days.
    weeks = [lost + dt.timedelta(weeks=week) for week in range(6)]
    counts |= dict.fromkeys(weeks[:5], 1)
    assert short_days({**counts, weeks[5]: 10}, acknowledged=weeks[:5]) == [weeks[5].isoformat()]


def test_the_calendar_names_holidays_and_closed_days() -> None:
    calendar = CalendarSpec(holidays=("05-01",), closed=("2018-05-10",), closed_weekdays=("sun",))
    spec = InputSpec(minimum_volume_share=0.5, calendar=calendar)
    counts = counts_of(lambda date: 0 if date.weekday() == 6 else 1000)
    counts |= {dt.date(2018, 5, 1): 3, dt.date(2018, 5, 10): 0}
    assert short_days(counts, spec) == []
    assert len(short_days(counts)) == 22
    assert short_days({**counts, dt.date(2018, 5, 1): 0}, spec) == ["2018-05-01"]
    assert short_days({**counts, dt.date(2018, 5, 11): 0}, spec) == ["2018-05-11"]


def test_closed_and_acknowledged_days_do_not_age_the_input() -> None:
    monday, saturday_evening = dt.date(2018, 8, 27), dt.datetime.fromisoformat("2018-08-25T18:00")
    assert not freshness(saturday_evening, monday, SPEC.model_copy(update={"maximum_age_hours": 26})).is_passed
    closed = InputSpec(maximum_age_hours=26, calendar=CalendarSpec(closed_weekdays=("sun",)))
    assert freshness(saturday_evening, monday, closed).is_passed
    assert not freshness(saturday_evening - dt.timedelta(days=1), monday, closed).is_passed
    days = [dt.date(2018, 8, 25)]
    assert freshness(saturday_evening - dt.timedelta(days=1), monday, closed, days).is_passed


def test_a_calendar_of_other_days_than_dates_is_refused() -> None:
    with pytest.raises(ValueError, match="holidays"):
        CalendarSpec(holidays=("Christmas",))
