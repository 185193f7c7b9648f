"""Chooses the tracer: one that exports spans where a collector is configured, else one that drops them."""

import os
from collections.abc import Mapping
from typing import Final

from serving.contract.documents import ContractError
from serving.telemetry.spans import Tracer

ENDPOINT_VARIABLES: Final = ("OTEL_EXPORTER_OTLP_TRACES_ENDPOINT", "OTEL_EXPORTER_OTLP_ENDPOINT")

_PROTOCOL: Final = "http/protobuf"


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
            "installed; install risk-model-lifecycle[otel], or unset it"
        ) from error
    return ExportingTracer(otlp_exporter(endpoint), sample_ratio)
