"""Prepares an installation's folder: keys, stores, Dagster's home. Idempotent."""

import contextlib
import json
import shutil
import signal
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import yaml

from lifecycle.errors import LifecycleError
from lifecycle.local.lost_runs import fail_lost_runs
from lifecycle.local.private_home import repair_home
from lifecycle.local.processes import Ports, Running, expect_free_port, running, services
from lifecycle.local.up_record import UpRecord
from lifecycle.releases.mlflow_locations import move_locations
from lifecycle.settings.platform import INSTALLATION_FILE, Settings
from serving.storage.durable import write_file

MINIMUM_FREE_BYTES = 1_000_000_000

_ENDING = (signal.SIGTERM, signal.SIGHUP)

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
  # A second net under the check for lost runs: no run of a model takes this long.
  max_runtime_seconds: 21600
"""


def prepare(settings: Settings) -> None:
    """Create the files that an installation's processes need.

    Raises
    ------
    LifecycleError
        If the folder cannot be written, or the disk is nearly full.
    """
    from lifecycle.signing.keys import ensure_keys
    from lifecycle.warehouse import open_warehouse

    try:
        settings.root.mkdir(parents=True, exist_ok=True, mode=0o700)
        if message := repair_home(settings, is_whole=True):
            sys.stderr.write(f"{message}\n")
        _expect_free_space(settings)
        for notice in write_dagster_yaml(settings.dagster_home / "dagster.yaml"):
            sys.stderr.write(f"{notice}\n")
        _store_settings(settings)
        _ = ensure_keys(settings).model_key  # creates it, too
        for folder in (settings.release_store, settings.decision_log_dir):
            folder.mkdir(parents=True, exist_ok=True, mode=0o700)
    except OSError as error:
        raise LifecycleError(
            f"Expected to write to LIFECYCLE_HOME, got {error.strerror} - at {settings.root}"
        ) from error
    open_warehouse(settings)
    settings.mlflow_dir.mkdir(parents=True, exist_ok=True, mode=0o700)
    move_locations(settings.mlflow_dir)


def write_dagster_yaml(path: Path) -> list[str]:
    """Write Dagster's settings, or name those that an existing file has no value for.

    A file of an older version, or one that a person wrote, stays as it is: any value of its own silences the notice.

    Raises
    ------
    LifecycleError
        If the existing file is not YAML.
    """
    if not path.exists():
        write_file(path, DAGSTER_YAML.encode())
        return []
    return missing_dagster_settings(path)


def missing_dagster_settings(path: Path) -> list[str]:
    """Settings of this version for which an existing file has no value; raises as `write_dagster_yaml`."""
    try:
        existing = dict(_settings_of(yaml.safe_load(path.read_text())))
    except yaml.YAMLError as error:
        raise LifecycleError(f"Expected Dagster's settings as YAML, got {error} - in {path}") from error
    return [
        f"Expected a value of {name}, got none; this version sets {value} - in {path}"
        for name, value in _settings_of(yaml.safe_load(DAGSTER_YAML))
        if name not in existing
    ]


def _settings_of(document: Any, above: str = "") -> Iterator[tuple[str, Any]]:
    """Names, divided by dots, and values of a YAML document."""
    if not isinstance(document, dict):
        yield above, document
        return
    for name, value in document.items():
        yield from _settings_of(value, f"{above}.{name}" if above else str(name))


@contextmanager
def start_services(settings: Settings, ports: Ports) -> Iterator[Running]:
    """Prepare the installation and run its processes until the block ends, also by an error.

    SIGTERM and SIGHUP, which a closed terminal sends, end the block as Ctrl-C does.

    Raises
    ------
    LifecycleError
        If the installation is running already, a port is taken, or a process does not start.
    """
    prepare(settings)
    record = UpRecord(settings.root)
    record.begin()
    with contextlib.ExitStack() as stack:
        stack.callback(record.end)
        started = services(settings, ports)
        for service in started:
            expect_free_port(service)
        previous = {number: signal.signal(number, signal.default_int_handler) for number in _ENDING}
        stack.callback(_restore, previous)
        if lost := fail_lost_runs(settings):
            sys.stderr.write(f"Failed {len(lost)} runs whose process is gone: {', '.join(run[:8] for run in lost)}\n")
        with running(started, settings.root / "logs", record) as group:
            # A second signal must not interrupt the stop, or it would leave processes behind.
            try:
                yield group
            finally:
                for number in (*_ENDING, signal.SIGINT):
                    previous.setdefault(number, signal.getsignal(number))
                    signal.signal(number, signal.SIG_IGN)


def addresses(ports: Ports) -> dict[str, str]:
    """Addresses to open in a browser, by name."""
    return {
        "Dagster UI": f"http://127.0.0.1:{ports.dagster}",
        "MLflow UI": f"http://127.0.0.1:{ports.mlflow}",
        "Scoring API": f"http://127.0.0.1:{ports.serving}",
        "Reports": f"http://127.0.0.1:{ports.reports}",
    }


def _restore(handlers: Mapping[signal.Signals, Any]) -> None:
    for number, handler in handlers.items():
        signal.signal(number, handler)


def _store_settings(settings: Settings) -> None:
    """Store the profile and the target at the first start, and refuse others later.

    Raises
    ------
    LifecycleError
        If the environment names another profile or target than the installation has.
    """
    path = settings.root / INSTALLATION_FILE
    wanted = {"profile": settings.profile, "target": settings.target}
    if not path.exists():
        write_file(path, json.dumps(wanted, indent=2).encode())
        return
    stored = json.loads(path.read_bytes())
    for name, value in wanted.items():
        if stored.get(name) != value:
            raise LifecycleError(
                f"Expected the {name} {stored.get(name)!r} of this installation, got {value!r}; unset "
                f"LIFECYCLE_{name.upper()}, or set LIFECYCLE_HOME to another folder - in {path}"
            )


def _expect_free_space(settings: Settings) -> None:
    free = shutil.disk_usage(settings.root).free
    if free < MINIMUM_FREE_BYTES:
        raise LifecycleError(
            f"Expected at least {MINIMUM_FREE_BYTES / 1e9:.0f} GB free, got {free / 1e9:.2f} GB; free some space or "
            f"set LIFECYCLE_HOME to another disk - at {settings.root}"
        )
