"""Settings of one server, read from ``SERVING_*`` environment variables."""

import logging
import re
from pathlib import Path
from typing import Annotated, Any, Final, Literal

from pydantic import Field, field_validator
from pydantic_settings import BaseSettings, SettingsConfigDict

_SERVICE_LINK: Final = re.compile(r"(?:tcp|udp|sctp)://")

logger = logging.getLogger(__name__)


class ServingSettings(BaseSettings):
    """All settings of a server; secrets are given as paths of files, never as values."""

    model_config = SettingsConfigDict(
        env_prefix="SERVING_", extra="ignore", frozen=True, use_attribute_docstrings=True, env_ignore_empty=True
    )

    store: Path
    """The release store: ``releases/`` and ``bundles/``; read only."""
    public_key: Path
    """PEM file with the trusted public keys; it must not come from the release store."""
    pseudonym_key: Path
    """File with the 32-byte key that pseudonymises entity keys."""
    log_dir: Path
    """Folder of the decision log; only one server may write to it."""
    cache_dir: Path
    """Folder for copies of loaded releases, so that the server can restart without the store."""

    host: str = "127.0.0.1"
    """Address to listen on; any address other than loopback requires `api_keys`."""
    port: Annotated[int, Field(ge=0, le=65535)] = 8080
    """Port to listen on; 0 takes any free port, which the first log line names."""
    workers: Annotated[int, Field(ge=1, le=64)] = 1
    """Number of processes; if there are several, each has its own log in ``worker-<i>/``."""
    tls_certificate: Path | None = None
    """PEM file with the certificate chain; if set, the server accepts only HTTPS."""
    tls_key: Path | None = None
    """PEM file with the certificate's private key."""
    tls_key_password_file: Path | None = None
    """File with the password of `tls_key`, if it has one."""
    tls_client_ca: Path | None = None
    """PEM file with the authorities of accepted client certificates; if set, clients need one (mutual TLS)."""
    api_keys: Path | None = None
    """File with the hashed API keys, made by ``python -m serving.access``; if not set, no key is required."""

    poll_seconds: Annotated[float, Field(gt=0)] = 2.0
    """Seconds between two polls of the release store and the API keys."""
    required_models: tuple[str, ...] = ()
    """Models that must be loaded before the server is ready, as a JSON list; if empty, any one."""
    mlflow_model: str | None = None
    """Model behind MLflow's ``/invocations``; required only if several models are served."""
    explain: Literal["decline", "adverse", "always"] = "decline"
    """Decisions that always get reasons: declines, declines and reviews, or all."""

    max_in_flight: Annotated[int, Field(ge=1)] = 128
    """Maximum number of requests in flight per worker; further requests get 429 immediately."""
    request_timeout_seconds: Annotated[float, Field(gt=0, le=60)] = 2.0
    """Longest time from a request's arrival to its answer; ``X-Timeout-Ms`` can only shorten it."""
    max_body_bytes: Annotated[int, Field(ge=1024)] = 64 * 1024
    """Longest body of one decision."""
    max_batch: Annotated[int, Field(ge=1, le=10_000)] = 256
    """Maximum number of decisions in one batch."""
    max_batch_bytes: Annotated[int, Field(ge=1024)] = 1024 * 1024
    """Longest body of a batch."""
    shutdown_seconds: Annotated[int, Field(ge=1)] = 10
    """Longest time to finish requests in flight when the server stops."""
    drain_seconds: Annotated[float, Field(ge=0, le=3600)] = 5.0
    """Time from SIGTERM until the server accepts no more connections; meanwhile ``/readyz`` says 503, requests are
    answered, and each answer closes its connection."""
    keep_alive_seconds: Annotated[int, Field(ge=1, le=3600)] = 75
    """Time until an idle connection is closed; longer than clients and load balancers keep theirs."""

    recent_decisions: Annotated[int, Field(ge=0)] = 50_000
    """Number of answers that are kept for repeated decision ids."""
    shadow_queue: Annotated[int, Field(ge=1)] = 1000
    """Maximum number of copied requests that wait for a shadow; further ones are dropped and counted."""

    log_durability: Literal["written", "fsync"] = "written"
    """When a decision is answered: once its record is handed to the operating system (survives a process crash), or
    once it is flushed to disk (survives a power loss)."""
    log_failure: Literal["refuse", "continue"] = "refuse"
    """While the log cannot be written, requests get 503 (`refuse`) or are answered and counted as unrecorded."""
    segment_bytes: Annotated[int, Field(ge=4096)] = 64 * 1024 * 1024
    """Size from which a segment of the decision log is sealed."""
    segment_seconds: Annotated[float, Field(gt=0)] = 3600.0
    """Age from which a segment of the decision log is sealed."""
    ship_to: str | None = None
    """Sink that the log is shipped to, if any: ``directory:/folder`` or ``kafka:host:9092,host:9092/topic``."""
    kafka_settings: Path | None = None
    """File with further librdkafka settings (TLS, SASL), one ``name=value`` per line."""
    max_unshipped_bytes: Annotated[int, Field(ge=1)] | None = None
    """Limit of log bytes that wait to be shipped; beyond it `log_failure` applies. If not set, there is no limit."""
    ship_retention_days: Annotated[float, Field(gt=0)] | None = None
    """Age from which shipped, sealed segments are deleted; their seals stay. If not set, all segments stay."""
    otlp_endpoint: str | None = None
    """Base URL of an OpenTelemetry collector (OTLP over HTTP); ``OTEL_EXPORTER_OTLP_ENDPOINT`` also sets it."""
    trace_ratio: Annotated[float, Field(ge=0, le=1)] = 1.0
    """Share of the requests without a caller's trace that is traced, if there is a collector."""

    @field_validator("port", mode="before")
    @classmethod
    def _without_service_link(cls, value: Any) -> Any:
        """Kubernetes sets ``SERVING_PORT`` to an address in every pod next to a service named ``serving``."""
        if isinstance(value, str) and _SERVICE_LINK.match(value):
            default = cls.model_fields["port"].default
            logger.warning(
                "SERVING_PORT is the address of a Kubernetes service and was ignored; the port is %d (set SERVING_PORT "
                "in the container, or enableServiceLinks: false)",
                default,
            )
            return default
        return value
