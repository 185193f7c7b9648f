"""What a run of a model's training assets was asked: to release, or only to judge, which is a backtest."""

import dagster as dg

from lifecycle.assets.keys import ModelKeys
from lifecycle.assets.partitions import BACKFILL_TAG, RANGE_END_TAG, RANGE_START_TAG, as_of_after, date_of
from lifecycle.assets.resources import Stores
from lifecycle.gates.champion import AskedRun, backtest_reason
from lifecycle.spec.risk_model import RiskModelSpec
from lifecycle.warehouse.reading.examples import MARTS

FIRST_RELEASE_TAG = "lifecycle/first_release"
"""Tag of a run that may release a model's first champion although its date is not the newest, as a demonstration's."""
USER_TAG = "user"
"""Tag with the identity that launched a run, which a run coordinator takes from the header of a single sign-on; it is
named as in Dagster's documentation, "Run attribution"."""
_BACKFILL_TAGS = {BACKFILL_TAG, "dagster/parent_backfill_id", "dagster/root_backfill_id"}
_TRAINING = {"training_set", "candidate", "model_version", "release"}


def why_backtest(
    spec: RiskModelSpec, stores: Stores, instance: dg.DagsterInstance, run: dg.DagsterRun, as_of: str
) -> str | None:
    """Why a run of `as_of` only judges; ``None`` for a run that was asked to release."""
    history = stores.releases().history(spec.name)
    return backtest_reason(history, asked_run(spec, stores, instance, run, as_of, is_first=not history))


def asked_run(
    spec: RiskModelSpec, stores: Stores, instance: dg.DagsterInstance, run: dg.DagsterRun, as_of: str, *, is_first: bool
) -> AskedRun:
    """What a run was asked; the newest date of the data matters only before the first release."""
    return AskedRun(
        as_of=as_of,
        is_backfill=is_backfill(instance, run),
        is_first_release_asked=FIRST_RELEASE_TAG in run.tags,
        newest_as_of=_newest_as_of(spec, stores, instance) if is_first else None,
    )


def is_backfill(instance: dg.DagsterInstance, run: dg.DagsterRun) -> bool:
    """Whether a run belongs to a backfill, covers several dates, or repeats a run that did.

    Dagster leaves out the backfill's tags when a run is executed again after its backfill has ended, so that the run's
    ancestors are asked, too. A run whose ancestor was deleted counts as a backfill: what it was asked is unknown.
    """
    current: dg.DagsterRun | None = run
    while current is not None:
        if _BACKFILL_TAGS & current.tags.keys() or current.tags.get(RANGE_START_TAG) != current.tags.get(RANGE_END_TAG):
            return True
        if current.parent_run_id is None:
            return False
        current = instance.get_run_by_id(current.parent_run_id)
    return True


def launched_by(run: dg.DagsterRun) -> str | None:
    """The person that launched a run, by its tag; ``None`` for a sensor's or a schedule's, and without attribution."""
    return run.tags.get(USER_TAG, "").strip() or None


def trains(instance: dg.DagsterInstance, run: dg.DagsterRun) -> bool:
    """Whether a run is of a model's training assets or of their gates."""
    keys = set(run.asset_selection or ()) | {check.asset_key for check in run.asset_check_selection or ()}
    if not keys and run.job_name.endswith(ModelKeys("").retrain_job):
        return True
    planned = instance.get_records_for_run(run.run_id, of_type=dg.DagsterEventType.ASSET_MATERIALIZATION_PLANNED)
    keys |= {record.asset_key for record in planned.records if record.asset_key is not None}
    return any(key.path[-1] in _TRAINING for key in keys)


def expect_one_date(context: dg.AssetExecutionContext) -> None:
    """Raise `dagster.Failure` for a run over a range of dates, whose training sets need a run each."""
    if context.has_partition_key_range and len(context.partition_keys) > 1:
        first, last = context.partition_key_range
        raise dg.Failure(
            f"Expected one date of {context.asset_key.to_user_string()}, got {first} to {last} in one run; start a "
            "backfill of these dates, which is a backtest",
            allow_retries=False,
        )


def _newest_as_of(spec: RiskModelSpec, stores: Stores, instance: dg.DagsterInstance) -> str | None:
    """The newest cut-off that the data allow: after the newest day of the mart, or that of a frozen training set."""
    days = instance.get_materialized_partitions(dg.AssetKey([MARTS, spec.mart]))
    dates = {as_of_after(date_of(day)).isoformat() for day in days} | stores.training_sets(spec.name).dates()
    return max(dates, default=None)
