"""Spans to an OpenTelemetry collector; needs the extra ``otel``, and nothing imports this without a collector.

The request's thread puts a tuple into a queue, which takes 1.5 us. The SDK's own spans take 15 us, and its processor
does not say what it dropped. So the SDK's part begins on the exporter's thread: there the tuple becomes a span of
the SDK and leaves by the SDK's exporter. A span costs that thread 42 us, mostly for encoding: at thousands of requests
a second, let the callers' flags or the ratio choose.
"""

import logging
import os
import random
import threading
import time
from collections import deque
from collections.abc import Callable, Sequence
from types import TracebackType
from typing import Final, NamedTuple, Self

from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
from opentelemetry.sdk.resources import SERVICE_NAME, Resource
from opentelemetry.sdk.trace import ReadableSpan
from opentelemetry.sdk.trace.export import SpanExporter, SpanExportResult
from opentelemetry.sdk.util.instrumentation import InstrumentationScope
from opentelemetry.trace import SpanContext, SpanKind, Status, StatusCode, TraceFlags

from serving.telemetry.spans import NO_ATTRIBUTES, Span, SpanAttributes, Tracer
from serving.wire.trace_parent import TraceParent

logger = logging.getLogger(__name__)

QUEUE_SPANS: Final = 4096
BATCH_SPANS: Final = 64
"""Few, since making and encoding a batch holds the interpreter: 64 take 1.8 ms."""
FLUSH_SECONDS: Final = 1.0
_SERVICE: Final = "risk-model-server"
_ATTRIBUTES: Final = (
    "risk.model",
    "risk.slot",
    "risk.bundle_digest",
    "risk.release_number",
    "risk.decision",
    "http.response.status_code",
    "error.type",
)
_SCOPE: Final = InstrumentationScope("serving")
_SAMPLED: Final = TraceFlags(TraceFlags.SAMPLED)
_OK: Final = Status()


class _Ended(NamedTuple):
    name: str
    started_ns: int
    ended_ns: int
    context: TraceParent
    parent: TraceParent | None
    attributes: SpanAttributes
    is_internal: bool


def otlp_exporter(endpoint: str | None = None) -> SpanExporter:
    """The SDK's exporter to `endpoint`, a base URL; without one it reads OpenTelemetry's variables."""
    # It complains at every batch, and quotes the collector's answer; `_export` says it once.
    logging.getLogger("opentelemetry.exporter").setLevel(logging.CRITICAL)
    return OTLPSpanExporter(endpoint=f"{endpoint.rstrip('/')}/v1/traces" if endpoint else None)


class ExportingTracer(Tracer):
    """A tracer whose spans leave in batches, on a thread of its own; a full queue drops and counts.

    Parameters
    ----------
    exporter
        Where the spans go.
    sample_ratio
        Which share of the traces that begin here is recorded.
    max_queued
        How many spans may wait.
    """

    is_on = True

    def __init__(self, exporter: SpanExporter, sample_ratio: float = 1.0, max_queued: int = QUEUE_SPANS) -> None:
        self._exporter = exporter
        self._sample_ratio = sample_ratio
        self._max_queued = max_queued
        self._queue: deque[_Ended] = deque()
        self._wake = threading.Event()
        self._counting = threading.Lock()
        self._is_closing = False
        self._is_failing = False
        self._ends_at: float | None = None
        self._resource = _resource()
        self._thread = threading.Thread(target=self._run, name="span-export", daemon=True)
        self._random = random.Random()  # noqa: S311  # ids need to be distinct, not secret

    def start(self) -> None:
        """Begin to export."""
        self._random.seed()  # a worker that was forked must not repeat its siblings' ids
        self._thread.start()

    def record(
        self,
        name: str,
        started_ns: int,
        ended_ns: int,
        parent: TraceParent | None = None,
        attributes: SpanAttributes = NO_ATTRIBUTES,
    ) -> TraceParent | None:
        """Take a span that is over; returns what its children have as parent, ``None`` if it is not recorded."""
        context = self._begun(parent)
        if context is not None:
            self._put(_Ended(name, started_ns, ended_ns, context, parent, attributes, is_internal=False))
        return context

    def span(self, name: str, parent: TraceParent | None = None, attributes: SpanAttributes = NO_ATTRIBUTES) -> Span:
        """A span around a block; an exception's kind becomes its error, its message does not."""
        context = self._begun(parent)
        return Span() if context is None else _RunningSpan(self._put, name, context, parent, attributes)

    def close(self, timeout_seconds: float = 5.0) -> None:
        """Export what is waiting, for no longer than this, and end."""
        self._ends_at = time.monotonic() + timeout_seconds
        self._is_closing = True
        self._wake.set()
        if self._thread.is_alive():
            self._thread.join(timeout_seconds)
        self.dropped += len(self._queue)
        self._exporter.shutdown()

    def _begun(self, parent: TraceParent | None) -> TraceParent | None:
        if parent is not None:
            if not parent.is_sampled:
                return None
            trace_id = parent.trace_id
        elif self._random.random() < self._sample_ratio:
            trace_id = f"{self._random.getrandbits(128) or 1:032x}"
        else:
            return None
        return TraceParent(trace_id, f"{self._random.getrandbits(64) or 1:016x}", is_sampled=True)

    def _put(self, ended: _Ended) -> None:
        queue = self._queue
        if len(queue) >= self._max_queued:
            with self._counting:
                self.dropped += 1
            return
        queue.append(ended)
        if len(queue) == BATCH_SPANS:
            self._wake.set()

    def _run(self) -> None:
        while not (self._is_closing and not self._queue):
            if len(self._queue) < BATCH_SPANS and not self._is_closing:
                self._wake.wait(FLUSH_SECONDS)
                self._wake.clear()
            if self._ends_at is not None and time.monotonic() >= self._ends_at:
                break
            batch = [self._queue.popleft() for _ in range(min(len(self._queue), BATCH_SPANS))]
            if batch:
                self._export(batch)

    def _export(self, batch: Sequence[_Ended]) -> None:
        try:
            result = self._exporter.export([self._readable(ended) for ended in batch])
        except Exception as error:  # the thread must outlive whatever an exporter raises
            logger.debug("exporter raised %s", type(error).__name__)
            result = SpanExportResult.FAILURE
        is_failing = result is not SpanExportResult.SUCCESS
        if is_failing:
            self.failed += len(batch)
        else:
            self.exported += len(batch)
        if is_failing and not self._is_failing:
            logger.warning("the collector does not take spans; they are counted and lost until it does")
        elif self._is_failing and not is_failing:
            logger.info("the collector takes spans again; %d were lost", self.failed)
        self._is_failing = is_failing

    def _readable(self, ended: _Ended) -> ReadableSpan:
        error = ended.attributes.error
        values = zip(_ATTRIBUTES, ended.attributes, strict=True)
        return ReadableSpan(
            name=ended.name,
            context=_span_context(ended.context, is_remote=False),
            parent=None if ended.parent is None else _span_context(ended.parent, is_remote=True),
            resource=self._resource,
            attributes={key: value for key, value in values if value is not None},
            kind=SpanKind.INTERNAL if ended.is_internal else SpanKind.SERVER,
            status=_OK if error is None else Status(StatusCode.ERROR),
            start_time=ended.started_ns,
            end_time=ended.ended_ns,
            instrumentation_scope=_SCOPE,
        )


class _RunningSpan(Span):
    __slots__ = ("_attributes", "_name", "_parent", "_put", "_started_ns", "context")

    context: TraceParent

    def __init__(
        self,
        put: Callable[[_Ended], None],
        name: str,
        context: TraceParent,
        parent: TraceParent | None,
        attributes: SpanAttributes,
    ) -> None:
        self._put = put
        self._name = name
        self.context = context
        self._parent = parent
        self._attributes = attributes
        self._started_ns = 0

    def __enter__(self) -> Self:
        self._started_ns = time.time_ns()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        attributes = self._attributes if kind is None else self._attributes._replace(error=kind.__name__)
        ended_ns = max(time.time_ns(), self._started_ns)
        self._put(
            _Ended(self._name, self._started_ns, ended_ns, self.context, self._parent, attributes, is_internal=True)
        )


def _span_context(span: TraceParent, *, is_remote: bool) -> SpanContext:
    return SpanContext(int(span.trace_id, 16), int(span.parent_id, 16), is_remote, _SAMPLED)


def _resource() -> Resource:
    named = os.environ.get("OTEL_SERVICE_NAME") or SERVICE_NAME in os.environ.get("OTEL_RESOURCE_ATTRIBUTES", "")
    return Resource.create({} if named else {SERVICE_NAME: _SERVICE})
