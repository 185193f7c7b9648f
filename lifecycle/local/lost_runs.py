"""Fails the Dagster runs whose process is gone: after a power cut they would count as running for ever.

A run that counts as running keeps its place in the pool, and the retrain sensor waits for it.
"""

from typing import TYPE_CHECKING

from lifecycle.local.process_identity import started_at
from lifecycle.settings.platform import Settings

if TYPE_CHECKING:
    import dagster as dg

CLOCK_TOLERANCE_SECONDS = 2.0
"""Resolution of the boot time that the start of a process is counted from."""


def fail_lost_runs(settings: Settings) -> list[str]:
    """Mark the runs of this machine whose process is gone as failed, and return their ids.

    Call it before Dagster's daemon starts: a run that is not executing yet belongs to a daemon that is gone, too. A
    queued run stays in the queue. The failure sensor raises the alerts.
    """
    import dagster as dg

    statuses = [
        dg.DagsterRunStatus.NOT_STARTED,
        dg.DagsterRunStatus.STARTING,
        dg.DagsterRunStatus.STARTED,
        dg.DagsterRunStatus.CANCELING,
    ]
    with dg.DagsterInstance.from_config(str(settings.dagster_home)) as instance:
        lost = [
            run for run in instance.get_runs(dg.RunsFilter(statuses=statuses)) if not has_process(instance, run.run_id)
        ]
        for run in lost:
            instance.report_run_failed(
                run, message="The process of this run is gone, for example by a power cut; re-execute the run."
            )
    return [run.run_id for run in lost]


def has_process(instance: "dg.DagsterInstance", run_id: str) -> bool:
    """Whether a process that executes the run is alive; a process that is younger than its report is another one."""
    import dagster as dg

    records = instance.get_records_for_run(run_id, of_type=dg.DagsterEventType.ENGINE_EVENT).records
    for record in reversed(records):
        event = record.event_log_entry.dagster_event
        pid = event.engine_event_data.metadata.get("pid") if event is not None else None
        if pid is not None:
            started = started_at(int(str(pid.value)))
            return started is not None and started <= record.timestamp + CLOCK_TOLERANCE_SECONDS
    return False
