"""Every metric of the server, by Prometheus's naming conventions: name, help, labels, buckets, and how workers add up.

With several workers a gauge is the sum, the lowest or the highest of the workers that live. One that describes nothing
any more (a model that left its slot) is set to the infinity that every other worker's value wins against; `metrics`
leaves infinities out of what it shows, since a child cannot be removed from a file that workers share.
"""

import math
from typing import Final

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, disable_created_metrics

LATENCY_BUCKETS_SECONDS: Final = (
    0.0001, 0.00025, 0.0005, 0.00075, 0.001, 0.0015, 0.002, 0.003, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 1.0, 2.5,
)  # fmt: skip
"""Fine around a millisecond, where a decision lies, and wide enough to show a disk that stalls."""
SCORE_BUCKETS: Final = tuple(step / 20 for step in range(1, 21))

GONE_LOWEST: Final = math.inf
GONE_HIGHEST: Final = -math.inf

# When a counter was made is of no use to anybody here and doubles the exposition.
disable_created_metrics()  # type: ignore[no-untyped-call]


class Families:
    """The metrics in one registry; ``None`` where they are read from the workers' files instead."""

    def __init__(self, registry: CollectorRegistry | None) -> None:
        def counter(name: str, says: str, *labels: str) -> Counter:
            return Counter(f"serving_{name}", says, labels, registry=registry)

        bundle = ("model", "slot", "bundle")
        self.requests = counter("requests", "Decisions given, repeats left out", *bundle, "decision")
        self.request_duration = Histogram(
            "serving_request_duration_seconds", "Time from a request's arrival until its decision can be answered",
            bundle, registry=registry, buckets=LATENCY_BUCKETS_SECONDS,
        )  # fmt: skip
        self.score = Histogram(
            "serving_score", "Calibrated scores given", bundle, registry=registry, buckets=SCORE_BUCKETS
        )
        self.feature_missing = counter(
            "feature_missing", "Decisions by champion or canary with this feature missing", "model", "feature"
        )
        self.repeats = counter("repeats", "Repeated requests answered with the decision given before")
        self.errors = counter("errors", "Requests without a decision, by kind of error", "kind")
        self.requests_shed = counter("requests_shed", "Requests turned away before any work, by reason", "kind")
        self.log_writes = counter("log_writes", "Writes to the decision log, by result", "result")
        self.log_unrecorded = counter("log_unrecorded", "Decisions answered without a record")
        self.explain_failures = counter("explain_failures", "Decisions without the reasons they should have", "model")
        self.shadow_dropped = counter("shadow_dropped", "Copies that the shadow's full queue did not take", "model")
        self.shadow_failures = counter("shadow_failures", "Copies that the shadow gave no score for", "model")
        self.slot_transitions = counter("slot_transitions", "Changes of a slot's state", "model", "slot", "state")
        self.load_failures = counter("load_failures", "Releases refused")
        self.shipped_records = counter("shipped_records", "Records that the decision log's sink confirmed")
        self._gauges(registry)

    def _gauges(self, registry: CollectorRegistry | None) -> None:
        def total(name: str, says: str, *labels: str) -> Gauge:
            return Gauge(f"serving_{name}", says, labels, registry=registry, multiprocess_mode="livesum")

        def lowest(name: str, says: str, *labels: str) -> Gauge:
            return Gauge(f"serving_{name}", says, labels, registry=registry, multiprocess_mode="livemin")

        def highest(name: str, says: str, *labels: str) -> Gauge:
            return Gauge(f"serving_{name}", says, labels, registry=registry, multiprocess_mode="livemax")

        self.workers = total("workers", "Worker processes that take connections")
        self.requests_in_flight = total("requests_in_flight", "Requests admitted and not yet answered")
        self.slot_state = total("slot_state", "Workers whose slot is in this state", "model", "slot", "state")
        self.release_number = lowest("release_number", "Release that answers in every worker", "model")
        self.model_loaded = lowest("model_loaded", "1 if a model answers in every worker", "model")
        self.model_error = highest("model_error", "1 if a worker refused the newest release", "model")
        self.model_age = highest(
            "model_age_seconds", "Time since midnight of the bundle's as_of date", "model", "slot", "bundle"
        )
        self.poll_age = highest("poll_age_seconds", "Time since the release store was last read")
        self.api_keys_failing = highest("api_keys_failing", "1 if the file of API keys as it stands is not in force")
        self.log_lag = highest("log_lag_seconds", "Age of the oldest decision that waits for the disk")
        self.log_failing = highest("log_failing", "1 if decisions cannot be recorded")
        self.shipping_lag = total("shipping_lag_bytes", "Bytes of the decision log that its sink has not confirmed")
        self.shipping_failing = highest("shipping_failing", "1 if the decision log's sink takes nothing at present")
