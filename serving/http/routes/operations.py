"""``POST /v1/poll``: what an operator may ask of a running server."""

import asyncio
from collections.abc import Callable

import msgspec
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from serving.http.errors import JsonResponse
from serving.slots.slots import Slots


def operation_routes(slots: Slots, look: Callable[[], None]) -> list[Route]:
    """The route; `look` reads the release store and the API keys now, on the thread that calls it."""
    turn = asyncio.Lock()

    async def poll(_request: Request) -> Response:
        # One at a time: with a store that hangs they would take all the threads, of which `/metrics` needs one.
        async with turn:
            await asyncio.to_thread(look)
        releases = {model: serving.held.release.number for model, serving in sorted(slots.models.items())}
        return JsonResponse(msgspec.json.encode({"releases": releases, "error": slots.poll_failure}))

    return [Route("/v1/poll", poll, methods=["POST"])]
