"""The short way of a decision: what came in one turn of the event loop is decided together, without a task for each.

A request takes it if it asks for one decision, came whole in one read, and nothing has to be waited for. Its records
leave in one write, and then the answers, so that the code of each step and the log's system call serve several
requests. Whatever is otherwise goes the usual way through ASGI (`serving.http.routes.scores`), which answers the same.
"""

import asyncio
import itertools
from typing import Any, Final

import msgspec

from serving.decisions.pipeline import PendingDecision
from serving.decisions.repeats import Key
from serving.errors import BodyTimeoutError, BodyTooLargeError, RequestError
from serving.http.errors import error_answer
from serving.http.fast_path.whole_requests import WholeRequest
from serving.http.refusals import refusal_of
from serving.http.targets import target
from serving.process.server import Server
from serving.wire.request_context import RequestContext

MOST_PER_TURN: Final = 16
"""Requests that are decided before other callbacks have their turn: at some 40 us each, well below a millisecond."""


class _Decided(msgspec.Struct, frozen=True, gc=False):
    request: WholeRequest
    context: RequestContext
    attempt: PendingDecision


class TurnBatcher:
    """The requests that wait for the next turn; for the event loop's thread alone.

    Parameters
    ----------
    max_body_bytes
        Longest body of one request.
    """

    def __init__(self, parts: Server, *, max_body_bytes: int) -> None:
        self._parts = parts
        self._scoring = parts.scoring
        self._max_body_bytes = max_body_bytes
        self._waiting: dict[WholeRequest, None] = {}
        self._is_scheduled = False

    @property
    def waiting(self) -> int:
        """How many requests wait."""
        return len(self._waiting)

    @staticmethod
    def model_of(scope: Any) -> str | None:
        """The model that a request asks for one decision, ``None`` for any other request."""
        found = target(scope)
        return None if found is None or found[1] else found[0]

    def add(self, request: WholeRequest) -> None:
        """Decide a request in the next turn."""
        self._parts.metrics.in_flight += 1
        self._waiting[request] = None
        if not self._is_scheduled:
            self._schedule()

    def withdraw(self, request: WholeRequest) -> None:
        """Do not decide a request that waits."""
        del self._waiting[request]
        self._parts.metrics.in_flight -= 1

    def _schedule(self) -> None:
        self._is_scheduled = True
        asyncio.get_running_loop().call_soon(self._turn)

    def _turn(self) -> None:
        turn = list(itertools.islice(self._waiting, MOST_PER_TURN))
        for request in turn:
            del self._waiting[request]
        self._is_scheduled = False
        if self._waiting:
            self._schedule()
        self._parts.metrics.in_flight -= len(turn)
        decided: dict[Key, _Decided] = {}
        for request in turn:
            self._attempt(request, decided)
        if decided:
            self._record(list(decided.values()))

    def _attempt(self, request: WholeRequest, decided: dict[Key, _Decided]) -> None:
        """Come as far with a request as its record, or answer it, or send it the usual way."""
        context = None
        try:
            context = self._parts.admission.admit_headers(request.headers, request.arrival, "score")
            if request.is_gone:
                raise BodyTimeoutError("Expected the caller to wait for its answer, but the connection was closed")
            if len(request.body) > self._max_body_bytes:
                raise BodyTooLargeError(f"Expected at most {self._max_body_bytes} bytes")
            attempt = self._scoring.attempt(request.model, request.body, context)
        except Exception as error:
            self._refuse(request, refusal_of(error), context)
            return
        if isinstance(attempt, bytes):
            request.answer(200, attempt)
        elif attempt is None or attempt.key in decided:
            # A decision id that came twice in one turn: the second one finds the answer of the first.
            request.fall_back_to_asgi()
        else:
            decided[attempt.key] = _Decided(request, context, attempt)

    def _record(self, decided: list[_Decided]) -> None:
        """Record all that was decided in one write, and only then answer."""
        try:
            self._scoring.record([each.attempt for each in decided])
        except Exception as error:
            refusal = refusal_of(error)
            for each in decided:
                self._refuse(each.request, refusal, each.context)
            return
        for each in decided:
            request = each.request
            try:
                content = self._scoring.finish(each.attempt)
            except Exception as error:
                self._refuse(request, refusal_of(error), each.context)
            else:
                request.answer(200, content)

    def _refuse(self, request: WholeRequest, refusal: RequestError, context: RequestContext | None) -> None:
        self._parts.refused(refusal, request.model, context)
        request.answer(*error_answer(refusal))
