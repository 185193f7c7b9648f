"""Snowflake login of dbt: the variables that `dbt_project/profiles.yml` and the child process read."""

import json
from collections.abc import Mapping
from typing import Any

from lifecycle.settings.snowflake import SnowflakeSettings
from lifecycle.warehouse import Use

SECRET_PREFIX = "DBT_ENV_SECRET_"  # noqa: S105 - a prefix of names
"""dbt masks variables with this prefix and accepts them only in its profile."""

FURTHER_ARGUMENTS_VARIABLE = "LIFECYCLE_DBT_CONNECTION"
"""JSON of the connection arguments for which a profile has no key."""

OAUTH_SECRET_VARIABLE = f"{SECRET_PREFIX}OAUTH_CLIENT_SECRET"


def login_environment(settings: SnowflakeSettings, use: Use) -> dict[str, str]:
    """Environment variables for dbt's login; an option that is not set has no variable.

    Raises
    ------
    LifecycleError
        If a setting is missing or wrong, or a key or a token cannot be read; names the setting.
    """
    from lifecycle.warehouse.snowflake.connection import connection_arguments

    # Not passed on as they are: they contain the private key, which must not enter the environment.
    arguments = connection_arguments(settings, use)
    variables = {
        "LIFECYCLE_DBT_ACCOUNT": settings.account,
        "LIFECYCLE_DBT_USER": settings.user,
        "LIFECYCLE_DBT_ROLE": settings.role_of(use.step),
        "LIFECYCLE_DBT_WAREHOUSE": settings.warehouse_of(use.step),
        "LIFECYCLE_DBT_DATABASE": settings.database,
        "LIFECYCLE_DBT_AUTHENTICATOR": _as_dbt_names_it(settings.authenticator),
        "LIFECYCLE_DBT_PRIVATE_KEY_FILE": settings.private_key_file
        and settings.private_key_file.expanduser().resolve(),
        "LIFECYCLE_DBT_HOST": settings.host,
        "LIFECYCLE_DBT_PORT": settings.port,
        "LIFECYCLE_DBT_PROTOCOL": settings.protocol,
        "LIFECYCLE_DBT_CONNECT_RETRIES": settings.attempts - 1,
        FURTHER_ARGUMENTS_VARIABLE: json.dumps(_further_arguments(arguments)),
    }
    passphrase = settings.private_key_passphrase
    secrets = {
        "PRIVATE_KEY": settings.private_key_text,
        "PRIVATE_KEY_PASSPHRASE": passphrase and passphrase.get_secret_value(),
        "PASSWORD": arguments.get("password"),
        "TOKEN": arguments.get("token"),
        "OAUTH_CLIENT_SECRET": arguments.get("oauth_client_secret"),
    }
    variables |= {f"{SECRET_PREFIX}{name}": secret for name, secret in secrets.items() if secret}
    return {name: str(value) for name, value in variables.items() if value is not None}


def without_secrets(text: str, environment: Mapping[str, str]) -> str:
    """`text` with the secrets of `environment` masked by asterisks; dbt masks them only in its own log."""
    secrets = [value for name, value in environment.items() if name.startswith(SECRET_PREFIX) and value.strip()]
    for secret in sorted(secrets, key=len, reverse=True):
        text = text.replace(secret, "*****")
    return text


def _as_dbt_names_it(authenticator: str | None) -> str | None:
    """The connector accepts these words in any case, dbt only in lower case; an address stays as it is."""
    return authenticator if authenticator is None or "://" in authenticator else authenticator.lower()


def _further_arguments(arguments: Mapping[str, Any]) -> dict[str, Any]:
    # A profile can hold a query tag, too, but dbt parses the whole project again (3 s) whenever one changes.
    names = ("login_timeout", "network_timeout", "oauth_client_id", "oauth_token_request_url", "session_parameters")
    return {name: arguments[name] for name in names if name in arguments}
