"""The sensor that raises an alert for each failed run but a backtest: a refused candidate or a broken run."""

import datetime as dt

import dagster as dg

from lifecycle.assets.asked_runs import is_backfill, trains
from lifecycle.assets.partitions import PARTITION_TAG
from lifecycle.assets.retraining import refused_gates
from lifecycle.monitoring.alerts import failure_alert
from lifecycle.releases.alert_log import raise_alert
from lifecycle.settings.platform import Settings


@dg.run_failure_sensor(
    name="run_failure_alerts", minimum_interval_seconds=30, default_status=dg.DefaultSensorStatus.RUNNING
)
def run_failure_alerts(context: dg.RunFailureSensorContext) -> None:
    """Raises an alert for every failed run, except for a backfill of trainings, which is a backtest."""
    run, now = context.dagster_run, dt.datetime.now(dt.UTC)
    if trains(context.instance, run) and is_backfill(context.instance, run):
        return
    refused, error = refused_gates(context.instance, run.run_id), context.failure_event.message
    alert = failure_alert(run.job_name, run.tags.get(PARTITION_TAG), run.run_id, refused, error, now)
    raise_alert(Settings(), alert)


def defs() -> dg.Definitions:
    """The sensor of failed runs."""
    return dg.Definitions(sensors=[run_failure_alerts])
