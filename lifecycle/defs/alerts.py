"""Run failures become alerts that say whether a candidate was refused or a run is broken."""

import datetime as dt

import dagster as dg

from lifecycle.monitoring.alerts import Alert, raise_alert
from lifecycle.settings.platform import Settings

PARTITION_TAG = "dagster/partition"


@dg.run_failure_sensor(
    name="run_failure_alerts", minimum_interval_seconds=30, default_status=dg.DefaultSensorStatus.RUNNING
)
def run_failure_alerts(context: dg.RunFailureSensorContext) -> None:
    """Tell people of every failed run."""
    raise_alert(
        Settings().root, failure_alert(context.dagster_run, refused_gates(context), context.failure_event.message)
    )


def refused_gates(context: dg.RunFailureSensorContext) -> list[str]:
    """Names of the blocking checks that did not pass in the run."""
    records = context.instance.get_records_for_run(
        context.dagster_run.run_id, of_type=dg.DagsterEventType.ASSET_CHECK_EVALUATION
    ).records
    evaluations = [
        record.event_log_entry.dagster_event.asset_check_evaluation_data
        for record in records
        if record.event_log_entry.dagster_event is not None
    ]
    return [e.check_name for e in evaluations if not e.passed and e.blocking]


def failure_alert(run: dg.DagsterRun, refused: list[str], message: str | None) -> Alert:
    """The alert of a failed run: refused gates make it a refusal, anything else a broken run."""
    now = dt.datetime.now(dt.UTC)
    model = run.job_name.removesuffix("_retrain") if run.job_name.endswith("_retrain") else None
    as_of = run.tags.get(PARTITION_TAG)
    if refused:
        return Alert(
            kind="candidate_refused",
            model=model,
            as_of=as_of,
            run_id=run.run_id,
            message=f"The gates {', '.join(refused)} did not pass; the champion goes on serving, nothing is broken.",
            remedy="Read the verdicts on the candidate's page in the Dagster UI.",
            raised_at=now,
        )
    return Alert(
        kind="run_broken",
        model=model,
        as_of=as_of,
        run_id=run.run_id,
        message=f"Job {run.job_name} ended with an error: {message or 'no message'}",
        remedy="Open the run in the Dagster UI, mend the cause, and re-execute it: it goes on from what is there.",
        raised_at=now,
    )
