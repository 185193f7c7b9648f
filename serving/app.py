"""The application: the parts put together, started and stopped with the server."""

import asyncio
import contextlib
import functools
import logging
from collections.abc import AsyncIterator

from fastapi import FastAPI
from starlette.exceptions import HTTPException

from serving.api.errors import http_error, unexpected_error
from serving.api.health import health_routes
from serving.api.metrics import metrics_routes
from serving.api.models import model_routes
from serving.api.scores import score_routes
from serving.cache import Cache
from serving.decision_log import DecisionLog
from serving.metrics import Metrics
from serving.polling import Polling
from serving.recent import RecentDecisions
from serving.releases import DirectoryReader, ReleaseSource
from serving.scoring import Scoring
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
        polling = Polling(slots, settings.poll_seconds)
        polling.start()
        try:
            yield
        finally:
            await asyncio.to_thread(polling.stop)
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
    app.state.start = start
    app.add_exception_handler(HTTPException, http_error)
    app.add_exception_handler(Exception, unexpected_error)
    return app


def _start(settings: ServingSettings, cache: Cache, log: DecisionLog, recent: RecentDecisions, slots: Slots) -> None:
    cache.prepare()
    cut = log.open()
    if cut:
        logger.warning("cut %d bytes of an unanswered decision from the end of the log", cut)
    for record in recent_records(settings.log_dir, settings.recent_decisions):
        recent.remember(record)
    slots.restore()
    slots.advance()
