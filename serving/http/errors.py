"""Maps domain errors to HTTP statuses, and to each protocol's error body."""

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
from serving.http.answers import Answer

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

Form = Callable[[str, str, str | None], bytes]
"""Encodes an error body from the error's kind, message and JSON path in the request."""
_MLFLOW_PATHS: Final = frozenset({"/invocations", "/ping", "/health", "/version"})

_PHRASES: Final = {404: "Expected an existing path", 405: "Expected another method for this path"}


class JsonResponse(Response):
    """A response whose body is already encoded as JSON."""

    media_type = "application/json"


def own_form(kind: str, message: str, path: str | None) -> bytes:
    """Error body of this server's own routes."""
    return msgspec.json.encode({"error": {"kind": kind, "message": message, "path": path}})


def inference_form(_kind: str, message: str, path: str | None) -> bytes:
    """Error body of the Open Inference Protocol."""
    return msgspec.json.encode({"error": _with_path(message, path)})


def invocation_form(kind: str, message: str, path: str | None) -> bytes:
    """Error body of MLflow's scoring server."""
    return msgspec.json.encode({"error_code": kind, "message": _with_path(message, path)})


def form_of(path: str) -> Form:
    """The error form for a path, whether or not the path exists.

    Examples
    --------
    >>> form_of("/v2/models/m/infer")("InvalidRequest", "Expected UTF-8", "$")
    b'{"error":"Expected UTF-8 - at `$`"}'
    """
    if path == "/v2" or path.startswith("/v2/"):
        return inference_form
    return invocation_form if path in _MLFLOW_PATHS else own_form


def error_answer(error: RequestError, form: Form = own_form) -> Answer:
    """The answer to a domain error."""
    status = STATUSES[type(error)]
    return Answer(status, form(error.kind, error.message, error.path), _headers(status))


def error_response(error: RequestError, form: Form = own_form) -> Response:
    """The answer to a domain error as a response of the framework."""
    status, body, headers = error_answer(error, form)
    return JsonResponse(body, status, headers)


def internal_error() -> InternalError:
    """The error that a caller gets for an unexpected failure; it reveals nothing of the cause."""
    return InternalError("Expected an answer, but this server failed")


async def http_error(request: Request, error: Exception) -> Response:
    """The response to a request that the framework itself refuses: unknown path, wrong method."""
    status = error.status_code if isinstance(error, HTTPException) else 500
    headers = error.headers if isinstance(error, HTTPException) else None
    message = _PHRASES.get(status, "Expected a request that this server understands")
    return JsonResponse(form_of(request.scope["path"])("Http", message, None), status, headers)


async def unexpected_error(request: Request, _error: Exception) -> Response:
    """The response to an unexpected failure; the framework raises the error again, so that it is logged."""
    return error_response(internal_error(), form_of(request.scope["path"]))


def _with_path(message: str, path: str | None) -> str:
    return message if path is None else f"{message} - at `{path}`"


def _headers(status: int) -> dict[str, str]:
    """Headers that a status requires."""
    if status in {429, 503}:
        return {"retry-after": str(RETRY_AFTER_SECONDS)}
    return {"www-authenticate": "Bearer"} if status == 401 else {}
