"""All metrics of the server, named by Prometheus's conventions, and the values of one process at one time.

With several workers a gauge is the sum, the minimum or the maximum over the live workers.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final, Literal, NamedTuple

Labels = tuple[str, ...]

LATENCY_BUCKETS_SECONDS: Final = (
    0.0001, 0.00025, 0.0005, 0.00075, 0.001, 0.0015, 0.002, 0.003, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 1.0, 2.5,
)  # fmt: skip
"""Fine around a millisecond, the time of a decision, and wide enough to show a disk that stalls."""
SCORE_BUCKETS: Final = tuple(step / 20 for step in range(1, 21))


@dataclass(frozen=True, slots=True, eq=False)
class Family:
    """A metric: `over_workers` aggregates a gauge, `buckets` are the ``le`` labels of a histogram."""

    name: str
    kind: Literal["counter", "gauge", "histogram"]
    help: str
    labels: Labels = ()
    over_workers: Literal["", "livesum", "livemin", "livemax"] = ""
    buckets: Labels = ()


def _counter(name: str, help_text: str, *labels: str) -> Family:
    return Family(f"serving_{name}", "counter", help_text, labels)


def _histogram(name: str, help_text: str, bounds: Sequence[float], *labels: str) -> Family:
    buckets = (*map(str, bounds), "+Inf")
    return Family(f"serving_{name}", "histogram", help_text, labels, buckets=buckets)


def _total(name: str, help_text: str, *labels: str) -> Family:
    return Family(f"serving_{name}", "gauge", help_text, labels, "livesum")


def _lowest(name: str, help_text: str, *labels: str) -> Family:
    return Family(f"serving_{name}", "gauge", help_text, labels, "livemin")


def _highest(name: str, help_text: str, *labels: str) -> Family:
    return Family(f"serving_{name}", "gauge", help_text, labels, "livemax")


_BUNDLE: Final = ("model", "slot", "bundle")

REQUESTS: Final = _counter("requests", "Decisions, repeats excluded", *_BUNDLE, "decision")
REQUEST_DURATION: Final = _histogram(
    "request_duration_seconds", "Time from a request's arrival until its answer is ready",
    LATENCY_BUCKETS_SECONDS, *_BUNDLE,
)  # fmt: skip
SCORE: Final = _histogram("score", "Calibrated scores", SCORE_BUCKETS, *_BUNDLE)
FEATURE_MISSING: Final = _counter(
    "feature_missing", "Decisions by champion or canary with this feature missing", "model", "feature"
)
REPEATS: Final = _counter("repeats", "Repeated requests answered with the earlier decision")
ERRORS: Final = _counter("errors", "Requests without a decision, by kind of error", "kind")
REQUESTS_SHED: Final = _counter("requests_shed", "Requests rejected before any work, by reason", "kind")
LOG_WRITES: Final = _counter("log_writes", "Writes to the decision log, by result", "result")
LOG_UNRECORDED: Final = _counter("log_unrecorded", "Decisions answered without a record")
LOG_SEGMENTS_LOST: Final = _counter("log_segments_lost", "Segments that something else removed, moved or truncated")
EXPLAIN_FAILURES: Final = _counter("explain_failures", "Decisions whose required reasons are missing", "model")
DERIVED_SENT: Final = _counter("derived_sent", "Requests that carried derived features, which they need not", "model")
UNSEEN_CATEGORIES: Final = _counter(
    "unseen_categories", "Decisions with a category that became its feature's other", "model"
)
SHADOW_DROPPED: Final = _counter("shadow_dropped", "Requests not copied because the shadow's queue was full", "model")
SHADOW_FAILURES: Final = _counter("shadow_failures", "Copied requests that the shadow failed to score", "model")
STARTED_BY_MODEL: Final = (SHADOW_DROPPED, SHADOW_FAILURES, EXPLAIN_FAILURES, DERIVED_SENT, UNSEEN_CATEGORIES)
"""Counters that exist at 0 for every model, or Prometheus misses their first step."""
SLOT_TRANSITIONS: Final = _counter("slot_transitions", "Changes of a slot's state", "model", "slot", "state")
OUTPUT_DROPPED: Final = _counter("log_lines_dropped", "Lines of standard error dropped because nothing read them")
LOAD_FAILURES: Final = _counter("load_failures", "Releases rejected")
SHIPPED_RECORDS: Final = _counter("shipped_records", "Records that the decision log's sink confirmed")
SHIPPING_FAILURES: Final = _counter("shipping_failures", "Failed attempts to ship the decision log, by cause", "cause")

WORKERS: Final = _total("workers", "Worker processes that accept connections")
REQUESTS_IN_FLIGHT: Final = _total("requests_in_flight", "Requests admitted and not yet answered")
SLOT_STATE: Final = _total("slot_state", "Workers whose slot is in this state", "model", "slot", "state")
RELEASE_NUMBER: Final = _lowest("release_number", "Oldest release that answers in any worker", "model")
MODEL_LOADED: Final = _lowest("model_loaded", "1 if the model answers in every worker", "model")
MODEL_ERROR: Final = _highest("model_error", "1 if a worker rejected the newest release", "model")
PROMOTION_HELD: Final = _highest("promotion_held", "1 if a rollback holds automatic promotion", "model")
MODEL_AGE: Final = _highest("model_age_seconds", "Time since midnight of the bundle's as_of date", *_BUNDLE)
POLL_AGE: Final = _highest("poll_age_seconds", "Time since the release store was last read")
API_KEYS_FAILING: Final = _highest("api_keys_failing", "1 if the current API key file is invalid and not in force")
CERTIFICATE_END: Final = _lowest("tls_certificate_end_seconds", "End of the TLS certificate, in seconds since 1970")
LOG_LAG: Final = _highest("log_lag_seconds", "Age of the oldest decision that waits for the disk")
LOG_FAILING: Final = _highest("log_failing", "1 if decisions cannot be recorded")
SHIPPING_LAG: Final = _total("shipping_lag_bytes", "Bytes of the decision log that its sink has not confirmed")
SHIPPING_FAILING: Final = _highest("shipping_failing", "1 if the decision log's sink does not accept records")
SHIPPING_QUARANTINED: Final = _total(
    "shipping_quarantined_records", "Records that are not shipped because they are over the sink's limit"
)

FAMILIES: Final = tuple(value for value in list(globals().values()) if isinstance(value, Family))


class HistogramCounts(NamedTuple):
    """Observations by bucket (not cumulative, the last one unbounded), and their sum."""

    counts: Sequence[int]
    total: float


class Samples:
    """All values of one process at one time, by family and label values.

    Metrics without labels start at 0, except for the age of a poll, which does not exist before the first one, and the
    end of a certificate, which not every server has.
    """

    def __init__(self) -> None:
        self.numbers: dict[Family, dict[Labels, float]] = {}
        self.histograms: dict[Family, dict[Labels, HistogramCounts]] = {}
        for family in FAMILIES:
            if family.kind == "histogram":
                self.histograms[family] = {}
            else:
                self.numbers[family] = {} if family.labels or family in (POLL_AGE, CERTIFICATE_END) else {(): 0.0}
