"""``/healthz`` and ``/readyz``: whether the process lives, and whether it should get traffic."""

import time
from collections.abc import Sequence
from typing import Any

import msgspec
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from serving.api.errors import RETRY_AFTER_SECONDS, JsonResponse
from serving.decision_log import DecisionLog
from serving.slots import Slots


def health_routes(slots: Slots, log: DecisionLog, required_models: Sequence[str]) -> list[Route]:
    """The routes that a load balancer asks."""

    async def healthz(_request: Request) -> Response:
        return JsonResponse(b'{"status":"ok"}')

    async def readyz(_request: Request) -> Response:
        complaints = not_ready(required_models, slots.champions.keys(), log.failure)
        body = {"ready": not complaints, "complaints": complaints} | details(slots, log)
        headers = {"Retry-After": str(RETRY_AFTER_SECONDS)} if complaints else None
        return JsonResponse(msgspec.json.encode(body), 503 if complaints else 200, headers)

    return [Route("/healthz", healthz, methods=["GET"]), Route("/readyz", readyz, methods=["GET"])]


def not_ready(required_models: Sequence[str], loaded: "set[str] | Any", log_failure: str | None) -> list[str]:
    """Why the server should get no traffic; empty if it should.

    Without required models one loaded model is enough: a second one that cannot be loaded must not take the first one
    down. A refused newer release is no reason either, since the last good model answers.
    """
    complaints = [] if log_failure is None else [f"the decision log cannot be written: {log_failure}"]
    missing = [model for model in required_models if model not in loaded]
    if missing:
        complaints.append(f"required models are not loaded: {missing}")
    if not loaded:
        complaints.append("no model is loaded")
    return complaints


def details(slots: Slots, log: DecisionLog) -> dict[str, Any]:
    """How the parts stand, also those that do not decide about readiness."""
    champions = slots.champions
    return {
        "models": {
            model: {
                "state": status.state,
                "release_number": champions[model].release_number if model in champions else None,
                "aspired_release_number": status.aspired_number,
                "error": status.error,
            }
            for model, status in sorted(slots.statuses.items())
        },
        "store": {
            "error": slots.poll_failure,
            "seconds_since_read": None if slots.polled_at is None else round(time.monotonic() - slots.polled_at, 1),
        },
        "decision_log": {"error": log.failure, "lag_seconds": round(log.lag_seconds, 3)},
    }
