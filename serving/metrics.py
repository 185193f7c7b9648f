"""What monitoring reads: latencies and counts as they happen, states when somebody asks."""

import time
from collections.abc import Callable, Iterator

from prometheus_client import CollectorRegistry, Counter, Histogram, disable_created_metrics, generate_latest
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily
from prometheus_client.metrics_core import Metric
from prometheus_client.registry import Collector

from serving.contract import DecisionName
from serving.decision_log import DecisionLog
from serving.slots import Slots

# Fine below a millisecond, where a decision lies, and wide enough to show a disk that stalls.
LATENCY_BUCKETS_SECONDS = (0.00025, 0.0005, 0.001, 0.002, 0.004, 0.008, 0.016, 0.032, 0.064, 0.25, 1.0, 2.5)

# When a counter was made is of no use to anybody here and doubles the exposition.
disable_created_metrics()  # type: ignore[no-untyped-call]


class Metrics:
    """The metrics of one server, in a registry of its own."""

    def __init__(self, slots: Slots, log: DecisionLog) -> None:
        self._registry = CollectorRegistry()
        self._registry.register(_States(slots, log))
        self._latency = Histogram(
            "serving_score_seconds",
            "Time from a score request's arrival to its answer, in seconds",
            registry=self._registry,
            buckets=LATENCY_BUCKETS_SECONDS,
        )
        self._decisions = Counter(
            "serving_decisions", "Decisions given, repeats left out", ["model", "decision"], registry=self._registry
        )
        self._repeats = Counter("serving_repeats", "Repeated requests answered from memory", registry=self._registry)
        self._errors = Counter(
            "serving_errors", "Requests without a decision, by kind of error", ["kind"], registry=self._registry
        )
        self._count_decision: dict[tuple[str, DecisionName], Callable[[], None]] = {}

    def decided(self, model: str, decision: DecisionName) -> None:
        """Count a decision."""
        count = self._count_decision.get((model, decision))
        if count is None:
            # Looked up once: finding a labelled child by name costs more than the scoring's bookkeeping together.
            count = self._count_decision[model, decision] = self._decisions.labels(model, decision).inc
        count()

    def repeated(self) -> None:
        """Count a repeat that was answered from memory."""
        self._repeats.inc()

    def failed(self, kind: str) -> None:
        """Count a request that got no decision; `kind` is an error class's name, never taken from the request."""
        self._errors.labels(kind).inc()

    def answered(self, seconds: float) -> None:
        """Observe the latency of a score request."""
        self._latency.observe(seconds)

    def exposition(self) -> bytes:
        """All metrics in Prometheus's text format."""
        return generate_latest(self._registry)


class _States(Collector):
    """Gauges read from the parts themselves at the moment of the scrape."""

    def __init__(self, slots: Slots, log: DecisionLog) -> None:
        self._slots = slots
        self._log = log

    def collect(self) -> Iterator[Metric]:
        number = GaugeMetricFamily("serving_release_number", "Number of the release that answers", labels=["model"])
        loaded = GaugeMetricFamily("serving_model_loaded", "1 if a model answers", labels=["model"])
        failing = GaugeMetricFamily("serving_model_error", "1 if the newest release was refused", labels=["model"])
        models = self._slots.models
        for model, status in self._slots.statuses.items():
            serving = models.get(model)
            loaded.add_metric([model], 0 if serving is None else 1)
            failing.add_metric([model], 0 if status.error is None else 1)
            if serving is not None:
                number.add_metric([model], serving.release_number)
        yield from (number, loaded, failing)
        yield CounterMetricFamily("serving_load_failures", "Releases refused", value=self._slots.load_failures)
        polled_at = self._slots.polled_at
        if polled_at is not None:
            yield GaugeMetricFamily(
                "serving_poll_age_seconds", "Time since the store was last read", value=time.monotonic() - polled_at
            )
        yield GaugeMetricFamily(
            "serving_log_lag_seconds", "Age of the oldest decision not yet on the disk", value=self._log.lag_seconds
        )
        yield GaugeMetricFamily(
            "serving_log_failing", "1 if decisions cannot be recorded", value=0 if self._log.failure is None else 1
        )
