"""Runs statements: the endpoint answers some itself and passes the others to fakesnow."""

import asyncio
import json
import math
import time
from typing import Any

from fakesnow.server import query_request
from starlette.requests import Request
from starlette.responses import Response
from starlette.types import Message

from lifecycle.local.snowflake import statements
from lifecycle.local.snowflake.answers import LOCKED, TIMED_OUT, Failed, done, failure, rows
from lifecycle.local.snowflake.engine import TEMPORARY, Engine
from lifecycle.local.snowflake.grants import Setup
from lifecycle.local.snowflake.guard import expect_allowed
from lifecycle.local.snowflake.locks import Locks, LockTimeout
from lifecycle.local.snowflake.login import known_warehouse
from lifecycle.local.snowflake.options import ACCOUNT
from lifecycle.local.snowflake.sessions import LocalSession, Sessions
from lifecycle.local.snowflake.statements import Kind, Statement

_SUCCEEDED = b'"success":true}'
PARAMETER_COLUMNS = ("key", "value", "default", "level", "description", "type")
INTERNAL = ("000603", "XX000")
INTERRUPT_EVERY_SECONDS = 0.1


class Runner:
    """Runs the statements of all sessions."""

    def __init__(self, engine: Engine, setup: Setup, locks: Locks, sessions: Sessions, *, enforce: bool) -> None:
        self._sessions = sessions
        self._enforce = enforce
        self._engine = engine
        self._setup = setup
        self._locks = locks

    async def run(self, session: LocalSession, request: Request, document: dict[str, Any], delay: float) -> Response:
        """The response to one statement, delayed by `delay` seconds."""
        statement = statements.read(document["sqlText"])
        session.running += 1
        try:
            if hidden := self._sessions.hides(statement.sql, session):
                raise Failed("002003", "42S02", f"Object '{hidden}' does not exist or not authorized.")
            if self._enforce:
                expect_allowed(session, statement, self._setup.account, self._engine)
            own = None if document.get("describeOnly") else self._own_response(session, statement)
            return own or await self._fakesnow_response(session, request, document, statement, delay)
        except Failed as failed:
            return failure(failed)
        finally:
            session.running -= 1
            session.used_at = time.monotonic()
            if not session.in_transaction:
                self._locks.release(session)

    def _own_response(self, session: LocalSession, statement: Statement) -> Response | None:
        """The response to a statement that concerns only the session; ``None`` for all others."""
        if statement.ends_transaction and session.in_transaction:
            session.connection.run("COMMIT")
            session.in_transaction = False
        match statement.kind:
            case Kind.BEGIN if session.in_transaction:
                return done()
            case Kind.USE:
                return self._use(session, *statement.used())
            case Kind.SHOW_GRANTS:
                return self._grants(session, statement.sql)
            case Kind.SHOW_PARAMETERS if statement.shown_parameter() in session.parameters:
                name = statement.shown_parameter()
                value = str(session.parameters[name])
                return rows(PARAMETER_COLUMNS, [[name, value, "", "SESSION", "", "STRING"]])
            case Kind.SESSION if "AUTOCOMMIT" not in statement.parameters():
                for name, new in statement.parameters().items():
                    session.parameters.pop(name, None)
                    if new is not None:
                        session.parameters[name] = new
                return done()
        return None

    def _use(self, session: LocalSession, kind: str, name: str) -> Response:
        if kind == "warehouse":
            known = known_warehouse(name, self._setup.account)
            if known is None:
                raise Failed("002043", "02000", "Object does not exist, or operation cannot be performed.")
            session.warehouse = known
        elif kind == "role":
            if not self._setup.account.allows(name):
                raise Failed("003013", "42501", f"Requested role '{name}' is not assigned to the executing user.")
            session.role = name
        return done(finalRoleName=session.role, finalWarehouseName=session.warehouse)

    def _grants(self, session: LocalSession, sql: str) -> Response:
        try:
            return rows(*self._setup.account.shown(sql, session.user, self._engine.objects()))
        except LookupError as error:
            raise Failed("002003", "02000", f"Role '{error}' does not exist or not authorized.") from error
        except ValueError as error:
            raise Failed("001003", "42000", "The local endpoint does not support this form of SHOW GRANTS.") from error

    async def _fakesnow_response(
        self, session: LocalSession, request: Request, document: dict[str, Any], statement: Statement, delay: float
    ) -> Response:
        if table := statement.locked_table():
            try:
                await self._locks.acquire(_qualified(session, table), session, session.lock_timeout_seconds)
            except LockTimeout as error:
                code, sqlstate, message = LOCKED
                raise Failed(code, sqlstate, message.format(table=table)) from error
        context = {
            "current_role": session.role,
            "current_warehouse": session.warehouse,
            "current_user": session.user,
            "current_account": ACCOUNT.upper(),
            "current_secondary_roles": json.dumps({"roles": "", "value": self._setup.account.secondary_roles}),
        }
        temporary = statement.temporary_table()
        sql = temporary[1] if temporary else statement.sql
        sent = {**document, "sqlText": statements.in_context(sql, context)}
        response = await self._timed(session, _request(request, sent), delay)
        if bytes(response.body).endswith(_SUCCEEDED) and not document.get("describeOnly"):
            self._update_state(session, statement)
        elif response.status_code == 500:
            # The connector would retry until its network timeout.
            message = json.loads(bytes(response.body))["message"]
            raise Failed(*INTERNAL, f"The local endpoint cannot run this statement: {message}")
        return response

    async def _timed(self, session: LocalSession, request: Request, delay: float) -> Response:
        limit = session.statement_timeout_seconds or math.inf
        await asyncio.sleep(min(delay, limit))
        if delay < limit:
            running = asyncio.create_task(query_request(request))
            await asyncio.wait({running}, timeout=None if math.isinf(limit) else limit - delay)
            if running.done():
                return running.result()
            while not running.done():
                # An interrupt before DuckDB starts the statement has no effect.
                session.connection.interrupt()
                await asyncio.wait({running}, timeout=INTERRUPT_EVERY_SECONDS)
        code, sqlstate, message = TIMED_OUT
        raise Failed(code, sqlstate, message.format(seconds=int(limit)))

    def _update_state(self, session: LocalSession, statement: Statement) -> None:
        if statement.kind is Kind.BEGIN:
            session.in_transaction = True
        elif statement.kind in {Kind.COMMIT, Kind.ROLLBACK}:
            session.in_transaction = False
        elif temporary := statement.temporary_table():
            name = _qualified(session, temporary[0])
            session.temporary_tables.append(name)
            self._engine.made(TEMPORARY, name, session.role, keep=False)
        elif made := statement.created():
            kind, name, may_exist = made
            self._engine.made(kind, _qualified(session, name), session.role, keep=may_exist)


def _qualified(session: LocalSession, name: str) -> str:
    parts = statements.normal(name).split(".")
    missing = [session.connection.database or "", session.connection.schema or ""][: 3 - len(parts)]
    return ".".join([*missing, *parts])


def _request(request: Request, document: dict[str, Any]) -> Request:
    """The request with another document."""
    body = json.dumps(document).encode()
    headers = [
        header for header in request.scope["headers"] if header[0] not in {b"content-encoding", b"content-length"}
    ]

    async def receive() -> Message:
        return {"type": "http.request", "body": body, "more_body": False}

    return Request({**request.scope, "headers": headers}, receive)
