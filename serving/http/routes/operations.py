"""``POST /v1/poll``: what an operator may ask of a running server."""

import asyncio
from collections.abc import Callable

from fastapi import APIRouter

from serving.http.descriptions import Body, errors
from serving.slots.slots import Slots


class Poll(Body):
    """The releases in force after a poll, by model; `error` says why the release store could not be read.

    `promotion_holds` names the rollback of each model whose automatic promotion waits for a person.
    """

    releases: dict[str, int]
    promotion_holds: dict[str, int]
    error: str | None


def operations_router(slots: Slots, look: Callable[[], None]) -> APIRouter:
    """The route; `look` reads the release store and the API keys on the calling thread."""
    router = APIRouter(tags=["operations"], responses=errors(401, 403))
    turn = asyncio.Lock()

    @router.post("/v1/poll", operation_id="poll", summary="Read the release store and the API keys now")
    async def poll() -> Poll:
        # One at a time: polls of a store that hangs would occupy every thread, and `/metrics` needs one.
        async with turn:
            await asyncio.to_thread(look)
        releases = {model: serving.held.release.number for model, serving in sorted(slots.models.items())}
        holds = {model: status.hold.number for model, status in sorted(slots.statuses.items()) if status.hold}
        return Poll(releases=releases, promotion_holds=holds, error=slots.poll_failure)

    return router
