"""The folder in which the workers of one server share their metrics, so that any of them can show the sum.

prometheus_client's multi-process mode does not read custom collectors, so `SharedValues` copies a worker's samples into
files of the library's format; the library merges them. Files are named by the worker's number, not by its process: a
restarted worker continues its predecessor's counters, and the folder does not grow with restarts.

The series of a bundle that is no longer in force are hidden before any worker removes them from its files: otherwise
the sum over the workers would fall, which Prometheus takes for a restarted counter.
"""

import json
import math
import time
from collections.abc import Iterator, Mapping
from collections.abc import Set as AbstractSet
from pathlib import Path
from typing import Final, NamedTuple

from prometheus_client import multiprocess
from prometheus_client.metrics_core import Metric
from prometheus_client.mmap_dict import MmapedDict, mmap_key
from prometheus_client.registry import Collector

from serving.storage.durable import replacing
from serving.telemetry.families import Family, Labels, Samples

HIDE_SECONDS: Final = 900.0
"""Series of a bundle are shown for this time after it was in force, so that its last counts are scraped."""
FORGET_SECONDS: Final = 1800.0
"""After this time they are removed from memory and from the files, unless a worker still shows them."""

IDLE: Final = Family("serving_bundle_idle_seconds", "gauge", "", ("model", "slot", "bundle"), "livemin")
"""Seconds since a bundle was in force in a slot; only for `WorkersCollector`."""

_GONE: Final = {"livesum": 0.0, "livemin": math.inf, "livemax": -math.inf}
"""Values of a gauge whose object has left this worker, because a sample cannot be removed from a file: every other
worker's value wins, and `WorkersCollector` omits infinities."""


def prepare(folder: Path) -> None:
    """Create the folder, or delete an earlier server's files; the supervisor calls it before it starts a worker."""
    folder.mkdir(parents=True, exist_ok=True, mode=0o700)
    for path in folder.glob("*.db"):
        path.unlink()


class WorkerFiles(NamedTuple):
    """Where a worker shares its metrics."""

    folder: Path
    number: int

    def path(self, kind: str) -> Path:
        """File of the metrics of one kind, named as the library's merging expects it."""
        return self.folder / f"{kind}_{self.number}.db"


_joined: WorkerFiles | None = None


def join(folder: Path, number: int) -> None:
    """Share this process's metrics in `folder` as worker `number`; call it before `Metrics` is created."""
    global _joined  # noqa: PLW0603 - one a process
    _joined = WorkerFiles(folder, number)


def forget(folder: Path, number: int) -> None:
    """Delete a dead worker's gauges and keep its counters; the supervisor calls it before it starts another one."""
    multiprocess.mark_process_dead(number, str(folder))  # type: ignore[no-untyped-call]


def shared_files() -> WorkerFiles | None:
    """Files in which this process shares its metrics, or ``None``.

    A folder that the environment names (``PROMETHEUS_MULTIPROC_DIR``) belongs to another program, and is ignored.
    """
    return _joined


def idle_seconds(folder: Path) -> dict[Labels, float]:
    """Seconds since each bundle was in force in a slot of any worker that lives."""
    idle: dict[Labels, float] = {}
    for path in folder.glob(f"gauge_{IDLE.over_workers}_*.db"):
        try:
            # A worker's new file is empty for a moment.
            found = [] if not path.stat().st_size else list(_read(path))
        except FileNotFoundError:  # the gauges of a worker that has just died
            continue
        for key, seconds in found:
            _, name, labels, _ = json.loads(key)
            bundle = _bundle_of(labels)
            if name == IDLE.name and bundle is not None:
                idle[bundle] = min(seconds, idle.get(bundle, math.inf))
    return idle


class _SharedValue:
    """One number in a worker's file, written when it changes."""

    __slots__ = ("_file", "_key", "_value", "_written", "kind")

    def __init__(self, file: MmapedDict, family: Family, suffix: str, labels: Labels, bucket: str | None) -> None:
        names, label_values = family.labels, labels
        if bucket is not None:
            names, label_values = (*names, "le"), (*labels, bucket)
        self.kind = _kind_of(family)
        name = family.name + suffix
        self._key = mmap_key(family.name, name, list(names), list(label_values), family.help)
        self._written = 0.0 if family.kind != "gauge" else math.nan
        self.open(file)

    def open(self, file: MmapedDict) -> None:
        """Continue with the number in the worker's current file."""
        self._file = file
        self._value = file.read_value(self._key)[0]  # type: ignore[no-untyped-call]

    def set(self, number: float) -> None:
        if number != self._written:
            self._write(number)
            self._written = number

    def raise_to(self, total: float) -> None:
        """Add what this process has counted since the last call: the file may hold a predecessor's count."""
        if total != self._written:
            self._write(self._value + total - self._written)
            self._written = total

    def _write(self, value: float) -> None:
        self._value = value
        self._file.write_value(self._key, value, 0.0)  # type: ignore[no-untyped-call]


class SharedValues:
    """Writes one worker's samples to its files; one thread at a time."""

    def __init__(self, files: WorkerFiles) -> None:
        self._files = files
        self._open: dict[str, MmapedDict] = {}
        self._numbers: dict[Family, dict[Labels, _SharedValue]] = {}
        self._histograms: dict[tuple[Family, Labels], tuple[list[_SharedValue], _SharedValue]] = {}

    def forget(self, kept: AbstractSet[Labels]) -> None:
        """Remove all bundles but those in `kept` from this worker's files, a predecessor's included."""
        for file in self._open.values():
            file.close()  # type: ignore[no-untyped-call]
        self._open.clear()
        for path in self._files.folder.glob(self._files.path("*").name):
            with replacing(path, is_sole_writer=True) as temporary:
                copy = MmapedDict(str(temporary))  # type: ignore[no-untyped-call]
                for key, value in _read(path):
                    if _bundle_of(json.loads(key)[2]) in {None, *kept}:
                        copy.write_value(key, value, 0.0)  # type: ignore[no-untyped-call]
                copy.close()  # type: ignore[no-untyped-call]
        for family, numbers in self._numbers.items():
            self._numbers[family] = {
                labels: value for labels, value in numbers.items() if _is_kept(family, labels, kept)
            }
        self._histograms = {key: parts for key, parts in self._histograms.items() if _is_kept(*key, kept)}
        for shared in self._all():
            shared.open(self._file(shared.kind))

    def _all(self) -> Iterator[_SharedValue]:
        for numbers in self._numbers.values():
            yield from numbers.values()
        for buckets, total in self._histograms.values():
            yield from (*buckets, total)

    def _file(self, kind: str) -> MmapedDict:
        if kind not in self._open:
            self._open[kind] = MmapedDict(str(self._files.path(kind)))  # type: ignore[no-untyped-call]
        return self._open[kind]

    def _value(self, family: Family, suffix: str, labels: Labels, bucket: str | None = None) -> _SharedValue:
        return _SharedValue(self._file(_kind_of(family)), family, suffix, labels, bucket)

    def write(self, samples: Samples) -> None:
        """Write what has changed since the last call."""
        for family, numbers in samples.numbers.items():
            is_gauge = family.kind == "gauge"
            shared_by_labels = self._numbers.setdefault(family, {})
            for labels, number in numbers.items():
                shared = shared_by_labels.get(labels)
                if shared is None:
                    shared = shared_by_labels[labels] = self._value(family, "" if is_gauge else "_total", labels)
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
                    buckets = [self._value(family, "_bucket", labels, bucket) for bucket in family.buckets]
                    parts = self._histograms[family, labels] = (buckets, self._value(family, "_sum", labels))
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
        idle = idle_seconds(self._folder)
        shown = {None, *(bundle for bundle, seconds in idle.items() if seconds < HIDE_SECONDS)}
        for metric in sorted(merged, key=lambda metric: metric.name):
            if metric.name == IDLE.name:
                continue
            samples = [sample for sample in metric.samples if _bundle_of(sample.labels) in shown]
            if metric.type == "gauge":
                samples = [sample for sample in samples if math.isfinite(sample.value)]
            metric.samples = samples
            yield metric
            # A scrape runs off the event loop's thread: this lets the loop answer in between.
            time.sleep(0)


def _kind_of(family: Family) -> str:
    return f"gauge_{family.over_workers}" if family.kind == "gauge" else family.kind


def _read(path: Path) -> Iterator[tuple[str, float]]:
    """Keys and numbers of a worker's file, which that worker may be writing."""
    for key, value, *_ in MmapedDict.read_all_values_from_file(str(path)):  # type: ignore[no-untyped-call]
        yield key, value


def _bundle_of(labels: Mapping[str, str]) -> Labels | None:
    """Model, slot and bundle of a series; ``None`` if it is not of a bundle."""
    if "bundle" not in labels:
        return None
    return labels["model"], labels["slot"], labels["bundle"]


def _is_kept(family: Family, labels: Labels, kept: AbstractSet[Labels]) -> bool:
    return _bundle_of(dict(zip(family.labels, labels, strict=True))) in {None, *kept}
