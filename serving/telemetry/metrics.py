"""Counts decisions as they are made and reads states when `/metrics` is scraped.

The hot path adds to plain lists, which takes 0.4 us a decision; prometheus_client's own objects take 2.6, and shared
ones 6.3. A custom collector turns the lists into Prometheus's metrics at every scrape. Where workers share their
metrics, `Metrics.refresh` also writes them to the shared files, once a second.
"""

import asyncio
import datetime as dt
import threading
import time
from bisect import bisect_left
from collections.abc import Callable, Mapping, Sequence
from collections.abc import Set as AbstractSet
from typing import Final

from prometheus_client import CONTENT_TYPE_LATEST, generate_latest

from serving.contract.documents import DecisionName, Feature, SlotName
from serving.errors import RequestError
from serving.telemetry import families
from serving.telemetry.families import (
    LATENCY_BUCKETS_SECONDS,
    SCORE_BUCKETS,
    Family,
    HistogramCounts,
    Labels,
    Samples,
)
from serving.telemetry.process_collector import ProcessCollector
from serving.telemetry.statuses import LogStatus, ShippingStatus, StoreStatus
from serving.telemetry.worker_metrics import (
    FORGET_SECONDS,
    HIDE_SECONDS,
    IDLE,
    SharedValues,
    WorkersCollector,
    idle_seconds,
    shared_files,
)

CONTENT_TYPE: Final = CONTENT_TYPE_LATEST
"""Media type of `Metrics.exposition`."""

SHED_KINDS: Final = ("capacity", "deadline")
"""Reasons for rejecting a request whose counters exist at 0 from the start."""

_DECISIONS: Final[tuple[DecisionName, ...]] = ("approve", "review", "decline")


def nullable_features(schema: Sequence[Feature]) -> tuple[tuple[int, str], ...]:
    """Position and name of every feature that may be missing, as `Metrics.slot` takes them."""
    return tuple((position, feature.name) for position, feature in enumerate(schema) if feature.is_nullable)


class SlotMetrics:
    """Counts of one bundle in one slot; one thread at a time may call `decided`, and any thread may read."""

    __slots__ = (
        "_decisions", "_labels", "_latencies", "_latency_sum", "_missing", "_missing_labels", "_nullable", "_score_sum",
        "_scores", "is_forgotten",
    )  # fmt: skip

    def __init__(self, model: str, slot: SlotName, bundle: str, nullable: Sequence[tuple[int, str]]) -> None:
        # A shadow scores copies of other slots' requests: their missing values would count twice.
        counted = () if slot == "shadow" else tuple(nullable)
        self._nullable = tuple((index, position) for index, (position, _) in enumerate(counted))
        self._missing = [0] * len(counted)
        self._missing_labels = [(model, name) for _, name in counted]
        self._decisions = dict.fromkeys(_DECISIONS, 0)
        self._latencies = [0] * (len(LATENCY_BUCKETS_SECONDS) + 1)
        self._scores = [0] * (len(SCORE_BUCKETS) + 1)
        self._latency_sum = self._score_sum = 0.0
        self._labels = (model, slot, bundle)
        self.is_forgotten = False

    def decided(self, decision: DecisionName, score: float, elapsed_seconds: float, values: Sequence[object]) -> None:
        """Count a decision; `values` is the row in the schema's order."""
        self._decisions[decision] += 1
        self._latencies[bisect_left(LATENCY_BUCKETS_SECONDS, elapsed_seconds)] += 1
        self._latency_sum += elapsed_seconds
        self._scores[bisect_left(SCORE_BUCKETS, score)] += 1
        self._score_sum += score
        for index, position in self._nullable:
            if values[position] is None:
                self._missing[index] += 1

    def add_to(self, samples: Samples) -> None:
        """Add the counts to a snapshot."""
        labels = self._labels
        for decision, count in self._decisions.items():
            samples.numbers[families.REQUESTS][(*labels, decision)] = count
        samples.histograms[families.REQUEST_DURATION][labels] = HistogramCounts(
            self._latencies.copy(), self._latency_sum
        )
        samples.histograms[families.SCORE][labels] = HistogramCounts(self._scores.copy(), self._score_sum)

    def add_missing_to(self, missing: dict[Labels, float]) -> None:
        """Add the missing values, which are counted by feature over all bundles."""
        for feature_labels, count in zip(self._missing_labels, self._missing, strict=True):
            missing[feature_labels] = missing.get(feature_labels, 0) + count


class Metrics:
    """Metrics of one server process, in memory and, where there are other workers, in files that they share.

    Admission counts `in_flight` up and down.
    """

    def __init__(self) -> None:
        self.in_flight = 0
        self.certificate_end_seconds: float | None = None
        """End of the TLS certificate in seconds since 1970; ``None`` without TLS."""
        files = shared_files()
        self._folder = None if files is None else files.folder
        self._shared = None if files is None else SharedValues(files)
        self._lock = threading.Lock()
        self._slots: dict[Labels, SlotMetrics] = {}
        self._in_force_at: dict[Labels, float] = {}
        self._forgotten_missing: dict[Labels, float] = {}
        self._is_serving = False
        self._slot_states: set[Labels] = set()
        self._read_store_status: Callable[[], StoreStatus] | None = None
        self._read_log_status: Callable[[], LogStatus] | None = None
        self._read_shipping_status: Callable[[], ShippingStatus] | None = None
        self._read_key_failure: Callable[[], str | None] | None = None
        self._read_dropped_lines: Callable[[], int] | None = None
        self._counting = threading.Lock()
        self._followed: dict[tuple[Family, Labels], int] = {}
        # A counter must exist at 0 before its first count, or Prometheus misses that step.
        kinds = [kind.__name__.removesuffix("Error") for kind in RequestError.__subclasses__()]
        started: list[tuple[Family, Labels]] = [(families.LOG_WRITES, (result,)) for result in ("written", "failed")]
        started += [(families.ERRORS, (kind,)) for kind in kinds]
        started += [(families.REQUESTS_SHED, (kind,)) for kind in SHED_KINDS]
        self._counts = dict.fromkeys(started, 0)

    def begin(self) -> None:
        """Count this process as a worker: it is about to accept connections."""
        self._is_serving = True

    def watch(
        self,
        *,
        store: Callable[[], StoreStatus] | None = None,
        log: Callable[[], LogStatus] | None = None,
        shipping: Callable[[], ShippingStatus] | None = None,
        keys: Callable[[], str | None] | None = None,
        dropped_lines: Callable[[], int] | None = None,
    ) -> None:
        """Set the functions that every `refresh` reads states from; an omitted one stays as it is.

        `keys` returns why the file of API keys is not in force, ``None`` if it is; `dropped_lines` counts lines of
        standard error.
        """
        self._read_store_status = store or self._read_store_status
        self._read_log_status = log or self._read_log_status
        self._read_shipping_status = shipping or self._read_shipping_status
        self._read_key_failure = keys or self._read_key_failure
        self._read_dropped_lines = dropped_lines or self._read_dropped_lines

    def slot(self, model: str, slot: SlotName, bundle_digest: str, nullable: Sequence[tuple[int, str]]) -> SlotMetrics:
        """Return the counts of one bundle in one slot: the same object for the same arguments."""
        key = (model, slot, bundle_digest)
        with self._lock:
            counts = self._slots.get(key)
            if counts is None:
                counts = self._slots[key] = SlotMetrics(model, slot, bundle_digest, nullable)
            return counts

    def failed(self, kind: str) -> None:
        """Count a request without a decision; `kind` is an error class's name, never text from the request."""
        self._count(families.ERRORS, kind)

    def shed(self, kind: str) -> None:
        """Count a request that was rejected before any work; `kind` is the reason, never text from the request."""
        self._count(families.REQUESTS_SHED, kind)

    def repeated(self) -> None:
        """Count a repeat that was answered from memory."""
        self._count(families.REPEATS)

    def explain_failed(self, model: str) -> None:
        """Count a decision without the reasons that it requires."""
        self._count(families.EXPLAIN_FAILURES, model)

    def completed(self, model: str, derived_sent: int, unseen: int) -> None:
        """Count a decision whose request carried derived features, or categories that became `other`."""
        if derived_sent:
            self._count(families.DERIVED_SENT, model)
        if unseen:
            self._count(families.UNSEEN_CATEGORIES, model)

    def shadow_dropped(self, model: str) -> None:
        """Count a copied request that did not fit into the shadow's queue."""
        self._count(families.SHADOW_DROPPED, model)

    def shadow_failed(self, model: str) -> None:
        """Count a copied request that the shadow failed to score; its record holds the reason."""
        self._count(families.SHADOW_FAILURES, model)

    def transition(self, model: str, slot: SlotName, state: str) -> None:
        """Count a slot's change into a state."""
        self._count(families.SLOT_TRANSITIONS, model, slot, state)

    def refresh(self) -> None:
        """Read the states and write all values to the shared files, if there are any; from any thread."""
        with self._lock:
            samples = self._samples()
            if self._shared is not None:
                self._shared.write(samples)

    async def keep_fresh(self, seconds: float = 1.0) -> None:
        """Refresh until cancelled, and once more then: a scrape may ask another worker.

        Without other workers every scrape refreshes by itself, and this only waits.
        """
        try:
            while True:
                await asyncio.sleep(seconds)
                if self._folder is not None:
                    self.refresh()
        finally:
            self.refresh()

    def exposition(self) -> bytes:
        """Return the metrics of all workers in Prometheus's text format."""
        if self._folder is not None:
            self.refresh()
            return generate_latest(WorkersCollector(self._folder))
        with self._lock:
            samples = self._samples()
        return generate_latest(ProcessCollector(samples))

    def _count(self, family: Family, *labels: str) -> None:
        key = (family, labels)
        with self._counting:
            self._counts[key] = self._counts.get(key, 0) + 1

    def _follow(self, family: Family, labels: Labels, total: int) -> None:
        """Count what another component's counter has gained."""
        key = (family, labels)
        previous = self._followed.get(key, 0)
        self._followed[key] = total
        with self._counting:
            # A lower total is a counter that restarted at 0, as in Prometheus's own functions.
            self._counts[key] = self._counts.get(key, 0) + (total - previous if total >= previous else total)

    def _samples(self) -> Samples:
        samples = Samples()
        numbers = samples.numbers
        numbers[families.WORKERS][()] = int(self._is_serving)
        numbers[families.REQUESTS_IN_FLIGHT][()] = self.in_flight
        if self.certificate_end_seconds is not None:
            numbers[families.CERTIFICATE_END][()] = self.certificate_end_seconds
        store = None if self._read_store_status is None else self._read_store_status()
        if store is not None:
            self._add_store(samples, store)
        self._add_slots(samples, self._idle_seconds(store))
        if self._read_log_status is not None:
            log = self._read_log_status()
            numbers[families.LOG_FAILING][()] = int(log.failure is not None)
            numbers[families.LOG_LAG][()] = log.lag_seconds
            self._follow(families.LOG_WRITES, ("written",), log.writes)
            self._follow(families.LOG_WRITES, ("failed",), log.write_failures)
            self._follow(families.LOG_UNRECORDED, (), log.unrecorded)
            self._follow(families.LOG_SEGMENTS_LOST, (), log.lost_segments)
        if self._read_shipping_status is not None:
            shipping = self._read_shipping_status()
            numbers[families.SHIPPING_FAILING][()] = int(shipping.failure is not None)
            numbers[families.SHIPPING_LAG][()] = shipping.lag_bytes
            numbers[families.SHIPPING_QUARANTINED][()] = shipping.quarantined
            self._follow(families.SHIPPED_RECORDS, (), shipping.shipped_records)
            for cause, count in shipping.failures.items():
                self._follow(families.SHIPPING_FAILURES, (cause,), count)
        if self._read_key_failure is not None:
            numbers[families.API_KEYS_FAILING][()] = int(self._read_key_failure() is not None)
        if self._read_dropped_lines is not None:
            self._follow(families.OUTPUT_DROPPED, (), self._read_dropped_lines())
        with self._counting:
            for (family, labels), count in self._counts.items():
                numbers[family][labels] = count
        return samples

    def _idle_seconds(self, store: StoreStatus | None) -> dict[Labels, float]:
        """Seconds since each bundle was in force in its slot; what is idle for too long is forgotten."""
        now = time.monotonic()
        if store is None:
            return dict.fromkeys(self._slots, 0.0)
        for model, status in store.models.items():
            for slot in status.slots:
                if slot.bundle_digest is not None:
                    self._in_force_at[model, slot.slot, slot.bundle_digest] = now
        for key in self._slots:
            self._in_force_at.setdefault(key, now)
        idle = {key: now - at for key, at in self._in_force_at.items()}
        forgotten = {key for key, seconds in idle.items() if seconds >= FORGET_SECONDS}
        if forgotten and self._folder is not None:
            # A worker that refused a release still shows the previous bundle: without this part its sum would fall.
            shown = {key for key, seconds in idle_seconds(self._folder).items() if seconds < HIDE_SECONDS}
            forgotten -= shown
        if forgotten:
            self._forget(forgotten)
        return {key: seconds for key, seconds in idle.items() if key not in forgotten}

    def _forget(self, bundles: AbstractSet[Labels]) -> None:
        """Drop the counts of bundles; missing values, whose labels name no bundle, stay counted."""
        for key in bundles:
            del self._in_force_at[key]
            counts = self._slots.pop(key, None)
            if counts is not None:
                counts.is_forgotten = True
                counts.add_missing_to(self._forgotten_missing)
        if self._shared is not None:
            self._shared.forget(self._in_force_at.keys())

    def _add_slots(self, samples: Samples, idle: Mapping[Labels, float]) -> None:
        """Add the counts of each bundle; without other workers, hidden ones are left out here."""
        missing = samples.numbers[families.FEATURE_MISSING]
        missing.update(self._forgotten_missing)
        for key, slot in self._slots.items():
            slot.add_missing_to(missing)
            if self._folder is not None or idle[key] < HIDE_SECONDS:
                slot.add_to(samples)
        if self._folder is not None:
            samples.numbers[IDLE] = dict(idle)

    def _add_store(self, samples: Samples, store: StoreStatus) -> None:
        numbers = samples.numbers
        self._follow(families.LOAD_FAILURES, (), store.load_failures)
        if store.poll_age_seconds is not None:
            numbers[families.POLL_AGE][()] = store.poll_age_seconds
        now = time.time()
        states: set[Labels] = set()
        for model, status in store.models.items():
            if status.release_number is not None:
                numbers[families.RELEASE_NUMBER][model,] = status.release_number
            numbers[families.MODEL_LOADED][model,] = int(status.release_number is not None)
            numbers[families.MODEL_ERROR][model,] = int(status.has_error)
            numbers[families.PROMOTION_HELD][model,] = int(status.is_promotion_held)
            for slot in status.slots:
                states.add((model, slot.slot, slot.state))
                if slot.bundle_digest is not None and slot.as_of is not None:
                    numbers[families.MODEL_AGE][model, slot.slot, slot.bundle_digest] = now - midnight_of(slot.as_of)
            for family in families.STARTED_BY_MODEL:
                numbers[family][model,] = 0
        self._slot_states |= states
        numbers[families.SLOT_STATE] = {labels: int(labels in states) for labels in self._slot_states}


def midnight_of(as_of: str) -> float:
    """Start of an `as_of` date in UTC, in seconds since 1970.

    Examples
    --------
    >>> midnight_of("1970-01-02")
    86400.0
    """
    return dt.datetime.combine(dt.date.fromisoformat(as_of), dt.time(), dt.UTC).timestamp()
