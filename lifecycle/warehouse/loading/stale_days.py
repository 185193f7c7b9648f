"""Days whose features a load has made stale."""

import datetime as dt
from collections.abc import Iterable
from dataclasses import dataclass

LABEL_DELAY_DAYS = 7
"""A transaction enters the terminal windows this many days after it occurred."""
LONGEST_WINDOW_DAYS = 30
LOOK_AHEAD_DAYS = LABEL_DELAY_DAYS + LONGEST_WINDOW_DAYS
"""A terminal window of 30 days ends 7 days ago: a transaction still counts 37 days later."""


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
    """Days whose features a transaction of this day affects.

    It affects its own day, customer windows ``(t - w, t]`` of up to 30 days, and terminal windows
    ``(t - 7d - w, t - 7d]``. Terminal windows weigh a fraud by its amount relative to its card's window, which may
    contain this transaction: a fraud up to 30 days later counts for up to 37 more days. Only transactions after
    midnight reach the last day.
    """
    return DayRange(occurred_date, occurred_date + dt.timedelta(days=LONGEST_WINDOW_DAYS + LOOK_AHEAD_DAYS + 1))


def report_range(occurred_date: dt.date, reported_date: dt.date) -> DayRange | None:
    """Days whose features a report or a withdrawal of this day affects, ``None`` if it is too late for all windows.

    A fraud enters a terminal window at max(occurred + 7 d, reported) and leaves it at occurred + 7 d + w, or at its
    withdrawal.
    """
    start = max(occurred_date + dt.timedelta(days=LABEL_DELAY_DAYS), reported_date)
    end = occurred_date + dt.timedelta(days=LOOK_AHEAD_DAYS + 1)
    return DayRange(start, end) if start < end else None


def merge(ranges: Iterable[DayRange], last_date: dt.date) -> tuple[DayRange, ...]:
    """The same days as the fewest ranges, in order, without days after `last_date`.

    Examples
    --------
    >>> day = dt.date(2018, 4, 1)
    >>> [(str(r.start_date), str(r.end_date)) for r in merge([transaction_range(day)], dt.date(2018, 4, 10))]
    [('2018-04-01', '2018-04-11')]
    """
    bound = last_date + dt.timedelta(days=1)
    merged: list[DayRange] = []
    for days in sorted(ranges):
        end = min(days.end_date, bound)
        if days.start_date >= end:
            continue
        if merged and days.start_date <= merged[-1].end_date:
            merged[-1] = DayRange(merged[-1].start_date, max(merged[-1].end_date, end))
        else:
            merged.append(DayRange(days.start_date, end))
    return tuple(merged)


def touched_days(
    occurred_dates: Iterable[dt.date], reports: Iterable[tuple[dt.date, dt.date]], last_date: dt.date
) -> tuple[DayRange, ...]:
    """Days whose features must be rebuilt after a load.

    Parameters
    ----------
    occurred_dates
        Days of the inserted transactions.
    reports
        Days ``(occurred, reported)`` of the inserted reports, ``(occurred, withdrawn)`` of the withdrawals.
    last_date
        The last day with transactions; later days have no features.
    """
    ranges = [transaction_range(date) for date in occurred_dates]
    ranges += [days for report in reports if (days := report_range(*report)) is not None]
    return merge(ranges, last_date)
