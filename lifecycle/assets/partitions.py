"""The two calendars of a model.

A model's assets are partitioned by `as_of`: partition D holds what was known before D 00:00 UTC, so a backfill is a
backtest. Features and monitoring are partitioned by the day of `occurred_at`: partition D holds the events of D, and
verdicts on them are as of D + 1.
"""

import datetime as dt

import dagster as dg

from lifecycle.spec.risk_model import RiskModelSpec

PARTITION_TAG = "dagster/partition"
RANGE_START_TAG = "dagster/asset_partition_range_start"
RANGE_END_TAG = "dagster/asset_partition_range_end"


def as_of_dates(spec: RiskModelSpec) -> dg.DailyPartitionsDefinition:
    """Knowledge cut-offs of a model, including today's."""
    return dg.DailyPartitionsDefinition(start_date=spec.first_date, timezone="UTC", end_offset=1)


def occurred_days(spec: RiskModelSpec) -> dg.DailyPartitionsDefinition:
    """Days of events, up to yesterday."""
    return dg.DailyPartitionsDefinition(start_date=spec.first_date, timezone="UTC")


def as_of_after(day: dt.date) -> dt.date:
    """The cut-off at which a day of `occurred_at` is complete."""
    return day + dt.timedelta(days=1)


def training_days(spec: RiskModelSpec) -> dg.TimeWindowPartitionMapping:
    """Days of features that the training set of an `as_of` needs: its windows, and the days until maturity."""
    maturity_days = spec.label.maturity_days
    return dg.TimeWindowPartitionMapping(
        start_offset=-(spec.training.span_days(maturity_days) + maturity_days),
        end_offset=-1,
        allow_nonexistent_upstream_partitions=True,
    )


def date_of(partition_key: str) -> dt.date:
    """The date of a daily partition."""
    return dt.date.fromisoformat(partition_key)
