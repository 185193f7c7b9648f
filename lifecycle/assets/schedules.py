"""Daily schedules that request every day that is missing since the oldest covered one: a run for each row of days."""

import datetime as dt
from collections.abc import Callable, Collection, Mapping
from typing import Any

import dagster as dg

from lifecycle.assets.partitions import PARTITION_TAG, RANGE_END_TAG, RANGE_START_TAG, date_of
from lifecycle.monitoring.missed_days import DueDays, due_days, gap_alert
from lifecycle.releases.alert_log import raise_alert, raised_keys
from lifecycle.settings.platform import Settings

IN_FLIGHT = [
    dg.DagsterRunStatus.QUEUED,
    dg.DagsterRunStatus.NOT_STARTED,
    dg.DagsterRunStatus.STARTING,
    dg.DagsterRunStatus.STARTED,
    dg.DagsterRunStatus.CANCELING,
]
"""Statuses of a run that has not ended."""

Incomplete = Callable[[Collection[dt.date]], Collection[dt.date]]


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
    name: str,
    job: Any,
    covered: dg.AssetKey,
    at: str,
    *,
    model: str | None,
    description: str,
    incomplete: Incomplete | None = None,
) -> dg.ScheduleDefinition:
    """A schedule of a job that is partitioned by day.

    Parameters
    ----------
    covered
        An asset of the job: its partitions are the days that the job has covered.
    at
        UTC time, ``HH:MM``.
    model
        Model that an alert about missed days names; ``None`` for the platform.
    incomplete
        Called with the covered days; returns those that lack a result of the job, because its run broke.
    """

    @dg.schedule(
        name=name,
        job=job,
        cron_schedule=daily(at),
        default_status=default_status(),
        description=description,
    )
    def schedule(context: dg.ScheduleEvaluationContext) -> list[dg.RunRequest] | dg.SkipReason:
        # The days are counted from now, not from the tick. The ticks that Dagster makes up for after a stop follow
        # each other at once: the run of the first covers what the others would request.
        now = dt.datetime.now(dt.UTC)
        yesterday = now.date() - dt.timedelta(days=1)
        days = {date_of(key) for key in context.instance.get_materialized_partitions(covered)}
        running = days_in_flight(context.instance, job.name)
        due = due_days(days, yesterday, incomplete(days) if incomplete else (), running)
        if not due:
            is_running = yesterday in running and yesterday not in days
            return dg.SkipReason(f"a run covers {yesterday}" if is_running else f"{yesterday} is covered")
        settings = Settings()
        alert = gap_alert(job.name, model, due, yesterday, raised_keys(settings.root), now)
        if alert is not None:
            raise_alert(settings, alert)
        return [request(row) for row in due]

    return schedule


def days_in_flight(
    instance: dg.DagsterInstance, job: str, counts: Callable[[Mapping[str, str]], bool] | None = None
) -> set[dt.date]:
    """Days that the queued and running runs of a job cover; with `counts`, of those runs whose tags it accepts."""
    runs = instance.get_runs(dg.RunsFilter(job_name=job, statuses=IN_FLIGHT))
    return {day for run in runs if counts is None or counts(run.tags) for day in _days_of(run.tags)}


def _days_of(tags: Mapping[str, str]) -> list[dt.date]:
    first, last = tags.get(RANGE_START_TAG, tags.get(PARTITION_TAG)), tags.get(RANGE_END_TAG, tags.get(PARTITION_TAG))
    if first is None or last is None:
        return []
    start, end = date_of(first), date_of(last)
    return [start + dt.timedelta(days=offset) for offset in range((end - start).days + 1)]


def request(days: DueDays) -> dg.RunRequest:
    """The run of a row of days."""
    if days.count == 1:
        return dg.RunRequest(run_key=days.run_key, partition_key=days.last.isoformat())
    tags = {RANGE_START_TAG: days.first.isoformat(), RANGE_END_TAG: days.last.isoformat()}
    return dg.RunRequest(run_key=days.run_key, tags=tags)
