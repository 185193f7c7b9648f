"""The FastAPI application of one server process."""

import asyncio
import contextlib
import functools
import logging
from collections.abc import AsyncIterator, Awaitable
from typing import Any, Final

from fastapi import FastAPI, Request, Response
from starlette.exceptions import HTTPException

from serving.access.key_file import Scope
from serving.errors import RequestError
from serving.http.admission import read_body
from serving.http.answers import respond
from serving.http.errors import error_answer, form_of, http_error, internal_error, unexpected_error
from serving.http.fast_path.turns import TurnBatcher
from serving.http.routes.docs import docs_router
from serving.http.routes.health import health_router, not_ready
from serving.http.routes.metrics import metrics_router
from serving.http.routes.models import models_router
from serving.http.routes.operations import operations_router
from serving.http.routes.scores import ScoreRoutes, score_routes
from serving.http.signals import Signals
from serving.http.targets import target
from serving.process.observed import workers_readiness
from serving.process.openapi import contract, served_document
from serving.process.server import Server
from serving.protocols.guard import asked_model, refusal_handler
from serving.protocols.mlflow.routes import mlflow_router
from serving.protocols.open_inference.routes import open_inference_router
from serving.settings import ServingSettings
from serving.wire.request_context import RequestContext

OPEN_PATHS: Final = frozenset({"/healthz", "/readyz", "/ping", "/health", "/v2/health/live", "/v2/health/ready"})
"""Health routes for load balancers: they need no key and are never refused."""

logger = logging.getLogger(__name__)


class ServingApp(FastAPI):
    """FastAPI with the scoring routes in front of its router; every other path needs a key of its scope."""

    parts: Server
    scores: ScoreRoutes
    batcher: TurnBatcher | None = None
    signals: Signals

    def __call__(self, scope: Any, receive: Any, send: Any) -> Awaitable[None]:  # type: ignore[override]
        """Answer a scoring request directly; check the key of every other request and route it."""
        hot = target(scope)
        if hot is not None:
            return self.scores.answer(hot[0], scope, receive, send, is_batch=hot[1])
        return self._routed(scope, receive, send)

    async def _routed(self, scope: Any, receive: Any, send: Any) -> None:
        if scope["type"] != "http":
            await super().__call__(scope, receive, send)
            return
        needed = needed_scope(scope["method"], scope["path"])
        if needed is not None and needed != "score":
            try:
                self.parts.admission.check_key(scope, needed)
            except RequestError as error:
                self.parts.metrics.failed(error.kind)
                await respond(scope, send, error_answer(error, form_of(scope["path"])))
                return
        # The deciding routes of foreign protocols admit their requests themselves, which records and counts refusals.
        is_counted = needed == "score"
        self.parts.metrics.in_flight += is_counted
        if scope["method"] == "HEAD":
            # FastAPI's GET routes do not answer HEAD; uvicorn leaves out the body.
            scope = {**scope, "method": "GET"}
        try:
            await super().__call__(scope, receive, send)
        finally:
            self.parts.metrics.in_flight -= is_counted


def needed_scope(method: str, path: str) -> Scope | None:
    """Scope that a caller's key needs for a path; ``None`` for a path that needs no key.

    Examples
    --------
    >>> needed_scope("GET", "/metrics"), needed_scope("POST", "/v1/poll"), needed_scope("GET", "/healthz")
    ('read', 'operate', None)
    """
    if path in OPEN_PATHS or (method == "GET" and path.startswith("/v2/models/") and path.endswith("/ready")):
        return None
    if method in {"GET", "HEAD"}:
        return "read"
    if path == "/invocations" or (path.startswith("/v2/models/") and path.endswith("/infer")):
        return "score"
    return "operate"


def create_app(settings: ServingSettings, worker: int | None = None, signals: Signals | None = None) -> ServingApp:
    """The server's application; models are loaded when it starts, before it takes a request.

    `worker` is the number of this process where several answer at one address. ``app.state.start()`` loads the models
    earlier, once, so that its errors reach the caller without a web server around them.

    Raises
    ------
    ContractError
        If a key cannot be read.
    """
    parts = Server(settings, worker)
    start = functools.cache(parts.start)

    @contextlib.asynccontextmanager
    async def lifespan(_app: FastAPI) -> AsyncIterator[None]:
        await asyncio.to_thread(start)
        parts.run()
        try:
            yield
        finally:
            await parts.stop()

    async def framework_error(request: Request, error: Exception) -> Response:
        response = await http_error(request, error)
        if response.headers.get("Allow") == "GET":
            response.headers["Allow"] = "GET, HEAD"
        return response

    async def fault(request: Request, error: Exception) -> Response:
        context = getattr(request.state, "context", None)
        parts.refusals.record(internal_error(), asked_model(request), context)
        return await unexpected_error(request, error)

    # FastAPI's own telemetry would send the text of an exception, which may hold a customer's value, to the endpoint
    # that the environment names. Its documentation pages load scripts from another host.
    telemetry = {"tracing": False, "metrics": False, "logs": False, "auto_configure": False}
    app = ServingApp(
        title="Risk model server",
        lifespan=lifespan,
        docs_url=None,
        redoc_url=None,
        openapi_url=None,
        redirect_slashes=False,  # a redirect would hold the Host header that the caller sent
        telemetry=telemetry,  # type: ignore[arg-type]  # a plain dictionary: older versions have no type for it
    )
    app.parts = parts
    app.signals = signals or Signals()
    deciding = parts.scoring, parts.admission, parts.metrics, parts.refusals
    limit = settings.max_body_bytes
    app.scores = ScoreRoutes(*deciding, max_body_bytes=limit, max_batch_bytes=settings.max_batch_bytes)
    if settings.log_durability == "written":
        # A decision that waits for the disk needs a task of its own.
        app.batcher = TurnBatcher(*deciding, max_body_bytes=limit)
    general = functools.cache(lambda: contract(app.routes))
    app.openapi = lambda: served_document(  # type: ignore[method-assign]
        general(), parts.slots, settings.max_batch, has_keys=settings.api_keys is not None
    )
    _add_routes(app, parts, settings)
    app.state.start = start
    app.add_exception_handler(HTTPException, framework_error)
    app.add_exception_handler(Exception, fault)
    return app


def _add_routes(app: ServingApp, parts: Server, settings: ServingSettings) -> None:
    def begin(request: Request) -> RequestContext:
        context = parts.admission.admit(request.scope, "score")
        request.state.context = context
        return context

    def refused(request: Request, error: RequestError) -> None:
        parts.refusals.record(error, asked_model(request), getattr(request.state, "context", None))

    async def body_of(request: Request, context: RequestContext) -> bytes:
        return await read_body(request.scope, request.receive, context, settings.max_batch_bytes)

    def violations() -> list[str]:
        return not_ready(
            settings.required_models, parts.slots.models, parts.log.refusal, is_draining=app.signals.is_draining
        )

    protocol: dict[str, Any] = {"read_body": body_of, "violations": violations, "max_batch": settings.max_batch}
    app.add_exception_handler(RequestError, refusal_handler(refused))
    app.router.routes.extend(score_routes(app.scores))
    for router in (
        models_router(parts.slots),
        health_router(parts.slots, parts.log, parts.api_keys, violations, workers_readiness),
        metrics_router(parts.metrics),
        docs_router(app.openapi),
        operations_router(parts.slots, parts.look),
        open_inference_router(parts.scoring, parts.slots, begin, **protocol),
        mlflow_router(parts.scoring, parts.slots, begin, mlflow_model=settings.mlflow_model, **protocol),
    ):
        app.include_router(router)
