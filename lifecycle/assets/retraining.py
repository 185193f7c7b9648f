"""Jobs of a model, its daily schedule, and the sensor that starts a retraining after an alarm."""

import datetime as dt
import json
from collections.abc import Collection
from typing import TYPE_CHECKING

import dagster as dg

from lifecycle.assets.asked_runs import is_backfill
from lifecycle.assets.keys import ModelKeys
from lifecycle.assets.partitions import PARTITION_TAG, date_of
from lifecycle.assets.resources import Stores
from lifecycle.assets.schedules import IN_FLIGHT, daily_schedule
from lifecycle.errors import LifecycleError
from lifecycle.gates.champion import oldest_as_of
from lifecycle.gates.retraining import NoRetraining, RetrainingState, decide_retraining
from lifecycle.monitoring.missed_days import days_without_verdict
from lifecycle.spec.risk_model import RiskModelSpec

if TYPE_CHECKING:
    # Dagster has no public name for this type.
    from dagster._core.definitions.unresolved_asset_job_definition import UnresolvedAssetJobDefinition


def jobs(
    spec: RiskModelSpec, gates: dg.AssetChecksDefinition
) -> tuple["UnresolvedAssetJobDefinition", "UnresolvedAssetJobDefinition"]:
    """The two jobs of a model: retrain, and monitor."""
    keys = ModelKeys(spec.name)
    training = dg.AssetSelection.assets(keys.training_set, keys.candidate, keys.model_version, keys.release)
    monitoring = dg.AssetSelection.assets(
        keys.decisions, keys.decision_load, keys.live_performance, keys.drift, keys.drift_report
    )
    retrain = dg.define_asset_job(
        keys.retrain_job,
        selection=training.without_checks() | dg.AssetSelection.checks(gates),
        description=f"Freezes a training set of {spec.name}, then fits, judges, registers and releases the model.",
    )
    monitor = dg.define_asset_job(
        keys.monitor_job,
        selection=monitoring,
        description=f"Loads the decisions of {spec.name}, measures its live performance and judges drift.",
    )
    return retrain, monitor


def monitor_schedule(spec: RiskModelSpec, monitor: "UnresolvedAssetJobDefinition") -> dg.ScheduleDefinition:
    """The daily monitoring of every day that is missing, up to yesterday."""

    def incomplete(days: Collection[dt.date]) -> set[dt.date]:
        stores = Stores()
        try:
            first = oldest_as_of(stores.releases().history(spec.name))
        except LifecycleError:
            # The run of yesterday fails for the same reason, and that is an alert; a failed tick is not.
            return set()
        judged = stores.evidence(spec.name).drift_days()
        return days_without_verdict(days, judged, date_of(first) if first else None)

    return daily_schedule(
        f"{spec.name}_daily",
        monitor,
        ModelKeys(spec.name).decisions,
        spec.monitor_at,
        model=spec.name,
        description="Monitors every day that is missing since the first monitored one, up to yesterday.",
        incomplete=incomplete,
    )


def retrain_sensor(
    spec: RiskModelSpec, retrain: "UnresolvedAssetJobDefinition | dg.JobDefinition"
) -> dg.SensorDefinition:
    """The sensor that starts a retraining: one at a time, once for each `as_of`, and not during the cooldown."""
    keys = ModelKeys(spec.name)

    @dg.sensor(
        name=f"{keys.retrain_job}_sensor",
        job=retrain,
        minimum_interval_seconds=spec.retraining.poll_seconds,
        default_status=dg.DefaultSensorStatus.RUNNING,
        description="Starts a retraining when the newest verdict is an alarm and enough new positives have matured.",
    )
    def sensor(context: dg.SensorEvaluationContext, stores: Stores) -> dg.SensorResult | dg.SkipReason:
        if is_checked_now(context.instance, spec):
            # It writes a verdict for each of its days. A training as of an early one would be followed by the cooldown.
            return dg.SkipReason("A check of the live days is in progress; its last day decides")
        last_ordered = json.loads(context.cursor)["last_ordered_as_of"] if context.cursor else None
        state = retraining_state(
            spec,
            stores,
            last_ordered,
            is_in_flight=is_in_flight(context.instance, spec),
            broken_tries=broken_tries(context.instance, spec, last_ordered) if last_ordered else 0,
        )
        if state is None:
            return dg.SkipReason("There is no verdict on live traffic yet")
        decision = decide_retraining(state, spec.retraining)
        if isinstance(decision, NoRetraining):
            return dg.SkipReason(f"As of {state.as_of}: {decision.reason}")
        as_of = decision.as_of.isoformat()
        request = dg.RunRequest(
            run_key=decision.run_key, partition_key=as_of, tags={"lifecycle/reason": decision.reason}
        )
        return dg.SensorResult(run_requests=[request], cursor=json.dumps({"last_ordered_as_of": as_of}))

    return sensor


def retraining_state(
    spec: RiskModelSpec, stores: Stores, last_ordered: str | None, *, is_in_flight: bool, broken_tries: int = 0
) -> RetrainingState | None:
    """State by the newest verdict, read from the evidence alone; ``None`` without a verdict."""
    verdicts = stores.evidence(spec.name).drift()
    if not verdicts:
        return None
    as_of = max(verdicts)
    verdict = verdicts[as_of]
    release = stores.releases().latest(spec.name)
    return RetrainingState(
        model=spec.name,
        as_of=as_of,
        alarm_reason=verdict.reason if verdict.is_alarm else None,
        alarm_bundle=verdict.champion,
        onset=date_of(verdict.onset) if verdict.onset else None,
        champion_bundle=release.champion.bundle_digest if release else None,
        new_positives=verdict.new_positives,
        last_ordered_as_of=date_of(last_ordered) if last_ordered else None,
        is_in_flight=is_in_flight,
        broken_tries=broken_tries,
    )


def is_checked_now(instance: dg.DagsterInstance, spec: RiskModelSpec) -> bool:
    """Whether a check of the model's live days is queued or running."""
    filters = dg.RunsFilter(job_name=ModelKeys(spec.name).monitor_job, statuses=IN_FLIGHT)
    return bool(instance.get_runs(filters, limit=1))


def is_in_flight(instance: dg.DagsterInstance, spec: RiskModelSpec) -> bool:
    """Whether a retraining of the model is queued or running, however it was started; a backfill does not count."""
    filters = dg.RunsFilter(job_name=ModelKeys(spec.name).retrain_job, statuses=IN_FLIGHT)
    return any(not is_backfill(instance, run) for run in instance.get_runs(filters))


def broken_tries(instance: dg.DagsterInstance, spec: RiskModelSpec, as_of: str) -> int:
    """Number of retrainings of a date that failed for another reason than a gate; 0 if the last one did not.

    Backfills of the date do not count.
    """
    filters = dg.RunsFilter(job_name=ModelKeys(spec.name).retrain_job, tags={PARTITION_TAG: as_of})
    runs = instance.get_runs(filters)  # the newest first
    broken = [
        run.status is dg.DagsterRunStatus.FAILURE and not refused_gates(instance, run.run_id)
        for run in runs
        if run.is_finished and not is_backfill(instance, run)
    ]
    return sum(broken) if broken and broken[0] else 0


def refused_gates(instance: dg.DagsterInstance, run_id: str) -> list[str]:
    """Names of the blocking checks that did not pass in a run, marked where evidence was missing."""
    records = instance.get_records_for_run(run_id, of_type=dg.DagsterEventType.ASSET_CHECK_EVALUATION).records
    evaluations = [
        record.event_log_entry.dagster_event.asset_check_evaluation_data
        for record in records
        if record.event_log_entry.dagster_event is not None
    ]
    return [
        evaluation.check_name + (" (inconclusive)" if _is_inconclusive(evaluation) else "")
        for evaluation in evaluations
        if not evaluation.passed and evaluation.blocking and evaluation.severity is dg.AssetCheckSeverity.ERROR
    ]


def _is_inconclusive(evaluation: dg.AssetCheckEvaluation) -> bool:
    outcome = evaluation.metadata.get("outcome")
    return outcome is not None and outcome.value == "INCONCLUSIVE"
