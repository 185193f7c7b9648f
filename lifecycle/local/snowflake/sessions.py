"""Sessions: values from the login, parameters set since, and whether their tokens are valid."""

import asyncio
import itertools
import secrets
import time
from collections import OrderedDict
from dataclasses import dataclass, field

from fakesnow.server import sessions as connections
from starlette.requests import Request
from starlette.responses import Response

from lifecycle.local.snowflake.answers import MASTER_EXPIRED, SESSION_EXPIRED, SESSION_GONE, Refused
from lifecycle.local.snowflake.engine import Connection

REMEMBERED_ANSWERS = 16
LOCK_TIMEOUT_SECONDS = 43200.0
"""Snowflake's default of LOCK_TIMEOUT."""


@dataclass(eq=False)
class LocalSession:
    """One login; its token changes when it is renewed."""

    number: int
    connection: Connection
    token: str
    master: str
    user: str
    role: str
    warehouse: str | None
    parameters: dict[str, object]
    in_transaction: bool = False
    is_expired: bool = False
    is_ended: bool = False
    running: int = 0
    used_at: float = field(default_factory=time.monotonic)
    temporary_tables: list[str] = field(default_factory=list)
    answers: "OrderedDict[str, asyncio.Task[Response]]" = field(default_factory=OrderedDict)
    """Responses by request id: the connector retries under the same id, and gets the same response."""

    @property
    def idle_seconds(self) -> float:
        """Seconds since the last statement ended; 0 while one runs."""
        return 0.0 if self.running else time.monotonic() - self.used_at

    @property
    def lock_timeout_seconds(self) -> float:
        """LOCK_TIMEOUT."""
        return float(str(self.parameters.get("LOCK_TIMEOUT", LOCK_TIMEOUT_SECONDS)))

    @property
    def statement_timeout_seconds(self) -> float | None:
        """STATEMENT_TIMEOUT_IN_SECONDS; ``None`` if the session has not set it."""
        return float(str(self.parameters.get("STATEMENT_TIMEOUT_IN_SECONDS", 0))) or None

    def remember(self, request_id: str, answer: "asyncio.Task[Response]") -> None:
        """Keep the response for a retry."""
        self.answers[request_id] = answer
        while len(self.answers) > REMEMBERED_ANSWERS:
            self.answers.popitem(last=False)

    def expire(self, *, is_ended: bool) -> None:
        """Expire the token, with `is_ended` the master token as well."""
        self.is_expired = True
        self.is_ended = self.is_ended or is_ended


class Sessions:
    """All sessions of the endpoint."""

    def __init__(self) -> None:
        self._by_token: dict[str, LocalSession] = {}
        self._numbers = itertools.count(1)

    def open(
        self, token: str, user: str, role: str, warehouse: str | None, parameters: dict[str, object]
    ) -> LocalSession:
        """The session of a login that fakesnow has accepted under `token`."""
        connection = connections[token]
        assert isinstance(connection, Connection)  # noqa: S101 - the engine creates no others
        session = LocalSession(
            next(self._numbers), connection, token, secrets.token_urlsafe(32), user, role, warehouse, parameters
        )
        self._by_token[token] = session
        return session

    def of(self, request: Request) -> LocalSession:
        """The session of a request's token.

        Raises
        ------
        Refused
            If the token is unknown or has expired.
        """
        session = self._by_token.get(_token(request))
        if session is None:
            raise Refused(*SESSION_GONE)
        if session.is_expired:
            raise Refused(*SESSION_EXPIRED)
        return session

    def renew(self, request: Request, old_token: str) -> LocalSession:
        """Replace the session's `old_token`; the request is authorised by the master token.

        Raises
        ------
        Refused
            If the master token has expired, too, or belongs to another session.
        """
        session = self._by_token.get(old_token)
        if session is None or session.is_ended or session.master != _token(request):
            raise Refused(*MASTER_EXPIRED)
        del self._by_token[old_token]
        session.token, session.is_expired = secrets.token_urlsafe(32), False
        self._by_token[session.token] = session
        connections[session.token] = connections.pop(old_token)
        return session

    def close(self, session: LocalSession) -> None:
        """End a session and roll back its open transaction."""
        self._by_token.pop(session.token, None)
        connections.pop(session.token, None)
        if session.in_transaction:
            session.connection.run("ROLLBACK")
        for table in session.temporary_tables:
            session.connection.run(f"DROP TABLE IF EXISTS {table}")
        session.connection.close()

    def hides(self, sql: str, current: LocalSession) -> str | None:
        """The temporary table of another session that a statement names, compared by the table's unqualified name."""
        text = sql.upper()
        others = [session for session in self._by_token.values() if session is not current]
        names = (table for session in others for table in session.temporary_tables)
        return next((table for table in names if table.rpartition(".")[2] in text), None)

    def expire_all(self, *, is_ended: bool) -> int:
        """Expire the tokens of all sessions; returns the session count."""
        for session in self._by_token.values():
            session.expire(is_ended=is_ended)
        return len(self._by_token)


def _token(request: Request) -> str:
    return request.headers.get("authorization", "").removeprefix('Snowflake Token="').removesuffix('"')
