"""The demonstration's days: all in the past, and anchored at its first start."""

import datetime as dt
from dataclasses import dataclass

from lifecycle.modelling.splits import longest_span_days
from lifecycle.spec.risk_model import RiskModelSpec

LONGEST_WINDOW_DAYS = 37
"""Terminal windows of 30 days, delayed by 7: before that, counts grow with the data and would look like drift.

`terminal_plain_fraud_count_30d` looks back 30 days further, at the cards' mean amounts of its frauds; those are stable
after a week."""
QUIET_DAYS = 7
CHANGED_DAYS = 17
DAYS_AHEAD = 2
"""Minimum number of days between the last simulated day and the day of the first start."""
LAST_WEEKDAY = 2
"""The simulated days end before a Wednesday, so that the weekdays, and the world, never depend on the start."""


@dataclass(frozen=True)
class Timeline:
    """Half-open spans of days: history, a quiet week, and the days after the fraud pattern changes."""

    first_day: dt.date
    live_start: dt.date
    change_day: dt.date
    end_day: dt.date

    @property
    def quiet(self) -> tuple[dt.date, dt.date]:
        """Live days before the fraud pattern changes."""
        return self.live_start, self.change_day


def timeline(spec: RiskModelSpec, today: dt.date) -> Timeline:
    """The days of a demonstration that is first started `today`."""
    maturity_days = spec.label.maturity_days
    history_days = LONGEST_WINDOW_DAYS + longest_span_days(spec.training, maturity_days)
    latest = today - dt.timedelta(days=DAYS_AHEAD)
    end_day = latest - dt.timedelta(days=(latest.weekday() - LAST_WEEKDAY) % 7)
    change_day = end_day - dt.timedelta(days=CHANGED_DAYS)
    live_start = change_day - dt.timedelta(days=QUIET_DAYS)
    return Timeline(live_start - dt.timedelta(days=history_days), live_start, change_day, end_day)


def days_of(start: dt.date, end: dt.date) -> list[dt.date]:
    """The days of ``[start, end)``."""
    return [start + dt.timedelta(days=offset) for offset in range((end - start).days)]
