"""The fast path of a decision: requests that arrive whole in one turn of the event loop are decided as one batch.

A batch needs no task per request, one write to the log and one pass through the code of each step. Its requests are
decided, then recorded together, and only then answered. A request that has to wait for something is returned to its
connection, which answers it through ASGI (`serving.http.routes.scores`) with the same result.
"""

import asyncio
from collections import deque
from collections.abc import Sequence
from typing import Final

from serving.decisions.pending import PendingDecision
from serving.decisions.pipeline import Scoring
from serving.decisions.repeats import Key
from serving.errors import BodyTimeoutError, BodyTooLargeError
from serving.http.admission import Admission
from serving.http.answers import Answer
from serving.http.fast_path.whole_requests import WholeRequest
from serving.http.refusals import Refusals, refusal_of
from serving.telemetry.metrics import Metrics
from serving.wire.request_context import RequestContext

MOST_PER_TURN: Final = 16
"""Requests that are decided before other callbacks run: at about 40 us each, well below a millisecond."""


_Decided = tuple[WholeRequest, RequestContext, PendingDecision]


class TurnBatcher:
    """Decides whole requests once per turn of the event loop; not thread-safe.

    Parameters
    ----------
    max_body_bytes
        Longest body of one request.
    """

    def __init__(
        self, scoring: Scoring, admission: Admission, metrics: Metrics, refusals: Refusals, *, max_body_bytes: int
    ) -> None:
        self._scoring = scoring
        self._admission = admission
        self._metrics = metrics
        self._refusals = refusals
        self._max_body_bytes = max_body_bytes
        self._waiting: deque[WholeRequest] = deque()
        self._is_scheduled = False

    @property
    def waiting(self) -> int:
        """Requests that wait for the next turn."""
        return len(self._waiting)

    def submit(self, request: WholeRequest) -> None:
        """Decide a request in the next turn."""
        self._metrics.in_flight += 1
        self._waiting.append(request)
        if not self._is_scheduled:
            self._schedule()

    def _schedule(self) -> None:
        self._is_scheduled = True
        asyncio.get_running_loop().call_soon(self._decide_batch)

    def _decide_batch(self) -> None:
        batch = [self._waiting.popleft() for _ in range(min(len(self._waiting), MOST_PER_TURN))]
        self._is_scheduled = False
        if self._waiting:
            self._schedule()
        self._metrics.in_flight -= len(batch)
        decided: dict[Key, _Decided] = {}
        for request in batch:
            self._decide(request, decided)
        if decided:
            self._record_and_reply(list(decided.values()))

    def _decide(self, request: WholeRequest, decided: dict[Key, _Decided]) -> None:
        """Add a request's decision to `decided`, or reply at once."""
        context = None
        try:
            context = self._admission.admit_headers(request.headers, request.arrival, "score")
            if request.disconnected:
                raise BodyTimeoutError("Expected the caller to wait for its answer, but the connection was closed")
            if len(request.body) > self._max_body_bytes:
                raise BodyTooLargeError(f"Expected at most {self._max_body_bytes} bytes")
            decision = self._scoring.attempt(request.model, request.body, context)
        except Exception as error:
            request.reply(self._refusals.answer(refusal_of(error), request.model, context))
            return
        if isinstance(decision, bytes):
            request.reply(Answer(200, decision))
        elif decision is None or decision.key in decided:
            # The second request with one decision id in a batch finds the first one's answer by the time its task runs.
            request.reply(None)
        else:
            decided[decision.key] = request, context, decision

    def _record_and_reply(self, batch: Sequence[_Decided]) -> None:
        try:
            self._scoring.record([decision for _, _, decision in batch])
        except Exception as error:
            refusal = refusal_of(error)
            for request, context, _ in batch:
                request.reply(self._refusals.answer(refusal, request.model, context))
            return
        for request, context, decision in batch:
            try:
                answer = Answer(200, self._scoring.finish(decision))
            except Exception as error:
                answer = self._refusals.answer(refusal_of(error), request.model, context)
            request.reply(answer)
