"""The one table from domain errors to HTTP statuses, and the body that every error has."""

from typing import Final

import msgspec
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response

from serving.errors import (
    BodyTooLargeError,
    DecisionConflictError,
    InvalidRequestError,
    LogUnavailableError,
    ModelNotReadyError,
    ReleaseNotInForceError,
    RequestError,
    ScoringFailedError,
    UnknownModelError,
    UnsupportedMediaTypeError,
)

STATUSES: Final[dict[type[RequestError], int]] = {
    ReleaseNotInForceError: 404,
    UnknownModelError: 404,
    DecisionConflictError: 409,
    BodyTooLargeError: 413,
    UnsupportedMediaTypeError: 415,
    InvalidRequestError: 422,
    ScoringFailedError: 500,
    LogUnavailableError: 503,
    ModelNotReadyError: 503,
}

RETRY_AFTER_SECONDS: Final = 1

_PHRASES: Final = {404: "Expected a path of this server", 405: "Expected another method for this path"}


class JsonResponse(Response):
    """A body that is JSON already."""

    media_type = "application/json"


def error_body(kind: str, message: str, path: str | None = None) -> bytes:
    """The body of every error: what kind, what was expected, and where in the request's JSON."""
    return msgspec.json.encode({"error": {"kind": kind, "message": message, "path": path}})


def error_response(error: RequestError) -> Response:
    """The response to a domain error; a 503 says when to come back."""
    status = STATUSES[type(error)]
    headers = {"Retry-After": str(RETRY_AFTER_SECONDS)} if status == 503 else None
    return JsonResponse(error_body(error.kind, error.message, error.path), status, headers)


async def http_error(_request: Request, error: Exception) -> Response:
    """The response to what the framework refuses by itself: an unknown path, another method."""
    status = error.status_code if isinstance(error, HTTPException) else 500
    headers = error.headers if isinstance(error, HTTPException) else None
    message = _PHRASES.get(status, "Expected a request that this server understands")
    return JsonResponse(error_body("Http", message), status, headers)


async def unexpected_error(_request: Request, _error: Exception) -> Response:
    """The response to a fault of this server; the framework raises it again for the log."""
    return JsonResponse(error_body("Internal", "Expected to answer, but this server failed"), 500)
