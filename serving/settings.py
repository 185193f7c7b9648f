"""Settings of one server, read from ``SERVING_*`` environment variables."""

from pathlib import Path
from typing import Annotated, Literal

from pydantic import Field
from pydantic_settings import BaseSettings, SettingsConfigDict


class ServingSettings(BaseSettings):
    """What a server reads, writes and listens on; nothing secret stands here, only where it lies."""

    model_config = SettingsConfigDict(
        env_prefix="SERVING_", extra="ignore", frozen=True, use_attribute_docstrings=True, env_ignore_empty=True
    )

    store: Path
    """The release store: ``releases/`` and ``bundles/``; never written to."""
    public_key: Path
    """PEM file with the public keys whose signatures are believed; never taken from the store."""
    pseudonym_key: Path
    """File with the 32 bytes that entity keys are pseudonymised with."""
    log_dir: Path
    """Folder of the decision log; one server alone writes to it."""
    cache_dir: Path
    """Folder for what the server holds, so that it restarts without the store."""

    host: str = "127.0.0.1"
    """Address to listen on; another one than the loopback's needs `api_keys`."""
    port: Annotated[int, Field(ge=0, le=65535)] = 8080
    """Port to listen on; 0 takes any free one, and the first log line says which."""
    workers: Annotated[int, Field(ge=1, le=64)] = 1
    """Processes that answer at this address; each has a log of its own in ``worker-<i>/`` if there are several."""
    tls_certificate: Path | None = None
    """PEM file with the certificate chain; with it the server speaks HTTPS alone."""
    tls_key: Path | None = None
    """PEM file with the certificate's private key."""
    tls_key_password_file: Path | None = None
    """File with the password of `tls_key`, if it has one."""
    tls_client_ca: Path | None = None
    """PEM file with the authorities whose client certificates are demanded (mutual TLS)."""
    api_keys: Path | None = None
    """File with the hashed API keys, made by ``python -m serving.access``; without it nobody is asked for one."""

    poll_seconds: Annotated[float, Field(gt=0)] = 2.0
    """How often the release store and the API keys are looked at."""
    required_models: tuple[str, ...] = ()
    """Models that must answer before the server is ready, as a JSON list; without any, one must."""
    mlflow_model: str | None = None
    """Model behind MLflow's ``/invocations``; needed only where several are served."""
    explain: Literal["decline", "adverse", "always"] = "decline"
    """Which decisions have reasons unasked: declines, declines and reviews, or all."""

    max_in_flight: Annotated[int, Field(ge=1)] = 128
    """Requests a worker takes at the same time; further ones get 429 at once."""
    request_timeout_seconds: Annotated[float, Field(gt=0, le=60)] = 2.0
    """Longest time from a request's arrival to its answer; ``X-Timeout-Ms`` asks for less."""
    max_body_bytes: Annotated[int, Field(ge=1024)] = 64 * 1024
    """Longest body of one decision."""
    max_batch: Annotated[int, Field(ge=1, le=10_000)] = 256
    """Most decisions in one request."""
    max_batch_bytes: Annotated[int, Field(ge=1024)] = 1024 * 1024
    """Longest body of a batch."""
    shutdown_seconds: Annotated[int, Field(ge=1)] = 10
    """How long requests in flight are waited for when the server stops."""

    recent_decisions: Annotated[int, Field(ge=0)] = 50_000
    """How many answers are remembered for repeated decision ids."""
    shadow_queue: Annotated[int, Field(ge=1)] = 1000
    """Copies that may wait for a shadow; further ones are dropped and counted."""

    log_durability: Literal["written", "fsync"] = "written"
    """When a decision is answered: once the system has its record (survives the death of the process), or the disk has
    it (survives a loss of power)."""
    log_failure: Literal["refuse", "continue"] = "refuse"
    """What happens while the log cannot be written: requests get 503, or are answered and counted as unrecorded."""
    segment_bytes: Annotated[int, Field(ge=4096)] = 64 * 1024 * 1024
    """A segment of the decision log is sealed when it is larger."""
    segment_seconds: Annotated[float, Field(gt=0)] = 3600.0
    """A segment of the decision log is sealed when it is older."""
    ship_to: str | None = None
    """Where the log is shipped: ``directory:/folder`` or ``kafka:host:9092,host:9092/topic``; nowhere without it."""
    kafka_settings: Path | None = None
    """File with more of librdkafka's settings, ``name=value`` a line, for TLS and SASL."""
    max_unshipped_bytes: Annotated[int, Field(ge=1)] | None = None
    """Once this much of the log waits to be shipped, `log_failure` says what happens; no limit without it."""
    ship_retention_days: Annotated[float, Field(gt=0)] | None = None
    """Segments that were shipped and sealed longer ago are deleted, their seals kept; without it all are kept."""
    otlp_endpoint: str | None = None
    """Base URL of a collector of OpenTelemetry spans over HTTP; ``OTEL_EXPORTER_OTLP_ENDPOINT`` does as well."""
    trace_ratio: Annotated[float, Field(ge=0, le=1)] = 1.0
    """Which share of the requests without a caller's trace is traced where there is a collector."""
