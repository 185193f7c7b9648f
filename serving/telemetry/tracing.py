"""Spans of decisions, exported through OpenTelemetry where a collector is configured and dropped elsewhere.

Without a collector nothing of OpenTelemetry is imported or called. A span says which model decided and how. It has no
attribute for anything that a customer sent.
"""

from typing import Final, NamedTuple

from serving.contract.documents import DecisionName, SlotName
from serving.wire.trace_parent import TraceParent


class SpanAttributes(NamedTuple):
    """All attributes that a span may have; `status` is the HTTP status of the answer."""

    model: str | None = None
    slot: SlotName | None = None
    bundle_digest: str | None = None
    release_number: int | None = None
    decision: DecisionName | None = None
    status: int | None = None


NO_ATTRIBUTES: Final = SpanAttributes()


class SpanCounts(NamedTuple):
    """Spans by outcome; `dropped` ones found the queue full or were still in it when the tracer was closed."""

    exported: int = 0
    failed: int = 0
    dropped: int = 0


class Tracer:
    """Drops every span: the tracer of a server without a collector."""

    is_on = False
    """Whether spans are exported; the hot path checks this before it builds one."""

    @property
    def counts(self) -> SpanCounts:
        """Outcomes so far."""
        return SpanCounts()

    def record(
        self,
        name: str,
        started_ns: int,
        ended_ns: int,
        parent: TraceParent | None = None,
        attributes: SpanAttributes = NO_ATTRIBUTES,
    ) -> None:
        """Record a span that has ended.

        Parameters
        ----------
        started_ns, ended_ns
            On the clock of `time.time_ns`.
        parent
            The caller's span, whose flag decides whether this one is recorded; ``None`` begins a trace.
        """

    def close(self, timeout_seconds: float = 5.0) -> None:
        """Export the queued spans within this time and stop; call it off the event loop's thread."""
