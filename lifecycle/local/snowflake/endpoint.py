"""fakesnow's HTTP application with the additions that the package's docstring lists."""

import asyncio
import gzip
import json
import logging
import warnings
from typing import Any, cast

from fakesnow.server import app as fakesnow_app
from fakesnow.server import login_request
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Mount, Route
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

from lifecycle.local.snowflake import corrections, login
from lifecycle.local.snowflake.answers import Refused, Truncated, refusal
from lifecycle.local.snowflake.engine import Engine
from lifecycle.local.snowflake.faults import Effect, Fault, Faults, die
from lifecycle.local.snowflake.grants import Setup
from lifecycle.local.snowflake.locks import Locks
from lifecycle.local.snowflake.options import Options
from lifecycle.local.snowflake.runner import Runner
from lifecycle.local.snowflake.sessions import LocalSession, Sessions
from lifecycle.local.snowflake.statement_log import StatementLog

TRANSPORT = "local.transport"


class Protocol(HttpToolsProtocol):
    """uvicorn's protocol, which passes the transport to the application, so that a fault can close the connection."""

    def on_message_begin(self) -> None:
        """Add the transport to the request's scope."""
        super().on_message_begin()
        cast("dict[str, object]", self.scope)[TRANSPORT] = self.transport


class Endpoint:
    """The endpoint's own routes; all others go to fakesnow unchanged."""

    def __init__(self, options: Options) -> None:
        corrections.correct()
        # They log each failed statement and each one that sqlglot cannot parse; the response reports both.
        for logger in ("fakesnow.server", "sqlglot"):
            logging.getLogger(logger).setLevel(logging.ERROR)
        warnings.filterwarnings("ignore", "Arrow output on a DB-API result", UserWarning)  # fakesnow's
        self._options = options
        self._setup = Setup(options.setup)
        self._sessions = Sessions()
        self._faults = Faults()
        self._log = StatementLog(options.log)
        engine = Engine(options.home)
        self._locks = Locks(options.abandoned_seconds, _roll_back)
        self._runner = Runner(engine, self._setup, self._locks, self._sessions, enforce=options.enforce)
        if options.enforce:
            # Only the schemas' owner may create them, as the script does.
            for qualified in self._setup.account.schemas():
                database, _, schema = qualified.partition(".")
                engine.connect(database, schema).close()

    def application(self) -> Starlette:
        """The ASGI application."""
        routes: list[Route | Mount] = [
            Route("/healthz", _healthy),
            Route("/session/v1/login-request", self._login, methods=["POST"]),
            Route("/session/token-request", self._renew, methods=["POST"]),
            Route("/session/heartbeat", self._heartbeat, methods=["POST"]),
            Route("/session", self._close, methods=["POST"]),
            Route("/queries/v1/query-request", self._query, methods=["POST"]),
            Route("/queries/v1/abort-request", self._abort, methods=["POST"]),
        ]
        if self._options.faults:
            routes += [
                Route("/local/faults", self._add_fault, methods=["POST"]),
                Route("/local/faults", self._clear_faults, methods=["DELETE"]),
                Route("/local/sessions/expire", self._expire, methods=["POST"]),
            ]
        return Starlette(routes=[*routes, Mount("/", fakesnow_app)], exception_handlers={Refused: refusal})

    async def _login(self, request: Request) -> Response:
        data = (await _document(request))["data"]
        query = request.query_params
        role = login.admit(data, query.get("roleName"), self._setup.account, self._options.public_key)
        response = await login_request(request)
        answer = json.loads(bytes(response.body))
        parameters = {name.upper(): value for name, value in data["SESSION_PARAMETERS"].items()}
        warehouse = login.known_warehouse(query.get("warehouse"), self._setup.account)
        user = str(data.get("LOGIN_NAME", "")).upper()
        session = self._sessions.open(answer["data"]["token"], user, role, warehouse, parameters)
        answer["data"] |= {"masterToken": session.master, "masterValidityInSeconds": 14400, "sessionId": session.number}
        answer["data"]["sessionInfo"] |= {"roleName": role, "warehouseName": warehouse}
        return JSONResponse(answer)

    async def _renew(self, request: Request) -> Response:
        session = self._sessions.renew(request, (await _document(request))["oldSessionToken"])
        tokens = {"sessionToken": session.token, "masterToken": session.master, "validityInSecondsST": 3600,
                  "masterValidityInSeconds": 14400, "sessionId": session.number}  # fmt: skip
        return JSONResponse({"data": tokens, "code": None, "message": None, "success": True})

    async def _heartbeat(self, request: Request) -> Response:
        self._sessions.of(request)
        return JSONResponse({"data": None, "code": None, "message": None, "success": True})

    async def _close(self, request: Request) -> Response:
        session = self._sessions.of(request)
        if request.query_params.get("delete"):
            self._locks.release(session)
            self._sessions.close(session)
        return JSONResponse({"data": None, "code": None, "message": None, "success": True})

    async def _abort(self, request: Request) -> Response:
        self._sessions.of(request).connection.interrupt()
        return JSONResponse({"data": None, "success": True})

    async def _query(self, request: Request) -> Response:
        document = await _document(request)
        request_id = request.query_params.get("requestId", "")
        sql = document["sqlText"]
        session = self._sessions.of(request)
        answer = session.answers.get(request_id)
        faults = self._faults.of(sql) if answer is None else []
        if answer is None:
            self._log.write(session, request_id, sql)
            early = await _inject([fault for fault in faults if not fault.after], session, request)
            if early is not None:
                return early
            self._sessions.of(request)  # a fault may have ended the session
            # In its own task the statement continues when the client disconnects, as in an account.
            seconds = sum(fault.seconds for fault in faults if fault.effect is Effect.DELAY and not fault.after)
            answer = asyncio.create_task(self._runner.run(session, request, document, seconds))
            session.remember(request_id, answer)
        response = await asyncio.shield(answer)
        late = await _inject([fault for fault in faults if fault.after], session, request)
        return response if late is None else late

    async def _add_fault(self, request: Request) -> Response:
        fault = await request.json()
        self._faults.add(Fault(**{**fault, "effect": Effect(fault["effect"])}))
        return JSONResponse({"success": True})

    async def _clear_faults(self, request: Request) -> Response:  # noqa: ARG002 - the route's signature
        self._faults.clear()
        return JSONResponse({"success": True})

    async def _expire(self, request: Request) -> Response:
        is_ended = bool((await request.json()).get("is_ended"))
        return JSONResponse({"success": True, "sessions": self._sessions.expire_all(is_ended=is_ended)})


async def _inject(faults: list[Fault], session: LocalSession, request: Request) -> Response | None:
    for fault in faults:
        match fault.effect:
            case Effect.KILL:
                die()
            case Effect.DROP:
                request.scope[TRANSPORT].abort()
                return Response()  # not delivered: the connection is closed
            case Effect.TRUNCATE:
                return Truncated()
            case Effect.UNAVAILABLE:
                return Response(status_code=503)
            case Effect.EXPIRE | Effect.END:
                session.expire(is_ended=fault.effect is Effect.END)
            case Effect.DELAY:
                # A delay before the statement is part of it and counts towards its timeout.
                await asyncio.sleep(fault.seconds if fault.after else 0)
    return None


def _roll_back(holder: object) -> None:
    assert isinstance(holder, LocalSession)  # noqa: S101 - only sessions acquire locks
    holder.connection.run("ROLLBACK")
    holder.in_transaction = False


async def _healthy(request: Request) -> Response:  # noqa: ARG001 - the route's signature
    return JSONResponse({"status": "ok"})


async def _document(request: Request) -> dict[str, Any]:
    body = await request.body()
    if request.headers.get("content-encoding") == "gzip":
        body = gzip.decompress(body)
    document: dict[str, Any] = json.loads(body)
    return document
