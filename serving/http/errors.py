"""The one table from domain errors to HTTP statuses, and the form that each protocol gives the body of an error."""

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
"""Makes the body of an error of its kind, its message, and the place of the fault in the request."""
_MLFLOW_PATHS: Final = frozenset({"/invocations", "/ping", "/health", "/version"})

_PHRASES: Final = {404: "Expected a path of this server", 405: "Expected another method for this path"}


class JsonResponse(Response):
    """A body that is JSON already."""

    media_type = "application/json"


def own_form(kind: str, message: str, path: str | None) -> bytes:
    """The body of an error of this server's own routes: what kind, what was expected, where in the request's JSON."""
    return msgspec.json.encode({"error": {"kind": kind, "message": message, "path": path}})


def inference_form(_kind: str, message: str, path: str | None) -> bytes:
    """The same as the Open Inference Protocol has it."""
    return msgspec.json.encode({"error": _with_place(message, path)})


def invocation_form(kind: str, message: str, path: str | None) -> bytes:
    """The same as MLflow's scoring server has it."""
    return msgspec.json.encode({"error_code": kind, "message": _with_place(message, path)})


def form_of(path: str) -> Form:
    """The form of an error on a path, also on one that does not exist.

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
    """What a caller is told of a fault of this server: nothing of it."""
    return InternalError("Expected to answer, but this server failed")


async def http_error(request: Request, error: Exception) -> Response:
    """The response to what the framework refuses by itself: an unknown path, another method."""
    status = error.status_code if isinstance(error, HTTPException) else 500
    headers = error.headers if isinstance(error, HTTPException) else None
    message = _PHRASES.get(status, "Expected a request that this server understands")
    return JsonResponse(form_of(request.scope["path"])("Http", message, None), status, headers)


async def unexpected_error(request: Request, _error: Exception) -> Response:
    """The response to a fault of this server; the framework raises it again for the log."""
    return error_response(internal_error(), form_of(request.scope["path"]))


def _with_place(message: str, path: str | None) -> str:
    return message if path is None else f"{message} - at `{path}`"


def _headers(status: int) -> dict[str, str]:
    """What a status needs beside its body: when to come back, or how to identify oneself."""
    if status in {429, 503}:
        return {"retry-after": str(RETRY_AFTER_SECONDS)}
    return {"www-authenticate": "Bearer"} if status == 401 else {}
