"""Settings of one server, read from ``SERVING_*`` environment variables."""

from pathlib import Path
from typing import Annotated

from pydantic import Field
from pydantic_settings import BaseSettings, SettingsConfigDict


class ServingSettings(BaseSettings):
    """What a server reads, writes and listens on; nothing secret stands here, only where it lies."""

    model_config = SettingsConfigDict(env_prefix="SERVING_", extra="ignore", frozen=True)

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
    port: Annotated[int, Field(ge=0, le=65535)] = 8080
    """0 takes any free port; the first log line says which."""
    poll_seconds: Annotated[float, Field(gt=0)] = 2.0
    max_body_bytes: Annotated[int, Field(ge=1024)] = 64 * 1024
    max_batch: Annotated[int, Field(ge=1, le=10_000)] = 256
    """Most decisions in one request."""
    mlflow_model: str | None = None
    """Model behind MLflow's ``/invocations``; needed only where several are served."""
    recent_decisions: Annotated[int, Field(ge=0)] = 50_000
    """How many answers are remembered for repeated decision ids."""
    segment_bytes: Annotated[int, Field(ge=4096)] = 64 * 1024 * 1024
    segment_seconds: Annotated[float, Field(gt=0)] = 3600.0
    """A segment of the decision log is sealed when it is larger or older."""
    required_models: tuple[str, ...] = ()
    """Models that must answer before the server is ready, as a JSON list; without any, one must."""
    shutdown_seconds: Annotated[int, Field(ge=1)] = 10
    """How long requests in flight are waited for."""
