"""Traces: the caller's W3C trace context, and spans for whoever collects them.

`parse_traceparent` reads the header that a caller sends. A `Tracer` takes spans; this one drops them, as a server does
that has no collector, and `tracer` gives the one of `serving.telemetry.span_export` where a collector is named. A span
says which model decided and how, and never what the customer sent: there is no attribute for it.
"""

import os
import re
from collections.abc import Mapping
from types import TracebackType
from typing import Final, NamedTuple, Self

from serving.contract.documents import ContractError, DecisionName, SlotName

ENDPOINT_VARIABLES: Final = ("OTEL_EXPORTER_OTLP_TRACES_ENDPOINT", "OTEL_EXPORTER_OTLP_ENDPOINT")

_IDS: Final = rb"-(?!0{32})([0-9a-f]{32})-(?!0{16})([0-9a-f]{16})-([0-9a-f]{2})"
_VERSION_00: Final = re.compile(rb"00" + _IDS)
_LATER_VERSION: Final = re.compile(rb"(?!00|ff)[0-9a-f]{2}" + _IDS + rb"(?:-|\Z)")
_ODD: Final = frozenset(b"13579bdf")
_PROTOCOL: Final = "http/protobuf"


class TraceParent(NamedTuple):
    """A span as its children name it; both ids in lower-case hex, 32 and 16 digits."""

    trace_id: str
    parent_id: str
    is_sampled: bool


def parse_traceparent(header: bytes | None) -> TraceParent | None:
    """The caller's span, or ``None`` if there is none or it is not to be believed.

    Version 00 of W3C Trace Context has exactly 55 bytes; a later version may append fields after a dash, and is read as
    if it were 00. A request with a header that is wrong is answered as one without.

    Examples
    --------
    >>> parse_traceparent(b"00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01")
    TraceParent(trace_id='4bf92f3577b34da6a3ce929d0e0e4736', parent_id='00f067aa0ba902b7', is_sampled=True)
    >>> parse_traceparent(b"00-4BF92F3577B34DA6A3CE929D0E0E4736-00F067AA0BA902B7-01") is None
    True
    """
    if header is None:
        return None
    found = _VERSION_00.fullmatch(header) or _LATER_VERSION.match(header)
    if found is None:
        return None
    trace_id, parent_id, flags = found.groups()
    return TraceParent(trace_id.decode(), parent_id.decode(), flags[1] in _ODD)


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


def tracer(
    endpoint: str | None = None, sample_ratio: float = 1.0, environment: Mapping[str, str] = os.environ
) -> Tracer:
    """The tracer that the settings ask for: one that exports if there is an endpoint, else one that costs nothing.

    Parameters
    ----------
    endpoint
        Base URL of a collector that takes OTLP over HTTP, as ``http://collector:4318``; without one,
        ``OTEL_EXPORTER_OTLP_TRACES_ENDPOINT`` and ``OTEL_EXPORTER_OTLP_ENDPOINT`` are read, and with them whatever else
        OpenTelemetry reads from its variables (headers, certificates, resource attributes).
    sample_ratio
        Which share of the requests is recorded whose callers sent no trace.

    Raises
    ------
    ContractError
        If there is an endpoint, but OpenTelemetry is not installed or is told to use another protocol.
    """
    named = next((name for name in ENDPOINT_VARIABLES if environment.get(name)), None)
    if endpoint is None and named is None:
        return Tracer()
    if environment.get("OTEL_SDK_DISABLED", "").lower() == "true" or environment.get("OTEL_TRACES_EXPORTER") == "none":
        return Tracer()
    for name in ("OTEL_EXPORTER_OTLP_TRACES_PROTOCOL", "OTEL_EXPORTER_OTLP_PROTOCOL"):
        protocol = environment.get(name) or _PROTOCOL
        if protocol != _PROTOCOL:
            raise ContractError(f"Expected {_PROTOCOL}, got another protocol; name a collector's HTTP port - at {name}")
    try:
        from serving.telemetry.span_export import ExportingTracer, otlp_exporter
    except ModuleNotFoundError as error:
        if not (error.name or "").startswith("opentelemetry"):
            raise
        raise ContractError(
            f"Expected OpenTelemetry, because {named or 'the tracing endpoint'} is set, but {error.name} is not "
            "installed; install lifecycle[otel], or unset it"
        ) from error
    return ExportingTracer(otlp_exporter(endpoint), sample_ratio)
