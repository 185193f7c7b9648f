"""``/healthz`` and ``/readyz``: whether the process lives, and whether it should get traffic."""

import time
from collections.abc import Callable, Container, Sequence
from typing import Literal

from fastapi import APIRouter, Response

from serving.access.api_keys import ApiKeys
from serving.http.descriptions import Body, extra
from serving.http.errors import RETRY_AFTER_SECONDS
from serving.http.routes.models import ModelState, state_of
from serving.log.writer import DecisionLog
from serving.slots.slots import Slots


class Health(Body):
    """The process answers."""

    status: Literal["ok"] = "ok"


class ModelReadiness(Body):
    """State of a model, whether a rollback holds its automatic promotion, and the bundles in its slots."""

    state: ModelState
    release_number: int | None
    aspired_release_number: int | None
    error: str | None
    is_promotion_held: bool
    slots: dict[str, str]


class StoreReadiness(Body):
    """Result of the last poll of the release store."""

    error: str | None
    seconds_since_read: float | None


class LogReadiness(Body):
    """State of the decision log."""

    error: str | None
    lag_seconds: float


class KeysReadiness(Body):
    """Result of the last reading of the API keys."""

    error: str | None


class WorkersReadiness(Body):
    """Restarts of the workers since the server's start, and those that keep ending within a minute of their starts."""

    restarts: int
    crash_loop: list[int]


class Readiness(Body):
    """Whether the server should get traffic; `violations` says why not, the rest is for information."""

    ready: bool
    violations: list[str]
    models: dict[str, ModelReadiness]
    store: StoreReadiness
    decision_log: LogReadiness
    api_keys: KeysReadiness
    workers: WorkersReadiness | None = None


def health_router(
    slots: Slots,
    log: DecisionLog,
    keys: ApiKeys,
    violations: Callable[[], list[str]],
    workers: Callable[[], WorkersReadiness | None],
) -> APIRouter:
    """The routes for load balancers.

    Parameters
    ----------
    violations
        Says why this server should get no traffic.
    workers
        Reads the state of a server with several workers.
    """
    router = APIRouter(tags=["health"])
    is_open = extra(is_open=True)

    @router.get("/healthz", operation_id="healthz", summary="Whether the process lives", openapi_extra=is_open)
    async def healthz() -> Health:
        return Health()

    @router.get(
        "/readyz",
        operation_id="readyz",
        summary="Whether the server should get traffic, and why not",
        responses={503: {"model": Readiness, "description": "Not ready; the body says why."}},
        openapi_extra=is_open,
    )
    async def readyz(response: Response) -> Readiness:
        readiness = _readiness(slots, log, keys, violations())
        readiness.workers = workers()
        if not readiness.ready:
            response.status_code = 503
            response.headers["Retry-After"] = str(RETRY_AFTER_SECONDS)
        return readiness

    return router


def not_ready(
    required_models: Sequence[str], loaded: Container[str], log_refusal: str | None, *, is_draining: bool = False
) -> list[str]:
    """Why the server should get no traffic; empty if it should.

    Without required models one loaded model is enough: a model that cannot be loaded must not take another one down.
    A refused release does not count, since the last good release answers, nor does a log that cannot be written where
    `SERVING_LOG_FAILURE` lets the server answer without it.
    """
    violations = ["the server is about to stop"] if is_draining else []
    if log_refusal is not None:
        violations.append(f"the decision log cannot be written: {log_refusal}")
    missing = [model for model in required_models if model not in loaded]
    if missing:
        violations.append(f"required models are not loaded: {missing}")
    if not loaded:
        violations.append("no model is loaded")
    return violations


def _readiness(slots: Slots, log: DecisionLog, keys: ApiKeys, violations: list[str]) -> Readiness:
    age = None if slots.polled_at is None else round(time.monotonic() - slots.polled_at, 1)
    return Readiness(
        ready=not violations,
        violations=violations,
        models={model: _model_readiness(slots, model) for model in sorted(slots.statuses)},
        store=StoreReadiness(error=slots.poll_failure, seconds_since_read=age),
        decision_log=LogReadiness(error=log.failure, lag_seconds=round(log.lag_seconds, 3)),
        api_keys=KeysReadiness(error=keys.failure),
    )


def _model_readiness(slots: Slots, model: str) -> ModelReadiness:
    status, serving = slots.statuses[model], slots.models.get(model)
    return ModelReadiness(
        state=state_of(serving, status.error),
        release_number=serving.release_number if serving else None,
        aspired_release_number=status.aspired_number,
        error=status.error,
        is_promotion_held=status.hold is not None,
        slots={servable.slot: servable.bundle_digest for servable in serving.deployed} if serving else {},
    )
