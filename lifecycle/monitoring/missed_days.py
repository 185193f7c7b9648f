"""Days that a daily job has not covered: all of them are due, those between covered days, too.

The platform was down, a run broke, or a person covered only some days. The job runs once for each row of missing days.
"""

import datetime as dt
from collections.abc import Collection, Container, Sequence
from dataclasses import dataclass

from lifecycle.monitoring.alerts import Alert

MAXIMUM_DAYS = 90
"""Days back from yesterday that a schedule requests; earlier ones are a backfill, which a person starts."""


@dataclass(frozen=True)
class DueDays:
    """Days ``first`` to ``last``, both included, that a daily job has to cover now.

    `is_cut` if earlier days are missing, too, beyond those that a schedule requests.
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
        """Names the days.

        Examples
        --------
        >>> DueDays(dt.date(2018, 8, 20), dt.date(2018, 8, 29)).run_key
        '2018-08-20...2018-08-29'
        """
        return f"{self.first}...{self.last}"

    def __str__(self) -> str:
        return f"{self.first}" if self.count == 1 else f"the {self.count} days {self.first} to {self.last}"


def due_days(
    covered: Collection[dt.date],
    yesterday: dt.date,
    incomplete: Container[dt.date] = (),
    in_flight: Container[dt.date] = (),
) -> tuple[DueDays, ...]:
    """The rows of days from the oldest covered one on that are missing, up to yesterday; oldest first.

    Without a covered day only yesterday is due: the history of a new installation is a backfill.

    Parameters
    ----------
    incomplete
        Covered days that are due again, because a part of the job broke.
    in_flight
        Days that a run which has not ended will cover.

    Examples
    --------
    >>> day = lambda number: dt.date(2018, 8, number)
    >>> [str(days) for days in due_days([day(19)], day(29))]
    ['the 10 days 2018-08-20 to 2018-08-29']
    >>> [str(days) for days in due_days([day(20), day(21), day(24), day(26), day(28)], day(29))]
    ['the 2 days 2018-08-22 to 2018-08-23', '2018-08-25', '2018-08-27', '2018-08-29']
    """
    one = dt.timedelta(days=1)
    done = {day for day in covered if day not in incomplete}
    oldest = min((day for day in covered if day <= yesterday), default=yesterday)
    start = max(oldest, yesterday - (MAXIMUM_DAYS - 1) * one)
    is_cut = any(oldest + one * offset not in done for offset in range((start - oldest).days))
    rows: list[DueDays] = []
    for day in (start + one * offset for offset in range((yesterday - start).days + 1)):
        if day in done or day in in_flight:
            continue
        if rows and rows[-1].last == day - one:
            rows[-1] = DueDays(rows[-1].first, day, rows[-1].is_cut)
        else:
            rows.append(DueDays(day, day, is_cut and not rows))
    return tuple(rows)


def days_without_verdict(
    days: Collection[dt.date], judged: Container[dt.date], first_champion: dt.date | None
) -> set[dt.date]:
    """Days that were covered in part: a champion was older than their `as_of`, and there is no verdict as of it.

    Parameters
    ----------
    judged
        The `as_of` dates of the verdicts.
    first_champion
        The oldest `as_of` of a champion; ``None`` before the first release.

    Examples
    --------
    >>> days = [dt.date(2018, 8, number) for number in (1, 2, 3)]
    >>> [str(day) for day in days_without_verdict(days, [dt.date(2018, 8, 4)], dt.date(2018, 8, 2))]
    ['2018-08-02']
    """
    if first_champion is None:
        return set()
    as_of = {day: day + dt.timedelta(days=1) for day in days}
    return {day for day, date in as_of.items() if first_champion < date and date not in judged}


def gap_alert(
    job: str,
    model: str | None,
    due: Sequence[DueDays],
    yesterday: dt.date,
    raised: Container[str],
    raised_at: dt.datetime,
) -> Alert | None:
    """The alert about days that passed without a run; ``None`` if only yesterday is due, or all of it was raised.

    Parameters
    ----------
    raised
        Keys of the alerts raised so far: a gap that stays, because its run fails, is reported once.
    """
    gaps = {f"days_missed:{job}:{days.run_key}": days for days in due if days.first != yesterday}
    fresh = {key: days for key, days in gaps.items() if key not in raised}
    if not fresh:
        return None
    remedy = "See why the platform was down, or which run failed. These days are requested; watch the Dagster UI."
    if due[0].is_cut:
        first = yesterday - dt.timedelta(days=MAXIMUM_DAYS - 1)
        remedy += f" Earlier days are missing, too: start a backfill of {job} up to {first}."
    return Alert(
        kind="days_missed",
        model=model,
        as_of=None,
        run_id=None,
        message=f"{job} did not cover {', '.join(map(str, fresh.values()))}.",
        remedy=remedy,
        raised_at=raised_at,
        keys=tuple(fresh),
    )
