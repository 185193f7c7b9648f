"""The application: the parts put together, started and stopped with the server."""

import asyncio
import contextlib
import functools
import logging
import time
from collections.abc import AsyncIterator

from fastapi import FastAPI
from starlette.exceptions import HTTPException
from starlette.requests import Request

from serving.api.errors import http_error, unexpected_error
from serving.api.health import health_routes, not_ready
from serving.api.metrics import metrics_routes
from serving.api.mlflow import mlflow_routes
from serving.api.models import model_routes
from serving.api.open_inference import open_inference_routes
from serving.api.scores import read_body, score_routes
from serving.cache import Cache
from serving.decision_log import DecisionLog
from serving.errors import RequestError
from serving.metrics import Metrics
from serving.recent import RecentDecisions
from serving.releases import DirectoryReader, ReleaseSource
from serving.scoring import RequestContext, Scoring
from serving.security import read_pseudonym_key, read_public_keys
from serving.segments import recent_records
from serving.settings import ServingSettings
from serving.slots import Slots

logger = logging.getLogger(__name__)


def create_app(settings: ServingSettings) -> FastAPI:
    """The server's application; models are loaded when it starts, before it takes a request.

    ``app.state.start()`` does that ahead of time, once, for whoever wants its errors without a web server around them.

    Raises
    ------
    ContractError
        If a key cannot be read.
    """
    keys = read_public_keys(settings.public_key)
    cache = Cache(settings.cache_dir)
    slots = Slots(ReleaseSource(DirectoryReader(settings.store), keys), cache, keys)
    log = DecisionLog(settings.log_dir, segment_bytes=settings.segment_bytes, segment_seconds=settings.segment_seconds)
    recent = RecentDecisions(settings.recent_decisions)
    metrics = Metrics(slots, log)
    scoring = Scoring(slots, log, recent, metrics, read_pseudonym_key(settings.pseudonym_key))

    @functools.cache
    def start() -> None:
        _start(settings, cache, log, recent, slots)

    @contextlib.asynccontextmanager
    async def lifespan(_app: FastAPI) -> AsyncIterator[None]:
        await asyncio.to_thread(start)
        polling = asyncio.create_task(_poll(slots, settings.poll_seconds))
        polling.add_done_callback(_complain_of_end)
        try:
            yield
        finally:
            polling.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await polling
            await asyncio.to_thread(log.close)

    # Closed by default: what the documentation pages would say of the raw routes is at /v1/models/{model}.
    # FastAPI's own telemetry would send an exception's text, and so maybe a customer's value, to whatever the
    # environment names; `/metrics` is what this server tells.
    telemetry = {"tracing": False, "metrics": False, "logs": False, "auto_configure": False}
    app = FastAPI(
        title="Risk model server",
        lifespan=lifespan,
        docs_url=None,
        redoc_url=None,
        openapi_url=None,
        telemetry=telemetry,  # type: ignore[arg-type]  # a plain dictionary: older versions have no type for it
    )
    app.router.routes.extend(score_routes(scoring, metrics, settings.max_body_bytes))
    app.router.routes.extend(model_routes(slots))
    app.router.routes.extend(health_routes(slots, log, settings.required_models))
    app.router.routes.extend(metrics_routes(metrics))
    _add_protocols(app, settings, scoring, slots, log, metrics)
    app.state.start = start
    app.add_exception_handler(HTTPException, http_error)
    app.add_exception_handler(Exception, unexpected_error)
    return app


def _add_protocols(
    app: FastAPI, settings: ServingSettings, scoring: Scoring, slots: Slots, log: DecisionLog, metrics: Metrics
) -> None:
    def begin(_request: Request, _scope: str) -> RequestContext:
        return RequestContext(None, None, time.perf_counter(), None, is_explained=False)

    async def read(request: Request, _context: RequestContext) -> bytes:
        return await read_body(request, settings.max_body_bytes)

    def complaints() -> list[str]:
        return not_ready(settings.required_models, slots.champions.keys(), log.failure)

    def refused(_request: Request, error: RequestError) -> None:
        metrics.failed(error.kind)

    app.router.routes.extend(
        open_inference_routes(
            scoring,
            slots,
            begin,
            read_body=read,
            complaints=complaints,
            max_batch=settings.max_batch,
            refused=refused,
        )
    )
    app.router.routes.extend(
        mlflow_routes(
            scoring,
            slots,
            begin,
            read_body=read,
            complaints=complaints,
            max_batch=settings.max_batch,
            mlflow_model=settings.mlflow_model,
            refused=refused,
        )
    )


def _start(settings: ServingSettings, cache: Cache, log: DecisionLog, recent: RecentDecisions, slots: Slots) -> None:
    cache.prepare()
    cut = log.open()
    if cut:
        logger.warning("cut %d bytes of an unanswered decision from the end of the log", cut)
    for record in recent_records(settings.log_dir, settings.recent_decisions):
        recent.remember(record)
    slots.restore()
    slots.advance()


def _complain_of_end(polling: "asyncio.Task[None]") -> None:
    if not polling.cancelled():
        logger.critical("the release store is no longer polled, restart this server: %r", type(polling.exception()))


async def _poll(slots: Slots, poll_seconds: float) -> None:
    while True:
        await asyncio.sleep(poll_seconds)
        await asyncio.to_thread(slots.advance)
