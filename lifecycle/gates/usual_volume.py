"""How many transactions a day usually has: the median of the same weekday in the weeks before.

A median of the same weekday follows weekends and growth, and one lost day does not move it.
"""

import datetime as dt
import statistics
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass

from lifecycle.spec.cadence import period_start
from lifecycle.spec.examples import Cadence
from lifecycle.spec.input_checks import CalendarSpec, InputSpec

REFERENCE_WEEKS = 4
"""Weeks before a day that are compared with it: a growth of 10 % a week puts their median a fifth below the day."""
MINIMUM_REFERENCES = 3
"""With fewer earlier weeks, as at the start of the data, later ones are added; with fewer of both, the days of all
weekdays are compared."""
_WEEKDAYS = ("mon", "tue", "wed", "thu", "fri", "sat", "sun")


@dataclass(frozen=True)
class JudgedDay:
    """A day with its transactions, those it usually has, and the fewest that are accepted."""

    date: dt.date
    count: int
    usual: float
    least: float

    @property
    def is_short(self) -> bool:
        """Whether there are too few transactions."""
        return self.count < self.least


def judged_days(
    counts: Mapping[dt.date, int], dates: Sequence[dt.date], spec: InputSpec, acknowledged: Collection[dt.date]
) -> list[JudgedDay]:
    """The days of `dates` that are neither closed nor acknowledged, compared with usual ones.

    A usual day has at least one transaction, and is neither closed, a holiday nor acknowledged. A holiday needs one
    transaction; without a usual day to compare with, so does any other day.
    """
    calendar = spec.calendar
    usual_counts = {
        date: count
        for date, count in counts.items()
        if count and not (is_closed(date, calendar) or is_holiday(date, calendar) or date in acknowledged)
    }
    days = []
    for date in dates:
        if is_closed(date, calendar) or date in acknowledged:
            continue
        references = _references(usual_counts, date)
        usual = statistics.median(references) if references else 0.0
        least = 1.0 if is_holiday(date, calendar) else max(spec.minimum_volume_share * usual, 1.0)
        days.append(JudgedDay(date, counts.get(date, 0), usual, least))
    return days


def judged_periods(
    counts: Mapping[dt.date, int],
    periods: Sequence[dt.date],
    spec: InputSpec,
    acknowledged: Collection[dt.date],
    cadence: Cadence,
) -> list[JudgedDay]:
    """The weeks or months that begin on `periods`, compared with the median of the others.

    An acknowledged day excuses its whole period.
    """
    totals: dict[dt.date, int] = dict.fromkeys(periods, 0)
    for date, count in counts.items():
        period = period_start(date, cadence)
        totals[period] = totals.get(period, 0) + count
    excused = {period_start(date, cadence) for date in acknowledged}
    judged = []
    for period in periods:
        if period in excused:
            continue
        others = [count for other, count in totals.items() if count and other != period and other not in excused]
        usual = statistics.median(others) if others else 0.0
        judged.append(JudgedDay(period, totals[period], usual, max(spec.minimum_volume_share * usual, 1.0)))
    return judged


def is_closed(date: dt.date, calendar: CalendarSpec) -> bool:
    """Whether a day may be without transactions."""
    return _WEEKDAYS[date.weekday()] in calendar.closed_weekdays or _is_listed(date, calendar.closed)


def is_holiday(date: dt.date, calendar: CalendarSpec) -> bool:
    """Whether a day may have fewer transactions than usual."""
    return _is_listed(date, calendar.holidays)


def empty_days_before(date: dt.date, calendar: CalendarSpec, acknowledged: Collection[dt.date]) -> int:
    """Number of consecutive closed or acknowledged days directly before `date`, at most a year's."""
    days = 0
    while days < 366:
        day = date - dt.timedelta(days=days + 1)
        if not (is_closed(day, calendar) or day in acknowledged):
            break
        days += 1
    return days


def _is_listed(date: dt.date, listed: Collection[str]) -> bool:
    return f"{date:%Y-%m-%d}" in listed or f"{date:%m-%d}" in listed


def _references(usual_counts: Mapping[dt.date, int], date: dt.date) -> list[int]:
    """Counts of the same weekday in the weeks before; with few of them, also after; with few of both, of any day."""
    weeks = [date - dt.timedelta(weeks=week) for week in range(1, REFERENCE_WEEKS + 1)]
    references = [usual_counts[day] for day in weeks if day in usual_counts]
    for week in range(1, REFERENCE_WEEKS + 1):
        later = date + dt.timedelta(weeks=week)
        if len(references) < MINIMUM_REFERENCES and later in usual_counts:
            references.append(usual_counts[later])
    if len(references) < MINIMUM_REFERENCES:
        return [count for day, count in usual_counts.items() if day != date]
    return references
