"""Collects the metrics of an installation: the same files that `lifecycle status`, the sensors and the alerts read.

A damaged or missing file costs its own values and is counted; it never breaks a scrape. What stops promotion counts as
on while it cannot be read, because promotion then waits.
"""

import logging
import threading
import traceback
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from functools import partial
from pathlib import Path
from typing import Any, Final, TypeVar, get_args

from prometheus_client import CONTENT_TYPE_LATEST, CollectorRegistry, generate_latest
from prometheus_client.metrics_core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from lifecycle.artefacts.evidence import DRIFT, GATES, LIVE_PERFORMANCE, LOAD, MATCHING, REQUESTS, GateEvidence
from lifecycle.errors import LifecycleError
from lifecycle.gates.outcomes import WORDS
from lifecycle.local.exporter import families
from lifecycle.local.exporter.alert_counts import AlertCounts
from lifecycle.local.exporter.evidence_files import EvidenceFiles
from lifecycle.local.exporter.families import FAMILIES, Sample
from lifecycle.local.exporter.model_samples import (
    load_samples,
    matching_samples,
    monitoring_samples,
    performance_samples,
    release_samples,
    request_samples,
)
from lifecycle.local.exporter.release_files import ReleaseFiles
from lifecycle.monitoring.accounts import DayOfDecisions, DayOfRequests
from lifecycle.monitoring.alerts import AlertKind
from lifecycle.monitoring.decision_load import LoadVerdict
from lifecycle.monitoring.live_performance import PerformanceVerdict
from lifecycle.monitoring.verdict import MonitoringVerdict
from lifecycle.releases.alert_log import ALERTS_FILE
from lifecycle.releases.freeze_switch import last_turn
from lifecycle.releases.promotion_hold import hold_in_force
from lifecycle.settings.platform import Settings
from lifecycle.signing.keys import PUBLIC_KEY_FILE
from lifecycle.spec.model_files import model_names
from serving.artefacts.signatures import PublicKeys, read_public_keys
from serving.contract.documents import ContractError, Release

CONTENT_TYPE: Final = CONTENT_TYPE_LATEST
"""Media type of `Exporter.exposition`."""

RELEASES, RESUMES, FREEZES, KEYS, ALERTS, MODELS = "releases", "resumes", "freezes", "keys", "alerts", "models"
"""Kinds of files besides those of the evidence."""
MODEL_KINDS = (GATES, DRIFT, LIVE_PERFORMANCE, LOAD, REQUESTS, MATCHING, RELEASES, RESUMES)
PLATFORM_KINDS = (FREEZES, KEYS, ALERTS, MODELS)

_Result = TypeVar("_Result")
_log = logging.getLogger(__name__)


class Exporter:
    """The metrics of one installation in Prometheus's text format."""

    def __init__(self, settings: Settings) -> None:
        self._registry = CollectorRegistry()
        self._registry.register(_LifecycleCollector(settings))

    def exposition(self) -> bytes:
        """All metrics, read from the files now."""
        return generate_latest(self._registry)


class _Model:
    """The files of one model."""

    def __init__(self, settings: Settings, model: str) -> None:
        folder = settings.evidence_dir / model
        self.name = model
        self.gates = EvidenceFiles(folder / GATES, GateEvidence, lambda gates: gates.outcome)
        self.drift = EvidenceFiles(folder / DRIFT, MonitoringVerdict, _nothing)
        self.performance = EvidenceFiles(folder / LIVE_PERFORMANCE, PerformanceVerdict, _nothing)
        self.load = EvidenceFiles(folder / LOAD, LoadVerdict, _nothing)
        self.requests = EvidenceFiles(folder / REQUESTS, DayOfRequests, _nothing)
        self.matching = EvidenceFiles(folder / MATCHING, DayOfDecisions, _nothing)
        self.releases = ReleaseFiles(settings.release_store, model)


class _LifecycleCollector(Collector):
    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._alerts = AlertCounts(settings.root / ALERTS_FILE)
        self._models: dict[str, _Model] = {}
        self._unreadable: Counter[tuple[str, str]] = Counter()
        self._lock = threading.Lock()

    def describe(self) -> Iterable[Metric]:
        """No metric: to read the files at registration would cost a start."""
        return ()

    def collect(self) -> Iterator[Metric]:
        """Every metric, in the order of `FAMILIES`."""
        values: dict[families.Family, list[tuple[tuple[str, ...], float]]] = {family: [] for family in FAMILIES}
        with self._lock:
            for family, labels, value in self._samples():
                values[family].append((labels, value))
        for family, samples in values.items():
            kind = CounterMetricFamily if family.kind == "counter" else GaugeMetricFamily
            metric = kind(family.name, family.help, labels=family.labels)
            for labels, value in samples:
                metric.add_metric(labels, value)
            yield metric

    def _samples(self) -> Iterator[Sample]:
        self._unreadable.clear()
        names = self._names()
        self._models = {name: self._models.get(name) or _Model(self._settings, name) for name in names}
        keys = self._guarded(KEYS, "", self._keys)
        yield from self._alert_samples(names)
        for model in self._models.values():
            yield from self._model_samples(model, keys)
        yield families.PROMOTION_FROZEN, (), self._is_frozen(keys)
        kinds = [(kind, "") for kind in PLATFORM_KINDS] + [(kind, name) for name in names for kind in MODEL_KINDS]
        for kind, name in kinds:
            yield families.UNREADABLE, (kind, name), self._unreadable[kind, name]

    def _names(self) -> list[str]:
        """Models of this installation, and those with evidence or releases."""
        names = set(self._guarded(MODELS, "", model_names) or ())
        for folder in (self._settings.evidence_dir, self._settings.release_store / "releases"):
            names |= self._guarded(MODELS, "", partial(_folders, folder)) or set()
        return sorted(names)

    def _keys(self) -> PublicKeys | None:
        path = self._settings.keys_dir / PUBLIC_KEY_FILE
        return read_public_keys(path) if path.exists() or self._settings.release_store.exists() else None

    def _alert_samples(self, names: list[str]) -> Iterator[Sample]:
        self._guarded(ALERTS, "", self._alerts.refresh)
        expected = {(kind, name) for kind in get_args(AlertKind) for name in ("", *names)}
        for kind, name in sorted(expected | set(self._alerts.counts)):
            yield families.ALERTS, (kind, name), self._alerts.counts[kind, name]
        yield families.UNREADABLE_LINES, (), self._alerts.unreadable_lines
        for name in names:
            yield families.RETRAININGS, (name, "refused"), self._alerts.of("candidate_refused", name)
            yield families.RETRAININGS, (name, "broken"), self._alerts.of("run_broken", name)

    def _model_samples(self, model: _Model, keys: PublicKeys | None) -> Iterator[Sample]:
        name, champion = model.name, None
        if keys is not None:
            history = self._guarded(RELEASES, name, lambda: model.releases.history(keys))
            if history is not None:
                yield from release_samples(name, history)
                champion = history[-1].champion.bundle_digest if history else None
                yield families.PROMOTION_HELD, (name,), self._is_held(name, history, keys)
        yield from self._newest(DRIFT, name, model.drift, lambda found: monitoring_samples(name, found, champion))
        yield from self._newest(
            LIVE_PERFORMANCE, name, model.performance, lambda found: performance_samples(name, found)
        )
        yield from self._newest(LOAD, name, model.load, lambda found: load_samples(name, found, champion))
        yield from self._newest(REQUESTS, name, model.requests, lambda found: request_samples(name, found))
        yield from self._newest(MATCHING, name, model.matching, lambda found: matching_samples(name, found))
        self._guarded(GATES, name, model.gates.refresh)
        self._unreadable[GATES, name] += model.gates.unreadable
        for outcome, word in WORDS.items():
            yield families.CANDIDATES, (name, word), model.gates.kept.count(outcome)

    def _newest(
        self, kind: str, name: str, files: EvidenceFiles[Any, None], samples: Callable[[Any], Iterator[Sample]]
    ) -> list[Sample]:
        """The values of the newest document; empty if it is damaged or missing."""
        self._guarded(kind, name, files.refresh)
        self._unreadable[kind, name] += files.unreadable

        def read() -> list[Sample]:
            newest = files.newest()
            return list(samples(newest)) if newest is not None else []

        return self._guarded(kind, name, read) or []

    def _is_frozen(self, keys: PublicKeys | None) -> bool:
        if keys is None:
            return self._unreadable[KEYS, ""] > 0
        freeze = self._guarded(FREEZES, "", lambda: (last_turn(self._settings.release_store, keys),))
        return freeze is None or (freeze[0] is not None and freeze[0].is_frozen)

    def _is_held(self, model: str, history: Sequence[Release], keys: PublicKeys) -> bool:
        store = self._settings.release_store
        hold = self._guarded(RESUMES, model, lambda: (hold_in_force(store, keys, history),))
        return hold is None or hold[0] is not None

    def _guarded(self, kind: str, name: str, read: Callable[[], _Result]) -> _Result | None:
        """Result of reading files; ``None`` if that fails, which is counted."""
        try:
            return read()
        except (LifecycleError, ContractError, OSError):
            self._unreadable[kind, name] += 1
        except Exception as error:
            # Only the type and the lines: a message may hold a file's content.
            lines = "".join(traceback.format_tb(error.__traceback__))
            _log.error(
                "the %s of %s cannot be read, %s:\n%s", kind, name or "the platform", type(error).__name__, lines
            )
            self._unreadable[kind, name] += 1
        return None


def _folders(folder: Path) -> set[str]:
    """Names of the folders in a folder; empty if it is not there."""
    paths = folder.iterdir() if folder.exists() else ()
    return {path.name for path in paths if path.is_dir() and not path.name.startswith(".")}


def _nothing(_document: object) -> None:
    """Keeps nothing: the newest document is read again."""
