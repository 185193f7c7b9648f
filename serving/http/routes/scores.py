"""``POST /v1/models/{model}/score`` and ``.../score/batch`` through ASGI.

Plain ASGI in front of the framework's router, whose layers would take longer than the decision.
"""

from typing import Any

from starlette.routing import Route

from serving.decisions.pipeline import Scoring
from serving.http.admission import Admission, read_body
from serving.http.answers import Answer, respond
from serving.http.refusals import Refusals, refusal_of
from serving.http.targets import PREFIX
from serving.telemetry.metrics import Metrics
from serving.wire.request_context import RequestContext


class ScoreRoutes:
    """Both routes; `is_batch` of `target` tells them apart.

    Parameters
    ----------
    max_body_bytes, max_batch_bytes
        Longest body of one request, and of a batch.
    """

    def __init__(
        self,
        scoring: Scoring,
        admission: Admission,
        metrics: Metrics,
        refusals: Refusals,
        *,
        max_body_bytes: int,
        max_batch_bytes: int,
    ) -> None:
        self._scoring = scoring
        self._admission = admission
        self._metrics = metrics
        self._refusals = refusals
        self._limits = (max_body_bytes, max_batch_bytes)

    async def answer(self, model: str, scope: Any, receive: Any, send: Any, *, is_batch: bool) -> None:
        """Answer one request to either route, with an error if it is refused or fails."""
        context: RequestContext | None = None
        self._metrics.in_flight += 1
        try:
            try:
                context = self._admission.admit(scope, "score")
                body = await read_body(scope, receive, context, self._limits[is_batch])
                decide = self._scoring.answer_batch if is_batch else self._scoring.answer
                answer = Answer(200, await decide(model, body, context))
            except Exception as error:
                answer = self._refusals.answer(refusal_of(error), model, context)
            await respond(scope, send, answer)
        finally:
            self._metrics.in_flight -= 1


class _ScoreEndpoint:
    """One of the two routes as the router knows it; the router itself answers other methods."""

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
