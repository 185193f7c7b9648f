"""``/healthz`` and ``/readyz``: whether the process lives, and whether it should get traffic."""

import time
from collections.abc import Sequence
from typing import Any

import msgspec
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from serving.access.api_keys import ApiKeys
from serving.http.errors import RETRY_AFTER_SECONDS, JsonResponse
from serving.http.routes.models import state_of
from serving.log.writer import DecisionLog
from serving.slots.slots import Slots


def health_routes(slots: Slots, log: DecisionLog, keys: ApiKeys, required_models: Sequence[str]) -> list[Route]:
    """The routes that a load balancer asks."""

    async def healthz(_request: Request) -> Response:
        return JsonResponse(b'{"status":"ok"}')

    async def readyz(_request: Request) -> Response:
        violations = not_ready(required_models, slots.models.keys(), log.refusal)
        body = {"ready": not violations, "violations": violations} | details(slots, log, keys)
        headers = {"Retry-After": str(RETRY_AFTER_SECONDS)} if violations else None
        return JsonResponse(msgspec.json.encode(body), 503 if violations else 200, headers)

    return [Route("/healthz", healthz, methods=["GET"]), Route("/readyz", readyz, methods=["GET"])]


def not_ready(required_models: Sequence[str], loaded: "set[str] | Any", log_refusal: str | None) -> list[str]:
    """Why the server should get no traffic; empty if it should.

    Without required models one loaded model is enough: a second one that cannot be loaded must not take the first one
    down. A refused newer release is no reason either, since the last good one answers, nor is a log that cannot be
    written where decisions are given all the same.
    """
    violations = [] if log_refusal is None else [f"the decision log cannot be written: {log_refusal}"]
    missing = [model for model in required_models if model not in loaded]
    if missing:
        violations.append(f"required models are not loaded: {missing}")
    if not loaded:
        violations.append("no model is loaded")
    return violations


def details(slots: Slots, log: DecisionLog, keys: ApiKeys) -> dict[str, Any]:
    """How the parts stand, also those that do not decide about readiness."""
    return {
        "models": {model: _model_details(slots, model) for model in sorted(slots.statuses)},
        "store": {
            "error": slots.poll_failure,
            "seconds_since_read": None if slots.polled_at is None else round(time.monotonic() - slots.polled_at, 1),
        },
        "decision_log": {"error": log.failure, "lag_seconds": round(log.lag_seconds, 3)},
        "api_keys": {"error": keys.failure},
    }


def _model_details(slots: Slots, model: str) -> dict[str, Any]:
    status, serving = slots.statuses[model], slots.models.get(model)
    return {
        "state": state_of(serving, status.error),
        "release_number": serving.release_number if serving else None,
        "aspired_release_number": status.aspired_number,
        "error": status.error,
        "slots": {each.slot: each.bundle_digest for each in serving.deployed} if serving else {},
    }
