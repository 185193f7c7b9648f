"""Traces: the caller's W3C trace context, and spans for whoever collects them.

`parse_traceparent` reads the header that a caller sends. A `Tracer` takes spans; this one drops them, as a server does
that has no collector, and `tracer` gives the one of `serving.telemetry.span_export` where a collector is named. A span
says which model decided and how, and never what the customer sent: there is no attribute for it.
"""

from types import TracebackType
from typing import Final, NamedTuple, Self

from serving.contract.documents import DecisionName, SlotName
from serving.wire.trace_parent import TraceParent


class SpanAttributes(NamedTuple):
    """All that a span may say. `error` is the kind of an error, `status` the answer's HTTP status."""

    model: str | None = None
    slot: SlotName | None = None
    bundle_digest: str | None = None
    release_number: int | None = None
    decision: DecisionName | None = None
    status: int | None = None
    error: str | None = None


NO_ATTRIBUTES: Final = SpanAttributes()


class Span:
    """What ``with tracer.span(...)`` gives; this one measures nothing."""

    __slots__ = ()

    context: TraceParent | None = None
    """What spans within this one have as parent; ``None`` if it is not recorded."""

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        return None


_NO_SPAN: Final = Span()


class Tracer:
    """A tracer without a collector."""

    is_on = False
    """Whether spans go anywhere; the hot path asks this before it puts one together."""
    exported = 0
    """Spans that the collector took."""
    dropped = 0
    """Spans that found the queue full."""
    failed = 0
    """Spans that the collector did not take."""

    def start(self) -> None:
        """Begin to export; call it in the process that serves."""

    def record(
        self,
        name: str,
        started_ns: int,
        ended_ns: int,
        parent: TraceParent | None = None,
        attributes: SpanAttributes = NO_ATTRIBUTES,
    ) -> TraceParent | None:
        """Take a span that is over; returns what its children have as parent, ``None`` if it is not recorded.

        Parameters
        ----------
        started_ns, ended_ns
            On the clock of `time.time_ns`.
        parent
            The caller's span, whose flag says whether to record; ``None`` begins a trace.
        """

    def span(
        self,
        name: str,  # noqa: ARG002
        parent: TraceParent | None = None,  # noqa: ARG002
        attributes: SpanAttributes = NO_ATTRIBUTES,  # noqa: ARG002
    ) -> Span:
        """A span around a block; for what is not hot."""
        return _NO_SPAN

    def close(self, timeout_seconds: float = 5.0) -> None:
        """Export what is waiting, for no longer than this, and end; call it off the event loop's thread."""
