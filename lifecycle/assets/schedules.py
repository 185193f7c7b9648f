"""Daily schedules that request every day since the newest covered one, as one run."""

import datetime as dt
from typing import Any

import dagster as dg

from lifecycle.artefacts.alert_log import raise_once
from lifecycle.assets.partitions import RANGE_END_TAG, RANGE_START_TAG, date_of
from lifecycle.monitoring.missed_days import DueDays, due_days, gap_alert
from lifecycle.settings.platform import Settings


def default_status() -> dg.DefaultScheduleStatus:
    """Schedules run, except in a demonstration, whose days are in the past. A person can stop one in the Dagster UI."""
    is_demo = Settings().is_demonstration
    return dg.DefaultScheduleStatus.STOPPED if is_demo else dg.DefaultScheduleStatus.RUNNING


def daily(at: str) -> str:
    """Cron expression of every day at a time of the form ``HH:MM``.

    Examples
    --------
    >>> daily("02:30")
    '30 2 * * *'
    """
    hour, minute = at.split(":")
    return f"{int(minute)} {int(hour)} * * *"


def daily_schedule(
    name: str, job: Any, covered: dg.AssetKey, at: str, *, model: str | None, description: str
) -> dg.ScheduleDefinition:
    """A schedule of a job that is partitioned by day.

    Parameters
    ----------
    covered
        An asset of the job: its newest partition is the newest day that the job has covered.
    at
        UTC time, ``HH:MM``.
    model
        Model that an alert about missed days names; ``None`` for the platform.
    """

    @dg.schedule(
        name=name,
        job=job,
        cron_schedule=daily(at),
        default_status=default_status(),
        description=description,
    )
    def schedule(context: dg.ScheduleEvaluationContext) -> dg.RunRequest | dg.SkipReason:
        # The days are counted from now, not from the tick: the ticks that Dagster makes up for ask for the same days.
        now = dt.datetime.now(dt.UTC)
        newest = max(context.instance.get_materialized_partitions(covered), default=None)
        days = due_days(date_of(newest) if newest else None, now.date() - dt.timedelta(days=1))
        if days is None:
            return dg.SkipReason(f"{newest} is covered")
        alert = gap_alert(job.name, model, days, now)
        if alert is not None:
            raise_once(Settings(), alert)
        return _request(days)

    return schedule


def _request(days: DueDays) -> dg.RunRequest:
    if days.count == 1:
        return dg.RunRequest(run_key=days.run_key, partition_key=days.last.isoformat())
    tags = {RANGE_START_TAG: days.first.isoformat(), RANGE_END_TAG: days.last.isoformat()}
    return dg.RunRequest(run_key=days.run_key, tags=tags)
