"""The two calendars of a model.

A model's assets are partitioned by `as_of`: partition D holds what was known before D 00:00 UTC, so a backfill is a
backtest. Features and monitoring are partitioned by the day of `occurred_at`: partition D holds the events of D, and
verdicts on them are as of D + 1. Both begin where the loaded data begin; before the first load, with the model's
`first_date`.
"""

import datetime as dt

import dagster as dg

from lifecycle.artefacts.first_day import first_loaded_day
from lifecycle.modelling.splits import longest_span_days, snapshot_days
from lifecycle.settings.platform import Settings
from lifecycle.spec.arrivals import arrival_of
from lifecycle.spec.risk_model import RiskModelSpec

BACKFILL_TAG = "dagster/backfill"
PARTITION_TAG = "dagster/partition"
RANGE_START_TAG = "dagster/asset_partition_range_start"
RANGE_END_TAG = "dagster/asset_partition_range_end"


def as_of_dates(spec: RiskModelSpec) -> dg.DailyPartitionsDefinition:
    """Knowledge cut-offs of a model, including today's; the first is the first with data in its whole training set."""
    start = first_day(spec)
    if _first_loaded(spec) is not None:
        start = _first_whole_training(spec, start)
    return dg.DailyPartitionsDefinition(start_date=start.isoformat(), timezone="UTC", end_offset=1)


def _first_whole_training(spec: RiskModelSpec, start: dt.date) -> dt.date:
    """The first cut-off whose windows begin no earlier than `start`."""

    def begins(as_of: dt.date) -> dt.date:
        return snapshot_days(as_of, spec.training, spec.label.maturity_days, spec.examples.cadence)[0]

    # As far after the start as its windows reach back; months differ in length, so that it may be some days later.
    as_of = start + (start - begins(start))
    while begins(as_of) < start:
        as_of += dt.timedelta(days=1)
    return as_of


def occurred_days(spec: RiskModelSpec) -> dg.DailyPartitionsDefinition:
    """Days of events, up to yesterday."""
    return dg.DailyPartitionsDefinition(start_date=first_day(spec).isoformat(), timezone="UTC")


def first_day(spec: RiskModelSpec) -> dt.date:
    """First day of a model's events: that of the loaded data, or the later `first_date`; today if there is neither."""
    known = [_first_loaded(spec), date_of(spec.first_date) if spec.first_date else None]
    return max((day for day in known if day is not None), default=dt.datetime.now(dt.UTC).date())


def _first_loaded(spec: RiskModelSpec) -> dt.date | None:
    """First day of the raw table in which the model's examples arrive; ``None`` before its first load."""
    settings = Settings()
    return first_loaded_day(settings.root, arrival_of(spec, settings).name)


def as_of_after(day: dt.date) -> dt.date:
    """The cut-off at which a day of `occurred_at` is complete."""
    return day + dt.timedelta(days=1)


def training_days(spec: RiskModelSpec) -> dg.TimeWindowPartitionMapping:
    """Days of features that the training set of an `as_of` needs: its windows, and the days until maturity."""
    return dg.TimeWindowPartitionMapping(
        start_offset=-longest_span_days(spec.training, spec.label.maturity_days, spec.examples.cadence),
        end_offset=-1,
        allow_nonexistent_upstream_partitions=True,
    )


def date_of(partition_key: str) -> dt.date:
    """The date of a daily partition."""
    return dt.date.fromisoformat(partition_key)
