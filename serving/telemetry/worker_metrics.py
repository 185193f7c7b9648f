"""The folder in which the workers of one server keep their metrics, so that any of them can show the sum.

Each worker writes files named by its number, not by its process: one that takes a dead one's place goes on with its
counters, and the folder does not grow with every restart.
"""

import os
from collections.abc import Iterator
from pathlib import Path
from typing import Final

from prometheus_client import multiprocess, values
from prometheus_client.metrics_core import Metric

VARIABLE: Final = "PROMETHEUS_MULTIPROC_DIR"


def prepare(folder: Path) -> None:
    """Make the folder, empty of what an earlier server left; for the supervisor, before it starts a worker."""
    folder.mkdir(parents=True, exist_ok=True, mode=0o700)
    for path in folder.glob("*.db"):
        path.unlink()


def join(folder: Path, number: int) -> None:
    """Keep this process's metrics in `folder` as worker `number`; before it makes its `Metrics`."""
    os.environ[VARIABLE] = str(folder)
    values.ValueClass = values.MultiProcessValue(lambda: number)  # type: ignore[no-untyped-call]


def forget(folder: Path, number: int) -> None:
    """Take a dead worker's gauges away, its counters stay; for the supervisor, before it starts another one."""
    multiprocess.mark_process_dead(number, str(folder))  # type: ignore[no-untyped-call]


def shared_folder() -> Path | None:
    """Where this process shares its metrics; ``None`` if it keeps them to itself.

    Raises
    ------
    RuntimeError
        If the variable was set after prometheus_client had been imported, and so too late.
    """
    folder = os.environ.get(VARIABLE)
    if bool(folder) != bool(values.ValueClass._multiprocess):
        raise RuntimeError(f"Expected {VARIABLE} to be set before prometheus_client is imported, or never")
    return Path(folder) if folder else None


def collected(folder: Path) -> Iterator[Metric]:
    """The metrics of all workers together."""
    files = []
    for path in sorted(folder.glob("*.db")):
        try:
            # A file that a worker is just making is empty for a moment, which the library's reader does not expect.
            if path.stat().st_size:
                files.append(str(path))
        except FileNotFoundError:  # the gauges of a worker that just died
            continue
    merged = multiprocess.MultiProcessCollector.merge(files)  # type: ignore[no-untyped-call]
    yield from sorted(merged, key=lambda metric: metric.name)
