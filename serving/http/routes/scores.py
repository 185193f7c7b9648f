"""``POST /v1/models/{model}/score`` and ``.../score/batch``: the way of a decision through the server.

Plain ASGI in front of the framework's router: its layers would take longer than the decision. The schema of both routes
is published with all others (`serving.http.openapi.document`).
"""

from typing import Any

from starlette.routing import Route

from serving.http.admission import read_body
from serving.http.answers import respond
from serving.http.errors import error_answer
from serving.http.refusals import refusal_of
from serving.http.targets import PREFIX
from serving.process.server import Server
from serving.wire.request_context import RequestContext


class ScoreRoutes:
    """Both routes; `is_batch` of `target` tells them apart.

    Parameters
    ----------
    max_body_bytes, max_batch_bytes
        Longest body of one request, and of a batch.
    """

    def __init__(self, parts: Server, *, max_body_bytes: int, max_batch_bytes: int) -> None:
        self._parts = parts
        self._admission = parts.admission
        self._metrics = parts.metrics
        self._scoring = parts.scoring
        self._limits = (max_body_bytes, max_batch_bytes)

    async def answer(self, model: str, scope: Any, receive: Any, send: Any, *, is_batch: bool) -> None:
        """Answer one request to either route, whatever happens."""
        context: RequestContext | None = None
        self._metrics.in_flight += 1
        try:
            context = self._admission.admit(scope, "score")
            body = await read_body(scope, receive, context, self._limits[is_batch])
            decide = self._scoring.answer_batch if is_batch else self._scoring.answer
            content = await decide(model, body, context)
        except Exception as error:
            refusal = refusal_of(error)
            self._parts.refused(refusal, model, context)
            await respond(send, *error_answer(refusal))
        else:
            await respond(send, 200, content)
        finally:
            self._metrics.in_flight -= 1


class _ScoreEndpoint:
    """One of the two routes as the router knows it: it answers other methods and whoever has no shortcut."""

    def __init__(self, scores: ScoreRoutes, *, is_batch: bool) -> None:
        self._scores = scores
        self._is_batch = is_batch

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        """Answer a request."""
        await self._scores.answer(scope["path_params"]["model"], scope, receive, send, is_batch=self._is_batch)


def score_routes(scores: ScoreRoutes) -> list[Route]:
    """Both routes for the framework's router."""
    path = f"{PREFIX}{{model}}/score"
    return [
        Route(path, _ScoreEndpoint(scores, is_batch=False), methods=["POST"]),
        Route(f"{path}/batch", _ScoreEndpoint(scores, is_batch=True), methods=["POST"]),
    ]
