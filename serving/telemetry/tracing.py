"""Spans of decisions, exported through OpenTelemetry where a collector is configured and dropped elsewhere.

Without a collector nothing of OpenTelemetry is imported or called. A span says which model decided and how. It has no
attribute for anything that a customer sent.
"""

import os
from collections.abc import Mapping
from typing import Final, NamedTuple

from serving.contract.documents import ContractError, DecisionName, SlotName
from serving.wire.trace_parent import TraceParent

ENDPOINT_VARIABLES: Final = ("OTEL_EXPORTER_OTLP_TRACES_ENDPOINT", "OTEL_EXPORTER_OTLP_ENDPOINT")

_PROTOCOL: Final = "http/protobuf"


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


def tracer(
    endpoint: str | None = None, sample_ratio: float = 1.0, environment: Mapping[str, str] = os.environ
) -> Tracer:
    """Return a tracer that exports if there is an endpoint, and otherwise one that costs nothing.

    Parameters
    ----------
    endpoint
        Base URL of a collector that accepts OTLP over HTTP, such as ``http://collector:4318``. Without it,
        ``OTEL_EXPORTER_OTLP_TRACES_ENDPOINT`` and ``OTEL_EXPORTER_OTLP_ENDPOINT`` are read. OpenTelemetry reads its
        other variables (headers, certificates, resource attributes) itself.
    sample_ratio
        Share of the requests without a caller's trace that is recorded.

    Raises
    ------
    ContractError
        If there is an endpoint, but OpenTelemetry is not installed or is configured for another protocol.
    """
    variable = next((name for name in ENDPOINT_VARIABLES if environment.get(name)), None)
    if endpoint is None and variable is None:
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
            f"Expected OpenTelemetry, because {variable or 'the tracing endpoint'} is set, but {error.name} is not "
            "installed; install risk-model-lifecycle[otel], or unset it"
        ) from error
    return ExportingTracer(otlp_exporter(endpoint), sample_ratio)
