"""What can go wrong with a request; these errors know nothing of HTTP (`serving.api.errors` maps them to statuses).

A message names what was expected and where. It never holds anything the caller sent: not a value, nor the name of an
unknown key, nor the name of an unknown model.
"""


class RequestError(Exception):
    """A request that gets no decision; `path` is the JSON path of the fault where there is one."""

    def __init__(self, message: str, path: str | None = None) -> None:
        super().__init__(message)
        self.message = message
        self.path = path

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


class DecisionConflictError(RequestError):
    """The decision id was used before, for another request."""


class LogUnavailableError(RequestError):
    """The decision cannot be recorded, and so is not given."""


class ScoringFailedError(RequestError):
    """The model gave no score; recorded as an error."""
