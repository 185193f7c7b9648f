"""The one table from domain errors to HTTP statuses, and the body that every error has."""

from collections.abc import Callable
from typing import Final

import msgspec
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response

from serving.errors import (
    BodyTimeoutError,
    BodyTooLargeError,
    DeadlineExceededError,
    DecisionConflictError,
    ForbiddenError,
    InternalError,
    InvalidRequestError,
    LogUnavailableError,
    ModelNotReadyError,
    OverloadedError,
    ReleaseNotInForceError,
    RequestError,
    ScoringFailedError,
    UnauthorizedError,
    UnknownModelError,
    UnsupportedMediaTypeError,
)

STATUSES: Final[dict[type[RequestError], int]] = {
    UnauthorizedError: 401,
    ForbiddenError: 403,
    ReleaseNotInForceError: 404,
    UnknownModelError: 404,
    BodyTimeoutError: 408,
    DecisionConflictError: 409,
    BodyTooLargeError: 413,
    UnsupportedMediaTypeError: 415,
    InvalidRequestError: 422,
    OverloadedError: 429,
    InternalError: 500,
    ScoringFailedError: 500,
    DeadlineExceededError: 503,
    LogUnavailableError: 503,
    ModelNotReadyError: 503,
}

RETRY_AFTER_SECONDS: Final = 1

_PHRASES: Final = {404: "Expected a path of this server", 405: "Expected another method for this path"}


class JsonResponse(Response):
    """A body that is JSON already."""

    media_type = "application/json"


def error_body(error: RequestError) -> bytes:
    """The body of the answer to a domain error."""
    return _body(error.kind, error.message, error.path)


def error_answer(
    error: RequestError, body_of: Callable[[RequestError], bytes] = error_body
) -> tuple[int, bytes, dict[str, str]]:
    """Status, body and headers of the answer to a domain error; `body_of` where a protocol has its own form of it."""
    status = STATUSES[type(error)]
    return status, body_of(error), _headers(status)


def error_response(error: RequestError, body_of: Callable[[RequestError], bytes] = error_body) -> Response:
    """The same as a response of the framework."""
    status, body, headers = error_answer(error, body_of)
    return JsonResponse(body, status, headers)


async def request_error(_request: Request, error: Exception) -> Response:
    """The response to a domain error that a route let through."""
    if not isinstance(error, RequestError):
        raise error
    return error_response(error)


def internal_error() -> InternalError:
    """What a caller is told of a fault of this server: nothing of it."""
    return InternalError("Expected to answer, but this server failed")


async def http_error(_request: Request, error: Exception) -> Response:
    """The response to what the framework refuses by itself: an unknown path, another method."""
    status = error.status_code if isinstance(error, HTTPException) else 500
    headers = error.headers if isinstance(error, HTTPException) else None
    message = _PHRASES.get(status, "Expected a request that this server understands")
    return JsonResponse(_body("Http", message), status, headers)


async def unexpected_error(_request: Request, _error: Exception) -> Response:
    """The response to a fault of this server; the framework raises it again for the log."""
    return error_response(internal_error())


def _body(kind: str, message: str, path: str | None = None) -> bytes:
    """The body of every error: what kind, what was expected, and where in the request's JSON."""
    return msgspec.json.encode({"error": {"kind": kind, "message": message, "path": path}})


def _headers(status: int) -> dict[str, str]:
    """What a status needs beside its body: when to come back, or how to identify oneself."""
    if status in {429, 503}:
        return {"retry-after": str(RETRY_AFTER_SECONDS)}
    return {"www-authenticate": "Bearer"} if status == 401 else {}
