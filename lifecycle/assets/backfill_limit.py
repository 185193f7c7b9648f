"""Stops a backfill of more trainings than anyone starts on purpose: "Materialize all" selects every partition."""

import dagster as dg
from dagster._core.execution.backfill import BulkActionStatus, PartitionBackfill

from lifecycle.assets.partitions import BACKFILL_TAG

MAXIMUM_PARTITIONS = 31
"""A month of `as_of` dates: a backtest of a weekly model over half a year is 26."""
ALLOW_TAG = "lifecycle/allow_partitions"
"""Tag of a backfill with the number of partitions that it may have."""


def stop_large_backfill(context: dg.AssetExecutionContext) -> None:
    """Cancel the run's backfill if it is larger than allowed; its queued runs never start.

    Raises
    ------
    dagster.Failure
        If the backfill is too large, naming the tag that allows it.
    """
    backfill_id = context.run.tags.get(BACKFILL_TAG)
    backfill = context.instance.get_backfill(backfill_id) if backfill_id else None
    if backfill is None:
        return
    count, allowed = _partitions(context, backfill), _allowed(backfill)
    if count <= allowed:
        return
    if backfill.status is BulkActionStatus.REQUESTED:
        context.instance.update_backfill(backfill.with_status(BulkActionStatus.CANCELING))
    raise dg.Failure(
        f"Expected a backfill of at most {allowed} partitions of {context.asset_key.to_user_string()}, got {count}: "
        f"it was cancelled. Select fewer dates, or launch it with the tag {ALLOW_TAG}={count}.",
        metadata={"backfill": backfill_id, "partitions": count, "allowed_partitions": allowed},
        allow_retries=False,
    )


def _partitions(context: dg.AssetExecutionContext, backfill: PartitionBackfill) -> int:
    if not backfill.is_asset_backfill:
        return len(backfill.partition_names or ())
    data = backfill.get_asset_backfill_data(context.job_def.asset_layer.asset_graph)
    subset = data.get_target_partitions_subset(context.asset_key)
    return len(subset) if subset is not None else 0


def _allowed(backfill: PartitionBackfill) -> int:
    text = (backfill.tags or {}).get(ALLOW_TAG, "")
    return int(text) if text.isdecimal() else MAXIMUM_PARTITIONS
