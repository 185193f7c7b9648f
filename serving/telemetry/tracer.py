"""Chooses the tracer: spans are exported if a collector is configured, else dropped."""

import os
from collections.abc import Mapping
from typing import Final

from serving.contract.distribution import DISTRIBUTION
from serving.contract.documents import ContractError
from serving.telemetry.tracing import Tracer

ENDPOINT_VARIABLES: Final = ("OTEL_EXPORTER_OTLP_TRACES_ENDPOINT", "OTEL_EXPORTER_OTLP_ENDPOINT")

_PROTOCOL: Final = "http/protobuf"


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
            f"installed; install {DISTRIBUTION}[otel], or unset it"
        ) from error
    return ExportingTracer(otlp_exporter(endpoint), sample_ratio)
