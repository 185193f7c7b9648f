"""The code location that `workspace.yaml` names: everything below `lifecycle/defs`."""

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from types import ModuleType

import dagster as dg

from lifecycle.settings.platform import PROJECT_ROOT
from serving.storage.private_files import keep_files_private

SLOW_PLUGIN = "dagster_snowflake"
"""Loading the folder imports every installed plugin for the UI's list of components; this one imports Snowpark, which
costs each process of the code location 7 s and 200 MB."""


@dg.definitions
def defs() -> dg.Definitions:
    """Assets, checks, jobs, schedules and sensors of every model."""
    keep_files_private()
    with _without(SLOW_PLUGIN):
        return dg.load_from_defs_folder(path_within_project=PROJECT_ROOT / "deploy" / "dagster")


@contextmanager
def _without(plugin: str) -> Iterator[None]:
    """Replace `plugin` by an empty module while the block runs, unless it is imported already."""
    if plugin in sys.modules:
        yield
        return
    sys.modules[plugin] = ModuleType(plugin)
    try:
        yield
    finally:
        del sys.modules[plugin]
