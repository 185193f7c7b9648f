"""Preparing an installation's folder: keys, stores, Dagster's home. Running it again changes nothing."""

import os
import shutil

from lifecycle.errors import LifecycleError
from lifecycle.publishing.atomic import write_file
from lifecycle.settings import Settings

MINIMUM_FREE_BYTES = 1_000_000_000

DAGSTER_YAML = """\
# Written by `lifecycle init`; edit it as you like, it is not written again.
telemetry:
  enabled: false
nux:
  enabled: false
concurrency:
  pools:
    default_limit: 1
    granularity: run
  runs:
    max_concurrent_runs: 4
run_monitoring:
  enabled: true
  start_timeout_seconds: 180
"""


def prepare(settings: Settings) -> None:
    """Make what an installation needs before its processes start.

    Raises
    ------
    LifecycleError
        If the folder cannot be written, or the disk is nearly full.
    """
    from lifecycle.publishing.keys import ensure_keys
    from lifecycle.publishing.registry import Registry
    from lifecycle.warehouse import open_warehouse

    try:
        settings.root.mkdir(parents=True, exist_ok=True, mode=0o700)
        _expect_free_space(settings)
        if not (settings.dagster_home / "dagster.yaml").exists():
            write_file(settings.dagster_home / "dagster.yaml", DAGSTER_YAML.encode())
        ensure_keys(settings)
        for folder in (settings.release_store, settings.decision_log_dir):
            folder.mkdir(parents=True, exist_ok=True, mode=0o700)
    except OSError as error:
        raise LifecycleError(
            f"Expected to write to LIFECYCLE_HOME, got {error.strerror} - at {settings.root}"
        ) from error
    open_warehouse(settings)
    Registry(settings.mlflow_dir).prepare()


def use_dagster_home(settings: Settings) -> None:
    """Let Dagster's libraries in this process find the installation's storage."""
    os.environ["DAGSTER_HOME"] = str(settings.dagster_home)


def _expect_free_space(settings: Settings) -> None:
    free = shutil.disk_usage(settings.root).free
    if free < MINIMUM_FREE_BYTES:
        raise LifecycleError(
            f"Expected at least {MINIMUM_FREE_BYTES / 1e9:.0f} GB free, got {free / 1e9:.2f} GB; free some space or set "
            f"LIFECYCLE_HOME to another disk - at {settings.root}"
        )
