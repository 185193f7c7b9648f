"""The sensor that raises an alert for each failed run: a refused candidate or a broken run."""

import datetime as dt

import dagster as dg

from lifecycle.artefacts.alert_log import raise_alert
from lifecycle.monitoring.alerts import failure_alert
from lifecycle.settings.platform import Settings

PARTITION_TAG = "dagster/partition"


@dg.run_failure_sensor(
    name="run_failure_alerts", minimum_interval_seconds=30, default_status=dg.DefaultSensorStatus.RUNNING
)
def run_failure_alerts(context: dg.RunFailureSensorContext) -> None:
    """Raises an alert for every failed run."""
    run, now = context.dagster_run, dt.datetime.now(dt.UTC)
    refused, error = refused_gates(context), context.failure_event.message
    alert = failure_alert(run.job_name, run.tags.get(PARTITION_TAG), run.run_id, refused, error, now)
    raise_alert(Settings().root, alert)


def refused_gates(context: dg.RunFailureSensorContext) -> list[str]:
    """Names of the blocking checks that failed in the run."""
    records = context.instance.get_records_for_run(
        context.dagster_run.run_id, of_type=dg.DagsterEventType.ASSET_CHECK_EVALUATION
    ).records
    evaluations = [
        record.event_log_entry.dagster_event.asset_check_evaluation_data
        for record in records
        if record.event_log_entry.dagster_event is not None
    ]
    return [evaluation.check_name for evaluation in evaluations if not evaluation.passed and evaluation.blocking]
