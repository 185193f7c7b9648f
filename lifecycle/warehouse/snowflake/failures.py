"""Translates errors of Snowflake and its connector into errors with a remedy, and marks those that may be retried."""

import re
from typing import TYPE_CHECKING

from lifecycle.errors import LifecycleError
from lifecycle.settings.snowflake import PREFIX, SnowflakeSettings

if TYPE_CHECKING:
    from snowflake.connector.errors import Error


class ConnectionLostError(LifecycleError):
    """The endpoint was not reached, or no longer knows the session: the operation may be retried from its start."""


class StaleSessionError(ConnectionLostError):
    """The session may not see another session's latest commit; a new session does."""


LOST = frozenset(
    {
        250001,  # could not connect
        250002,  # connection is closed
        250003,  # request failed
        250005,  # server failed
        251011,  # connection timed out
        252007,  # session could not be renewed
        253003,  # upload failed
        261000,  # HTTP 500
        390104,  # session no longer known
        390110,
        390111,
        390112,  # session token expired
        390113,
        390114,  # master token expired
        390115,
        390195,
        390318,  # OAuth token expired
    }
)
"""Numbers of the connector (250001 to 261000, `snowflake.connector.errorcode`) and of the service (390nnn)."""

_LOGIN_REFUSED = {
    290403: ("an account of this name", "ACCOUNT and HOST"),
    290404: ("an account of this name", "ACCOUNT and HOST"),
    390100: ("a valid user and login", "USER and the key, token or password"),
    390101: ("a valid user and login", "USER and the key, token or password"),
    390144: ("the key that is registered for the user", "USER and PRIVATE_KEY_FILE"),
    390189: ("a role that the user holds", "ROLE"),
    390201: ("an object that exists and that the role may use", "DATABASE, ROLE and WAREHOUSE"),
    390303: ("a valid OAuth token", "TOKEN or TOKEN_FILE"),
    394300: ("the key that is registered for the user", "USER and PRIVATE_KEY_FILE"),
    250006: ("a login that the identity provider accepts", "AUTHENTICATOR"),
    251005: ("a user", "USER"),
    251006: ("a password, key or token", "PRIVATE_KEY_FILE"),
    251007: ("an authenticator that the connector supports", "AUTHENTICATOR"),
    251008: ("a private key", "PRIVATE_KEY_FILE"),
    250008: ("a login that fits the authenticator", "AUTHENTICATOR"),
}
_CAUSES = {
    604: "the statement was cancelled",
    606: f"no virtual warehouse in use; set {PREFIX}WAREHOUSE, or grant the role USAGE on it",
    625: f"another transaction held the lock longer than {PREFIX}LOCK_TIMEOUT_SECONDS; try again",
    630: f"the statement ran longer than {PREFIX}STATEMENT_TIMEOUT_SECONDS; raise it, or use a larger warehouse",
    90073: "the virtual warehouse is suspended by a resource monitor; raise its quota",
}
_OBJECT_ERRORS = frozenset({904, 1003, 2003, 2043, 3001, 2140, 393901})
"""Errors of compilation, existence and privilege: their text names objects and columns, never a row's value."""
_PRIVILEGE_ERRORS = frozenset({2003, 2043, 3001})
LONGEST_TEXT = 300


def as_lifecycle_error(error: "Error", settings: SnowflakeSettings, purpose: str) -> LifecycleError:
    """The failure with the expectation, the cause, the place and the remedy.

    The service's text is kept only if it names objects: the text of a failed conversion contains the value.
    """
    number = int(error.errno or -1)
    where = _where(settings)
    if number in LOST or _is_transport(error):
        return connection_lost(_name(error, number), settings, purpose)
    if number in _LOGIN_REFUSED or 394300 <= number < 394400:
        expected, named = _LOGIN_REFUSED.get(number, _LOGIN_REFUSED[394300])
        return LifecycleError(
            f"Expected {expected}, got a rejected login ({_name(error, number)}) - {where}, user {settings.user}; "
            f"check {PREFIX}{named}"
        )
    if number in _CAUSES:
        got = _CAUSES[number]
    elif number in _OBJECT_ERRORS:
        remedy = "; `lifecycle warehouse check` shows each role's privileges" if number in _PRIVILEGE_ERRORS else ""
        got = f"{_one_line(error)}{remedy}"
    else:
        got = "a statement that failed"
    return LifecycleError(f"Expected {purpose}, got {got} ({_name(error, number)}) - {where}")


def connection_lost(name: str, settings: SnowflakeSettings, purpose: str) -> ConnectionLostError:
    """The failure of a request without a response, or of a session that no longer exists."""
    return ConnectionLostError(
        f"Expected a connection {purpose}, got no response ({name}) - {_where(settings)}. "
        f"Check the network, {PREFIX}ACCOUNT and {PREFIX}HOST, then run it again: completed work is not repeated."
    )


def _where(settings: SnowflakeSettings) -> str:
    return f"at {settings.host or settings.account}, database {settings.database}"


def _name(error: "Error", number: int) -> str:
    query = f", query {error.sfqid}" if error.sfqid else ""
    state = f", state {error.sqlstate}" if error.sqlstate and error.sqlstate != "n/a" else ""
    return f"{type(error).__name__} {number:06d}{state}{query}"


def _is_transport(error: "Error") -> bool:
    """Whether the request itself failed: the connector has an error class for each HTTP status."""
    from snowflake.connector import errors

    transport = (
        errors.BadGatewayError,
        errors.GatewayTimeoutError,
        errors.InternalServerError,
        errors.OtherHTTPRetryableError,
        errors.RequestTimeoutError,
        errors.ServiceUnavailableError,
        errors.TooManyRequests,
    )
    return isinstance(error, transport)


def _one_line(error: "Error") -> str:
    text = re.sub(r"\s+", " ", error.raw_msg or error.msg or "").strip()
    return text[:LONGEST_TEXT]
