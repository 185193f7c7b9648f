"""The code location that `workspace.yaml` names: everything below `lifecycle/defs`."""

from pathlib import Path

import dagster as dg


@dg.definitions
def defs() -> dg.Definitions:
    """Assets, checks, jobs, schedules and sensors of every model."""
    return dg.load_from_defs_folder(path_within_project=Path(__file__).parent)
