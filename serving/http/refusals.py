"""Requests that get no decision: mapped to a domain error, counted, recorded and answered."""

import logging

from serving.decisions.rejections import Rejections
from serving.errors import DeadlineExceededError, OverloadedError, RequestError, ScoringFailedError
from serving.http.answers import Answer
from serving.http.errors import STATUSES, error_answer, internal_error
from serving.slots.slots import Slots
from serving.telemetry.metrics import Metrics
from serving.wire.request_context import RequestContext

logger = logging.getLogger(__name__)


def refusal_of(error: Exception) -> RequestError:
    """The domain error that a caller sees; an unexpected error is logged and becomes an `InternalError`."""
    if isinstance(error, RequestError):
        return error
    logger.error("a request failed", exc_info=error)
    return internal_error()


class Refusals:
    """Counts and records refused requests."""

    def __init__(self, metrics: Metrics, rejections: Rejections, slots: Slots) -> None:
        self._metrics = metrics
        self._rejections = rejections
        self._slots = slots

    def record(self, error: RequestError, model: str | None, context: RequestContext | None) -> None:
        """Count and record a refusal; the record names only a model that has a release."""
        if isinstance(error, OverloadedError):
            self._metrics.shed("capacity")
        elif isinstance(error, DeadlineExceededError):
            self._metrics.shed("deadline")
        self._metrics.failed(error.kind)
        if not isinstance(error, ScoringFailedError):
            # A score that failed already has a decision record.
            known_model = model if model in self._slots.statuses else None
            self._rejections.add(error, STATUSES[type(error)], known_model, context)

    def answer(self, error: RequestError, model: str, context: RequestContext | None) -> Answer:
        """Record a refusal and return its answer in this server's own form."""
        self.record(error, model, context)
        return error_answer(error)
