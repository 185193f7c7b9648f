"""Errors of requests, independent of HTTP; `serving.http.errors` maps them to statuses.

A message names the expectation and the place. It never repeats input: no value, no name of an unknown key or model.
"""

import copy
import datetime as dt
from typing import Literal, Self

Fault = Literal["category", "null", "range", "type", "missing", "unknown_key", "form", "contradiction"]
"""How a request violates its model's schema: not one of the categories, null where none is allowed, outside the range,
of another type, a missing key, an unknown key, not a score request at all, or a value that contradicts the fields which
it follows from."""


class RequestError(Exception):
    """A request that gets no decision.

    `path` is the JSON path of the error, if it has one; `decision_id` is the request's, if it was read. `feature` is
    the feature of the schema, or the key of the envelope, at fault, and `fault` says how. The reader of the request
    sets `occurred_on`, the UTC day of the event, and `requests`, the number of decisions that are refused together.
    """

    def __init__(
        self,
        message: str,
        path: str | None = None,
        *,
        decision_id: str | None = None,
        feature: str | None = None,
        fault: Fault | None = None,
    ) -> None:
        super().__init__(message)
        self.message = message
        self.path = path
        self.decision_id = decision_id
        self.feature = feature
        self.fault = fault
        self.occurred_on: dt.date | None = None
        self.requests = 1

    def moved_to(self, path: str) -> Self:
        """The same error at another path: that of the form which the caller sent."""
        moved = copy.copy(self)
        moved.path = path
        return moved

    @property
    def kind(self) -> str:
        """Name of the error in answers, records and metrics."""
        return type(self).__name__.removesuffix("Error")


class UnknownModelError(RequestError):
    """No release contains this model."""


class ReleaseNotInForceError(RequestError):
    """The request asks for a release other than the one in force."""


class ModelNotReadyError(RequestError):
    """The model is released, but none of its bundles has been loaded yet."""


class InvalidRequestError(RequestError):
    """The body does not match the model's schema."""


class UnsupportedMediaTypeError(RequestError):
    """The route does not accept the body's content type."""


class BodyTooLargeError(RequestError):
    """The body exceeds this server's limit."""


class BodyTimeoutError(RequestError):
    """The body did not arrive in time."""


class DecisionConflictError(RequestError):
    """The decision id was already used for a different request."""


class OverloadedError(RequestError):
    """The limit of requests in flight is reached; refused before any work."""


class DeadlineExceededError(RequestError):
    """The caller's or this server's time limit passed before the decision."""


class LogUnavailableError(RequestError):
    """The decision cannot be recorded and is therefore not returned."""


class ScoringFailedError(RequestError):
    """The model returned no score; the decision record holds the error."""


class InternalError(RequestError):
    """Unexpected failure of this server."""


class UnauthorizedError(RequestError):
    """The request has no valid API key."""


class ForbiddenError(RequestError):
    """The API key is valid but lacks the required scope."""
