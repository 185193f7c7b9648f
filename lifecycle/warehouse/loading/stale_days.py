"""Which days' features a load has made out of date."""

import datetime as dt
from collections.abc import Iterable
from dataclasses import dataclass

LABEL_DELAY_DAYS = 7
"""A transaction enters the terminal windows this long after it happened."""
LONGEST_WINDOW_DAYS = 30
LOOK_AHEAD_DAYS = LABEL_DELAY_DAYS + LONGEST_WINDOW_DAYS
"""A terminal window of 30 days ends 7 days back: a transaction still counts 37 days later."""


@dataclass(frozen=True, order=True)
class DayRange:
    """Days of `occurred_at`, half-open: ``[start_date, end_date)``."""

    start_date: dt.date
    end_date: dt.date

    @property
    def days(self) -> int:
        """Number of days."""
        return (self.end_date - self.start_date).days


def transaction_range(occurred_date: dt.date) -> DayRange:
    """Days whose features a transaction of this day is part of.

    Its own day (the current transaction counts), the customer windows ``(t - w, t]`` of up to 30 days, and the terminal
    windows ``(t - 7d - w, t - 7d]``. These count frauds by their amount against their own card's window, which this
    transaction may be part of: a fraud up to 30 days later counts up to 37 days after that. The last day is reached by
    transactions after midnight.
    """
    return DayRange(occurred_date, occurred_date + dt.timedelta(days=LONGEST_WINDOW_DAYS + LOOK_AHEAD_DAYS + 1))


def report_range(occurred_date: dt.date, reported_date: dt.date) -> DayRange | None:
    """Days whose features a report of this day is part of, ``None`` if it came too late for all of them.

    A fraud enters a terminal window at max(occurred + 7 d, reported) and leaves it at occurred + 7 d + w.
    """
    start = max(occurred_date + dt.timedelta(days=LABEL_DELAY_DAYS), reported_date)
    end = occurred_date + dt.timedelta(days=LOOK_AHEAD_DAYS + 1)
    return DayRange(start, end) if start < end else None


def merge(ranges: Iterable[DayRange], last_date: dt.date) -> tuple[DayRange, ...]:
    """The same days as the fewest ranges, in order, none after `last_date`.

    Examples
    --------
    >>> day = dt.date(2018, 4, 1)
    >>> [(str(r.start_date), str(r.end_date)) for r in merge([transaction_range(day)], dt.date(2018, 4, 10))]
    [('2018-04-01', '2018-04-11')]
    """
    bound = last_date + dt.timedelta(days=1)
    merged: list[DayRange] = []
    for wanted in sorted(ranges):
        end = min(wanted.end_date, bound)
        if wanted.start_date >= end:
            continue
        if merged and wanted.start_date <= merged[-1].end_date:
            merged[-1] = DayRange(merged[-1].start_date, max(merged[-1].end_date, end))
        else:
            merged.append(DayRange(wanted.start_date, end))
    return tuple(merged)


def touched_days(
    occurred_dates: Iterable[dt.date], reports: Iterable[tuple[dt.date, dt.date]], last_date: dt.date
) -> tuple[DayRange, ...]:
    """Days whose features must be built again after a load.

    Parameters
    ----------
    occurred_dates
        Days of the transactions that were inserted.
    reports
        Days ``(occurred, reported)`` of the reports that were inserted.
    last_date
        The last day that has transactions: there is nothing to build after it.
    """
    ranges = [transaction_range(date) for date in occurred_dates]
    ranges += [found for pair in reports if (found := report_range(*pair)) is not None]
    return merge(ranges, last_date)
