"""Connections to a Snowflake account, with login, virtual warehouse and query tag of their step."""

import json
import logging
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from pydantic import SecretStr

from lifecycle.errors import LifecycleError
from lifecycle.settings.platform import Settings
from lifecycle.settings.snowflake import PREFIX, SnowflakeSettings
from lifecycle.warehouse.interface import Use
from lifecycle.warehouse.snowflake.converters import start_converters
from lifecycle.warehouse.snowflake.failures import as_lifecycle_error

if TYPE_CHECKING:
    from snowflake.connector import SnowflakeConnection

QUERY_TAG_LIMIT = 2000
"""Characters; https://docs.snowflake.com/en/sql-reference/parameters#query-tag."""


def query_tag(use: Use) -> str:
    """The query tag of a connection: its step, model, asset and run, as JSON."""
    values = {"app": "lifecycle", "step": use.step, "model": use.model, "asset": use.asset, "run_id": use.run_id}
    return json.dumps({name: value for name, value in values.items() if value is not None})[:QUERY_TAG_LIMIT]


def session_parameters(settings: SnowflakeSettings, use: Use) -> dict[str, str | int]:
    """Parameters set at login, so that an account's defaults cannot change the meaning of a statement."""
    return {
        "QUERY_TAG": query_tag(use),
        "TIMEZONE": "UTC",
        "TIMESTAMP_TYPE_MAPPING": "TIMESTAMP_NTZ",
        "PYTHON_CONNECTOR_QUERY_RESULT_FORMAT": "ARROW",
        "STATEMENT_TIMEOUT_IN_SECONDS": settings.statement_timeout_seconds,
        "LOCK_TIMEOUT": settings.lock_timeout_seconds,
        # dbt-snowflake sends no rollback after a failed statement: the next model's definition would commit the
        # deletion of days that were not inserted again (https://github.com/dbt-labs/dbt-core/issues/12330).
        "TRANSACTION_ABORT_ON_ERROR": True,
        # Otherwise the queries of a killed process would run, and be billed, until their timeout.
        "ABORT_DETACHED_QUERY": True,
    }


def connection_arguments(settings: SnowflakeSettings, use: Use) -> dict[str, Any]:
    """The connector's arguments for one step.

    Raises
    ------
    LifecycleError
        If a setting is missing or contradicts another one, or a key or token cannot be read.
    """
    settings.expect_complete(use.step)
    arguments = {
        "account": settings.account,
        "user": settings.user,
        "database": settings.database,
        "role": settings.role_of(use.step),
        "warehouse": settings.warehouse_of(use.step),
        "authenticator": settings.authenticator,
        "password": _plain(settings.password),
        "token": _token(settings),
        "private_key": _private_key(settings),
        "oauth_client_id": settings.oauth_client_id,
        "oauth_client_secret": _plain(settings.oauth_client_secret),
        "oauth_token_request_url": settings.oauth_token_request_url,
        "host": settings.host,
        "port": settings.port,
        "protocol": settings.protocol,
        "login_timeout": settings.login_timeout_seconds,
        "network_timeout": settings.network_timeout_seconds,
    }
    return {name: value for name, value in arguments.items() if value is not None} | {
        "session_parameters": session_parameters(settings, use),
        "paramstyle": "qmark",
        "autocommit": True,
        # A session has only the privileges of its role, regardless of the user's other roles.
        "secondary_roles": "NONE",
        # Otherwise amounts would be sent as doubles.
        "arrow_number_to_decimal": True,
        # Reports a wrong role, database or warehouse at login, not at the first statement.
        "validate_default_parameters": settings.protocol == "https",
        "client_session_keep_alive": True,
        "application": "lifecycle",
    }


@contextmanager
def connection(settings: Settings, use: Use) -> "Iterator[SnowflakeConnection]":
    """An open connection, closed after the block; an open transaction is rolled back.

    Raises
    ------
    LifecycleError
        If a setting is missing or wrong, the endpoint cannot be reached, or it rejects the login.
    ConnectionLostError
        If the connection is lost within the block.
    """
    opened = connect(settings.snowflake, use)
    try:
        yield opened
    finally:
        close(opened)


def connect(settings: SnowflakeSettings, use: Use) -> "SnowflakeConnection":
    """Log in; the caller closes the connection with `close`."""
    arguments = connection_arguments(settings, use)
    import snowflake.connector  # takes 1 s

    # Its log lines about lost connections repeat this project's errors; configured handlers still receive them.
    logging.getLogger("snowflake.connector").addHandler(logging.NullHandler())
    start_converters()
    try:
        return snowflake.connector.connect(**arguments)
    except snowflake.connector.errors.Error as error:
        raise as_lifecycle_error(error, settings, "to log in") from None


def close(opened: "SnowflakeConnection") -> None:
    """Close a connection; if it is lost already, the endpoint rolls back by itself."""
    from snowflake.connector.errors import Error

    try:
        opened.close(retry=False)
    except Error:
        return


def _plain(secret: SecretStr | None) -> str | None:
    return secret.get_secret_value() if secret else None


def _token(settings: SnowflakeSettings) -> str | None:
    # The connector would keep the file's trailing newline as part of the token.
    return settings.token_file.read_text().strip() if settings.token_file else _plain(settings.token)


def _private_key(settings: SnowflakeSettings) -> bytes | None:
    """The key as the connector expects it: DER, PKCS#8, unencrypted."""
    if not (settings.private_key_file or settings.private_key):
        return None
    from cryptography.hazmat.primitives import serialization

    name = "PRIVATE_KEY_FILE" if settings.private_key_file else "PRIVATE_KEY"
    passphrase = _plain(settings.private_key_passphrase)
    try:
        key = serialization.load_pem_private_key(_pem(settings), passphrase.encode() if passphrase else None)
    except OSError as error:
        raise LifecycleError(
            f"Expected a readable key, got {error.strerror} - at {settings.private_key_file} ({PREFIX}{name})"
        ) from None
    except TypeError:
        got = "a passphrase for a key without one" if passphrase else "an encrypted key and no passphrase"
        remedy = "unset" if passphrase else "set"
        raise LifecycleError(
            f"Expected a passphrase that fits the key, got {got} - in {PREFIX}{name}; "
            f"{remedy} {PREFIX}PRIVATE_KEY_PASSPHRASE"
        ) from None
    except ValueError:
        raise LifecycleError(
            f"Expected a private key in PEM that {PREFIX}PRIVATE_KEY_PASSPHRASE decrypts, got one that cannot be read "
            f"- in {PREFIX}{name}; docs/snowflake.md shows how to create a key"
        ) from None
    return key.private_bytes(
        serialization.Encoding.DER, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )


def _pem(settings: SnowflakeSettings) -> bytes:
    if settings.private_key_file is not None:
        return settings.private_key_file.read_bytes()
    return (settings.private_key_text or "").encode()
