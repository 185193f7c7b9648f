"""``/metrics``: Prometheus's text format."""

import asyncio

from fastapi import APIRouter, Response

from serving.http.descriptions import errors, text
from serving.telemetry.metrics import CONTENT_TYPE, Metrics


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
        return Response(await asyncio.to_thread(metrics.exposition), media_type=CONTENT_TYPE)

    return router
