"""Days that a daily job has not covered: after the platform was down, all of them are due, not only the last."""

import datetime as dt
from dataclasses import dataclass

from lifecycle.monitoring.alerts import Alert

MAXIMUM_DAYS = 90
"""Days that a schedule requests at once; more is a backfill, which a person starts."""


@dataclass(frozen=True)
class DueDays:
    """Days ``first`` to ``last``, both included, that a daily job has to cover now.

    `is_cut` if earlier days are missing, too, more than a schedule requests at once.
    """

    first: dt.date
    last: dt.date
    is_cut: bool = False

    @property
    def count(self) -> int:
        """Number of days."""
        return (self.last - self.first).days + 1

    @property
    def run_key(self) -> str:
        """The same for the same days, so that a repeated evaluation requests them once.

        Examples
        --------
        >>> DueDays(dt.date(2018, 8, 20), dt.date(2018, 8, 29)).run_key
        '2018-08-20...2018-08-29'
        """
        return f"{self.first}...{self.last}"


def due_days(newest: dt.date | None, yesterday: dt.date) -> DueDays | None:
    """The days after the newest covered one, up to yesterday; ``None`` if yesterday is covered.

    Without a covered day only yesterday is due: the history of a new installation is a backfill.

    Examples
    --------
    >>> due_days(dt.date(2018, 8, 28), dt.date(2018, 8, 29)).count
    1
    >>> due_days(dt.date(2018, 8, 19), dt.date(2018, 8, 29)).count
    10
    """
    if newest is not None and newest >= yesterday:
        return None
    wanted = newest + dt.timedelta(days=1) if newest is not None else yesterday
    first = max(wanted, yesterday - dt.timedelta(days=MAXIMUM_DAYS - 1))
    return DueDays(first, yesterday, is_cut=first > wanted)


def gap_alert(job: str, model: str | None, days: DueDays, raised_at: dt.datetime) -> Alert | None:
    """The alert about days that passed without a run; ``None`` if only yesterday is due."""
    if days.count == 1:
        return None
    remedy = "See why the platform was down. The run of these days is requested; watch it in the Dagster UI."
    if days.is_cut:
        remedy += f" Earlier days are missing, too: start a backfill of {job} up to {days.first}."
    return Alert(
        kind="days_missed",
        model=model,
        as_of=None,
        run_id=None,
        message=f"{job} did not cover the {days.count} days {days.first} to {days.last}.",
        remedy=remedy,
        raised_at=raised_at,
        keys=(f"days_missed:{job}:{days.run_key}",),
    )
