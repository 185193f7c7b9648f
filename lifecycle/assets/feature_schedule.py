"""The daily schedule of the features: each model's days are counted by its own mart.

A model whose build fails has days missing that the others have. It gets runs of its own, with only what it reads, so
that neither its fault nor its repeated days hold up or repeat the builds of the other models.
"""

import datetime as dt
from collections.abc import Mapping
from dataclasses import dataclass
from functools import partial
from typing import Any

import dagster as dg

from lifecycle.assets.partitions import date_of
from lifecycle.assets.schedules import daily, days_in_flight, default_status, request
from lifecycle.monitoring.missed_days import DueDays, due_days, gap_alert
from lifecycle.releases.alert_log import raise_alert, raised_keys
from lifecycle.settings.platform import Settings

MODELS_TAG = "lifecycle/models"
"""Models whose features a run builds, separated by commas; without it, those of all."""


@dataclass(frozen=True)
class ModelFeatures:
    """What the features of a model are: the mart whose partitions are the days it has, and all that it reads."""

    mart: dg.AssetKey
    assets: frozenset[dg.AssetKey]


def feature_schedule(name: str, job: Any, models: Mapping[str, ModelFeatures], at: str) -> dg.ScheduleDefinition:
    """A schedule of the job that builds the features of these models by days."""

    @dg.schedule(
        name=name,
        job=job,
        cron_schedule=daily(at),
        default_status=default_status(),
        description="Builds the features of every day that a model lacks since its first built one, up to yesterday.",
    )
    def schedule(context: dg.ScheduleEvaluationContext) -> list[dg.RunRequest] | dg.SkipReason:
        now = dt.datetime.now(dt.UTC)
        yesterday = now.date() - dt.timedelta(days=1)
        due: dict[DueDays, list[str]] = {}
        settings = Settings()
        for model, features in models.items():
            days = {date_of(key) for key in context.instance.get_materialized_partitions(features.mart)}
            running = days_in_flight(context.instance, job.name, partial(_builds, model))
            rows = due_days(days, yesterday, (), running)
            alert = gap_alert(job.name, None, rows, yesterday, raised_keys(settings.root), now)
            if alert is not None:
                raise_alert(settings, alert)
            for row in rows:
                due.setdefault(row, []).append(model)
        if not due:
            return dg.SkipReason(f"{yesterday} is covered, or a run covers it")
        return [_request(row, names, models) for row, names in due.items()]

    return schedule


def _builds(model: str, tags: Mapping[str, str]) -> bool:
    return MODELS_TAG not in tags or model in tags[MODELS_TAG].split(",")


def _request(days: DueDays, names: list[str], models: Mapping[str, ModelFeatures]) -> dg.RunRequest:
    """A run for these models; for all of them, of the whole job."""
    whole = request(days)
    if len(names) == len(models):
        return whole
    assets = frozenset[dg.AssetKey]().union(*(models[name].assets for name in names))
    return dg.RunRequest(
        run_key=f"{whole.run_key}:{','.join(names)}",
        partition_key=whole.partition_key,
        tags={**whole.tags, MODELS_TAG: ",".join(names)},
        asset_selection=sorted(assets),
    )
