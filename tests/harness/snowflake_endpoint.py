"""Installations at a local Snowflake endpoint, each with a database of its own."""

import secrets
from pathlib import Path

from lifecycle.local.snowflake import LocalSnowflake
from lifecycle.settings.platform import Settings

ABANDONED = ("--abandoned-seconds", "0.5")
"""Idle time after which the endpoint rolls back a transaction that other sessions wait for."""
SHORT_TIMEOUTS = {"network_timeout_seconds": 8, "login_timeout_seconds": 5}
IMPATIENT = {"network_timeout_seconds": 1, "login_timeout_seconds": 1, "attempts": 1}


def own_database(endpoint: LocalSnowflake, home: Path, **named: object) -> Settings:
    """Settings of an installation in `home` with an empty database; `named` are further Snowflake settings."""
    settings = endpoint.settings(home)
    update = {"database": f"TEST_{secrets.token_hex(4)}".upper(), **SHORT_TIMEOUTS, **named}
    return settings.model_copy(update={"snowflake": settings.snowflake.model_copy(update=update)})
