"""``/metrics``: Prometheus's text format."""

import asyncio

from fastapi import APIRouter, Response
from prometheus_client import CONTENT_TYPE_LATEST

from serving.http.descriptions import errors, text
from serving.telemetry.metrics import Metrics


def metrics_router(metrics: Metrics) -> APIRouter:
    """The route that monitoring scrapes."""
    router = APIRouter(tags=["operations"], responses=errors(401, 403))

    @router.get(
        "/metrics",
        operation_id="metrics",
        summary="Metrics in Prometheus's text format",
        response_class=Response,
        responses=text("text/plain"),
    )
    async def scrape() -> Response:
        return Response(await asyncio.to_thread(metrics.exposition), media_type=CONTENT_TYPE_LATEST)

    return router
