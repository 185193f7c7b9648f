"""The folder in which the workers of one server share their metrics, so that any of them can show the sum.

prometheus_client's multi-process mode does not read custom collectors, so `SharedValues` copies a worker's samples into
the library's files; the library merges them. Files are named by the worker's number, not by its process: a restarted
worker continues its predecessor's counters, and the folder does not grow with restarts.
"""

import math
import os
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

from prometheus_client import multiprocess, values
from prometheus_client.metrics_core import Metric
from prometheus_client.registry import Collector

from serving.telemetry.families import Family, Labels, Samples

_VARIABLE: Final = "PROMETHEUS_MULTIPROC_DIR"
_folder: Path | None = None

_GONE: Final = {"livesum": 0.0, "livemin": math.inf, "livemax": -math.inf}
"""Values of a gauge whose object has left this worker, because a sample cannot be removed from a file: every other
worker's value wins, and `WorkersCollector` omits infinities."""


def prepare(folder: Path) -> None:
    """Create the folder, or delete an earlier server's files; the supervisor calls it before it starts a worker."""
    folder.mkdir(parents=True, exist_ok=True, mode=0o700)
    for path in folder.glob("*.db"):
        path.unlink()


def join(folder: Path, number: int) -> None:
    """Share this process's metrics in `folder` as worker `number`; call it before `Metrics` is created."""
    global _folder  # noqa: PLW0603 - as prometheus_client's own, one a process
    _folder = folder
    os.environ[_VARIABLE] = str(folder)
    values.ValueClass = values.MultiProcessValue(lambda: number)  # type: ignore[no-untyped-call]


def forget(folder: Path, number: int) -> None:
    """Delete a dead worker's gauges and keep its counters; the supervisor calls it before it starts another one."""
    multiprocess.mark_process_dead(number, str(folder))  # type: ignore[no-untyped-call]


def shared_folder() -> Path | None:
    """Folder in which this process shares its metrics, or ``None``.

    A folder that the environment names belongs to another program, and is ignored.
    """
    return _folder


class _SharedValue:
    """One number in a worker's file, written when it changes."""

    __slots__ = ("_value", "_written")

    def __init__(self, family: Family, suffix: str, labels: Labels, bucket: str | None = None) -> None:
        names, label_values = family.labels, labels
        if bucket is not None:
            names, label_values = (*names, "le"), (*labels, bucket)
        self._value: Any = values.ValueClass(
            family.kind, family.name, family.name + suffix, names, label_values, family.help,
            multiprocess_mode=family.over_workers,
        )  # fmt: skip
        self._written = 0.0 if family.kind != "gauge" else math.nan

    def set(self, number: float) -> None:
        if number != self._written:
            self._value.set(number)
            self._written = number

    def raise_to(self, total: float) -> None:
        """Add what this process has counted since the last call: the file may hold a predecessor's count."""
        if total != self._written:
            self._value.inc(total - self._written)
            self._written = total


class SharedValues:
    """Writes one worker's samples to its files."""

    def __init__(self) -> None:
        self._numbers: dict[Family, dict[Labels, _SharedValue]] = {}
        self._histograms: dict[tuple[Family, Labels], tuple[list[_SharedValue], _SharedValue]] = {}

    def write(self, samples: Samples) -> None:
        """Write what has changed since the last call."""
        for family, numbers in samples.numbers.items():
            is_gauge = family.kind == "gauge"
            shared_by_labels = self._numbers.setdefault(family, {})
            for labels, number in numbers.items():
                shared = shared_by_labels.get(labels)
                if shared is None:
                    shared = shared_by_labels[labels] = _SharedValue(family, "" if is_gauge else "_total", labels)
                if is_gauge:
                    shared.set(number)
                else:
                    shared.raise_to(number)
            if is_gauge:
                for labels in shared_by_labels.keys() - numbers.keys():
                    shared_by_labels[labels].set(_GONE[family.over_workers])
        for family, histograms in samples.histograms.items():
            for labels, histogram in histograms.items():
                parts = self._histograms.get((family, labels))
                if parts is None:
                    buckets = [_SharedValue(family, "_bucket", labels, bucket) for bucket in family.buckets]
                    parts = self._histograms[family, labels] = (buckets, _SharedValue(family, "_sum", labels))
                for bucket, count in zip(parts[0], histogram.counts, strict=True):
                    bucket.raise_to(count)
                parts[1].raise_to(histogram.total)


class WorkersCollector(Collector):
    """The metrics of all workers together."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def collect(self) -> Iterator[Metric]:
        """Merge the workers' files."""
        files = []
        for path in sorted(self._folder.glob("*.db")):
            try:
                # A worker's new file is empty for a moment, which the library's reader does not expect.
                if path.stat().st_size:
                    files.append(str(path))
            except FileNotFoundError:  # the gauges of a worker that has just died
                continue
        merged = multiprocess.MultiProcessCollector.merge(files)  # type: ignore[no-untyped-call]
        for metric in sorted(merged, key=lambda metric: metric.name):
            if metric.type == "gauge":
                metric.samples = [sample for sample in metric.samples if math.isfinite(sample.value)]
            yield metric
            # A scrape runs off the event loop's thread: this lets the loop answer in between.
            time.sleep(0)
