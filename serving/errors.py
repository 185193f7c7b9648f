"""What can go wrong with a request; these errors know nothing of HTTP (`serving.http.errors` maps them to statuses).

A message names what was expected and where. It never holds anything the caller sent: not a value, nor the name of an
unknown key, nor the name of an unknown model.
"""


class RequestError(Exception):
    """A request that gets no decision.

    `path` is the JSON path of the fault where there is one, `decision_id` the request's where it was read.
    """

    def __init__(self, message: str, path: str | None = None, *, decision_id: str | None = None) -> None:
        super().__init__(message)
        self.message = message
        self.path = path
        self.decision_id = decision_id

    @property
    def kind(self) -> str:
        """What kind of error this is, in one word."""
        return type(self).__name__.removesuffix("Error")


class UnknownModelError(RequestError):
    """No release names this model."""


class ReleaseNotInForceError(RequestError):
    """The request asks for a release that is not the one in force."""


class ModelNotReadyError(RequestError):
    """The model is released, but no bundle of it could be loaded yet."""


class InvalidRequestError(RequestError):
    """The body is not what the model's schema asks for."""


class UnsupportedMediaTypeError(RequestError):
    """The body is of a kind that the route does not read."""


class BodyTooLargeError(RequestError):
    """The body is longer than this server reads."""


class BodyTimeoutError(RequestError):
    """The body did not arrive in time."""


class DecisionConflictError(RequestError):
    """The decision id was used before, for another request."""


class OverloadedError(RequestError):
    """As many requests are in flight as this server takes; refused before any work."""


class DeadlineExceededError(RequestError):
    """The time that the caller or this server allows was over before there was a decision."""


class LogUnavailableError(RequestError):
    """The decision cannot be recorded, and so is not given."""


class ScoringFailedError(RequestError):
    """The model gave no score; recorded as an error."""


class InternalError(RequestError):
    """A fault of this server."""


class UnauthorizedError(RequestError):
    """No valid API key came with the request."""


class ForbiddenError(RequestError):
    """The API key is valid, but not for this."""
