"""``/metrics``: Prometheus's text format."""

import asyncio

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from serving.telemetry.metrics import CONTENT_TYPE, Metrics


def metrics_routes(metrics: Metrics) -> list[Route]:
    """The route that monitoring scrapes."""

    async def scrape(_request: Request) -> Response:
        return Response(await asyncio.to_thread(metrics.exposition), media_type=CONTENT_TYPE)

    return [Route("/metrics", scrape, methods=["GET"])]
