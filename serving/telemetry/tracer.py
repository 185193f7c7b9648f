"""Chooses the tracer: spans are exported if a collector is configured, else dropped."""

import logging
import os
from collections.abc import Mapping
from typing import Final

from serving.contract.distribution import DISTRIBUTION
from serving.contract.documents import ContractError
from serving.telemetry.tracing import Tracer

ENDPOINT_VARIABLES: Final = ("OTEL_EXPORTER_OTLP_TRACES_ENDPOINT", "OTEL_EXPORTER_OTLP_ENDPOINT")

_PROTOCOL: Final = "http/protobuf"

logger = logging.getLogger(__name__)


def tracer(
    endpoint: str | None = None, sample_ratio: float = 1.0, environment: Mapping[str, str] = os.environ
) -> Tracer:
    """Return a tracer that exports if there is an endpoint, and otherwise one that costs nothing.

    A platform may set ``OTEL_*`` for all its programs, in a way that does not suit this one: it then serves without
    spans and warns. An endpoint of this server's own setting must work.

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
        If `endpoint` is set, but OpenTelemetry is not installed or one of its variables is invalid.
    """
    variable = next((name for name in ENDPOINT_VARIABLES if environment.get(name)), None)
    if endpoint is None and variable is None:
        return Tracer()
    if environment.get("OTEL_SDK_DISABLED", "").lower() == "true" or environment.get("OTEL_TRACES_EXPORTER") == "none":
        return Tracer()
    try:
        if endpoint is None:
            _check_protocol(environment)
        return _exporting(endpoint, sample_ratio, variable)
    except ContractError as error:
        if endpoint is not None:
            raise
        logger.warning("spans are not exported: %s", error)
        return Tracer()


def _check_protocol(environment: Mapping[str, str]) -> None:
    for name in ("OTEL_EXPORTER_OTLP_TRACES_PROTOCOL", "OTEL_EXPORTER_OTLP_PROTOCOL"):
        protocol = environment.get(name)
        if protocol == _PROTOCOL:
            return
        if protocol:
            raise ContractError(
                f"Expected {_PROTOCOL}, got another protocol; set SERVING_OTLP_ENDPOINT to the collector's HTTP port - "
                f"at {name}"
            )


def _exporting(endpoint: str | None, sample_ratio: float, variable: str | None) -> Tracer:
    try:
        from serving.telemetry.span_export import ExportingTracer, otlp_exporter

        return ExportingTracer(otlp_exporter(endpoint), sample_ratio)
    except ModuleNotFoundError as error:
        if not (error.name or "").startswith("opentelemetry"):
            raise
        raise ContractError(
            f"Expected OpenTelemetry, because {variable or 'the tracing endpoint'} is set, but {error.name} is not "
            f"installed; install {DISTRIBUTION}[otel], or unset it"
        ) from error
    except (ValueError, KeyError) as error:
        # Of OpenTelemetry, about a timeout, a compression or a limit; its message may quote a header.
        raise ContractError(f"Expected valid values, got a {type(error).__name__} - at the variables OTEL_*") from error
