"""Periods in which examples come: days, weeks from Monday on, or months."""

import datetime as dt

from lifecycle.spec.examples import Cadence

LONGEST_PERIOD_DAYS: dict[Cadence, int] = {"event": 1, "daily": 1, "weekly": 7, "monthly": 31}
RECENT_DAYS: dict[Cadence, int] = {"event": 7, "daily": 7, "weekly": 7, "monthly": 31}
"""Days before ``as_of`` that the decision bands are cut on: a whole week, so that each weekday counts once, or the
longest period, so that one batch of examples is among them."""
EVERY_DAY: frozenset[Cadence] = frozenset({"event", "daily"})
"""Cadences with examples on every usual day."""
PERIOD_WORDS: dict[Cadence, str] = {"event": "days", "daily": "days", "weekly": "weeks", "monthly": "months"}


def whole_periods(start: dt.date, end: dt.date, cadence: Cadence) -> list[dt.date]:
    """First days of the periods that lie in ``[start, end)``.

    Examples
    --------
    >>> [str(day) for day in whole_periods(dt.date(2026, 1, 15), dt.date(2026, 4, 1), "monthly")]
    ['2026-02-01', '2026-03-01']
    """
    days = (start + dt.timedelta(days=offset) for offset in range((end - start).days))
    starts = [day for day in days if period_start(day, cadence) == day]
    return [day for day in starts if day < period_start(end, cadence)]


def period_start(day: dt.date, cadence: Cadence) -> dt.date:
    """First day of the period that a day is in.

    Examples
    --------
    >>> [str(period_start(dt.date(2026, 11, 28), cadence)) for cadence in ("event", "weekly", "monthly")]
    ['2026-11-28', '2026-11-23', '2026-11-01']
    """
    if cadence == "monthly":
        return day.replace(day=1)
    return day - dt.timedelta(days=day.weekday()) if cadence == "weekly" else day


def periods_before(day: dt.date, periods: int, cadence: Cadence) -> dt.date:
    """The first day of a period, so many periods before another first day.

    Examples
    --------
    >>> [str(periods_before(dt.date(2026, 3, 1), 3, cadence)) for cadence in ("daily", "weekly", "monthly")]
    ['2026-02-26', '2026-02-08', '2025-12-01']
    """
    if cadence != "monthly":
        return day - dt.timedelta(days=periods * LONGEST_PERIOD_DAYS[cadence])
    months = day.year * 12 + day.month - 1 - periods
    return dt.date(months // 12, months % 12 + 1, day.day)
