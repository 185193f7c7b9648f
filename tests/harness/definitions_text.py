"""All Dagster definitions as one readable text; run as a program, it rewrites the snapshot in the repository."""

import datetime as dt
from collections.abc import Iterator
from typing import Any

import dagster as dg

from tests.harness.paths import ROOT

SNAPSHOT = ROOT / "tests/lifecycle/assets/definitions.txt"


def definitions_text(repository: dg.RepositoryDefinition) -> str:
    """Assets with their dependencies and partitions, checks, jobs, schedules and sensors, each sorted by name."""
    sections = {
        "assets": _assets(repository.asset_graph),
        "checks": _checks(repository.asset_graph),
        "jobs": (
            f"{job.name}: {', '.join(sorted(key.to_user_string() for key in job.asset_layer.selected_asset_keys))}"
            for job in repository.get_all_jobs()
            if not job.name.startswith("__")
        ),
        "schedules": (
            f"{schedule.name}: {schedule.job_name} at {schedule.cron_schedule}, {schedule.default_status.value}"
            for schedule in repository.schedule_defs
        ),
        "sensors": (
            f"{sensor.name}: every {sensor.minimum_interval_seconds} s, {sensor.default_status.value}"
            for sensor in repository.sensor_defs
        ),
    }
    return "\n".join(
        line for name, lines in sections.items() for line in (f"{name}", *(f"  {text}" for text in sorted(lines)), "")
    )


def _assets(graph: Any) -> Iterator[str]:
    for key in graph.get_all_asset_keys():
        node = graph.get(key)
        partitions = (
            f" by day from {_day(node.partitions_def.start)}"
            if isinstance(node.partitions_def, dg.DailyPartitionsDefinition)
            else ""
        )
        parents = ", ".join(sorted(parent.to_user_string() for parent in node.parent_keys))
        yield f"{key.to_user_string()}{partitions}{f' <- {parents}' if parents else ''}"


def _day(start: dt.datetime) -> str:
    """A model without data has the day of loading as its first one."""
    age = dt.datetime.now(dt.UTC).date() - start.date()
    return "the day of loading" if abs(age.days) <= 1 else f"{start:%Y-%m-%d}"


def _checks(graph: Any) -> Iterator[str]:
    for key in graph.asset_check_keys:
        yield f"{key.asset_key.to_user_string()}: {key.name}{' (blocking)' if graph.get(key).blocking else ''}"


if __name__ == "__main__":
    from lifecycle.definitions import defs

    SNAPSHOT.write_text(definitions_text(defs().get_repository_def()))
