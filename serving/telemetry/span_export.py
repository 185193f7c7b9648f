"""Exports spans to an OpenTelemetry collector; needs the extra ``otel`` and is imported only with a collector.

The SDK samples, queues, batches and sends. Two things are added around its batch processor: counts of the spans that
were exported, dropped or failed, which the SDK does not offer, and a limit on the time that closing may take.

A recorded span costs the request's thread 32 to 41 us and an unsampled one 11 us (measured under load), and the
exporter's thread encodes each span. At thousands of requests a second, sample: by the callers' flags, or by the ratio.
"""

import logging
import os
import threading
from collections.abc import Sequence
from typing import Final

from opentelemetry.context import Context
from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
from opentelemetry.sdk.resources import SERVICE_NAME, Resource
from opentelemetry.sdk.trace import ReadableSpan, TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor, SpanExporter, SpanExportResult
from opentelemetry.sdk.trace.sampling import ParentBased, TraceIdRatioBased
from opentelemetry.trace import NonRecordingSpan, SpanContext, SpanKind, TraceFlags, set_span_in_context

from serving.telemetry.tracing import NO_ATTRIBUTES, SpanAttributes, SpanCounts, Tracer
from serving.wire.trace_parent import TraceParent

logger = logging.getLogger(__name__)

QUEUE_SPANS: Final = 4096
BATCH_SPANS: Final = 64
"""Small, because encoding a batch holds the interpreter: 64 spans take 1.8 ms."""
FLUSH_SECONDS: Final = 1.0
_ATTRIBUTES: Final = (
    "risk.model",
    "risk.slot",
    "risk.bundle_digest",
    "risk.release_number",
    "risk.decision",
    "http.response.status_code",
)


def otlp_exporter(endpoint: str | None = None) -> SpanExporter:
    """The SDK's exporter to `endpoint`, a base URL; without one it reads OpenTelemetry's variables."""
    # It logs every failed batch and quotes the collector's answer; `_CountingExporter` logs the first failure only.
    logging.getLogger("opentelemetry.exporter").setLevel(logging.CRITICAL)
    return OTLPSpanExporter(endpoint=f"{endpoint.rstrip('/')}/v1/traces" if endpoint else None)


class _CountingExporter(SpanExporter):
    """Counts the outcome of every batch; after `shutdown` it drops what arrives."""

    def __init__(self, exporter: SpanExporter) -> None:
        self._exporter = exporter
        self._is_failing = False
        self._is_stopped = False
        self.exported = self.failed = self.dropped = 0

    def export(self, spans: Sequence[ReadableSpan]) -> SpanExportResult:
        if self._is_stopped:
            self.dropped += len(spans)
            return SpanExportResult.FAILURE
        try:
            result = self._exporter.export(spans)
        except Exception as error:  # the SDK would log its message, which may quote the collector
            logger.debug("exporter raised %s", type(error).__name__)
            result = SpanExportResult.FAILURE
        is_failing = result is not SpanExportResult.SUCCESS
        if is_failing:
            self.failed += len(spans)
        else:
            self.exported += len(spans)
        if is_failing and not self._is_failing:
            logger.warning("the collector does not accept spans; they are dropped and counted until it does")
        elif self._is_failing and not is_failing:
            logger.info("the collector accepts spans again; %d were lost", self.failed)
        self._is_failing = is_failing
        return result

    def shutdown(self) -> None:
        """Export nothing more, and interrupt the exporter's retries."""
        if not self._is_stopped:
            self._is_stopped = True
            self._exporter.shutdown()


class _CountingProcessor(BatchSpanProcessor):
    """Rejects spans beyond its limit, so that the SDK's own queue never drops one uncounted."""

    def __init__(self, exporter: _CountingExporter, max_queued: int) -> None:
        super().__init__(
            exporter,
            max_queue_size=max_queued,
            schedule_delay_millis=FLUSH_SECONDS * 1000,
            max_export_batch_size=min(BATCH_SPANS, max_queued),
        )
        self._counts = exporter
        self._max_queued = max_queued
        self._accepted = 0
        self.rejected = 0

    def on_end(self, span: ReadableSpan) -> None:
        counts = self._counts
        if self._accepted - counts.exported - counts.failed - counts.dropped >= self._max_queued:
            self.rejected += 1
            return
        self._accepted += 1
        super().on_end(span)


class ExportingTracer(Tracer):
    """Exports spans in batches, on a thread of its own.

    Parameters
    ----------
    exporter
        Destination of the spans.
    sample_ratio
        Share of the traces that begin here which is recorded.
    max_queued
        Number of spans that may wait; those beyond it are dropped and counted.
    """

    is_on = True

    def __init__(self, exporter: SpanExporter, sample_ratio: float = 1.0, max_queued: int = QUEUE_SPANS) -> None:
        self._exporter = _CountingExporter(exporter)
        self._processor = _CountingProcessor(self._exporter, max_queued)
        sampler = ParentBased(TraceIdRatioBased(sample_ratio))
        provider = TracerProvider(sampler=sampler, resource=_resource(), shutdown_on_exit=False)
        provider.add_span_processor(self._processor)
        self._tracer = provider.get_tracer("serving")

    @property
    def counts(self) -> SpanCounts:
        """Outcomes so far."""
        exporter = self._exporter
        return SpanCounts(exporter.exported, exporter.failed, exporter.dropped + self._processor.rejected)

    def record(
        self,
        name: str,
        started_ns: int,
        ended_ns: int,
        parent: TraceParent | None = None,
        attributes: SpanAttributes = NO_ATTRIBUTES,
    ) -> None:
        """Record a span that has ended; one thread at a time."""
        values = {key: value for key, value in zip(_ATTRIBUTES, attributes, strict=True) if value is not None}
        span = self._tracer.start_span(name, _context(parent), SpanKind.SERVER, values, start_time=started_ns)
        span.end(ended_ns)

    def close(self, timeout_seconds: float = 5.0) -> None:
        """Export the queued spans within this time and stop."""
        # The processor's own limit is 30 s, and cannot be set.
        closing = threading.Thread(target=self._processor.shutdown, name="span-export-close", daemon=True)
        closing.start()
        closing.join(timeout_seconds)
        self._exporter.shutdown()


def _context(parent: TraceParent | None) -> Context:
    if parent is None:
        return Context()
    flags = TraceFlags(TraceFlags.SAMPLED if parent.is_sampled else TraceFlags.DEFAULT)
    span = SpanContext(int(parent.trace_id, 16), int(parent.parent_id, 16), is_remote=True, trace_flags=flags)
    return set_span_in_context(NonRecordingSpan(span), Context())


def _resource() -> Resource:
    is_named = os.environ.get("OTEL_SERVICE_NAME") or SERVICE_NAME in os.environ.get("OTEL_RESOURCE_ATTRIBUTES", "")
    return Resource.create({} if is_named else {SERVICE_NAME: "risk-model-server"})
