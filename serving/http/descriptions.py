"""What routes share in FastAPI's OpenAPI document: bodies of errors, headers, path parameters, msgspec schemas."""

from collections.abc import Iterable
from typing import Annotated, Any, Final

import msgspec
from pydantic import BaseModel, Field, WithJsonSchema

from serving.http.errors import STATUSES

JSON: Final = "application/json"
REFERENCE: Final = "#/components/schemas/{name}"
ERROR_KINDS: Final = ("Http", *sorted(error.__name__.removesuffix("Error") for error in STATUSES))
"""Every kind of error; ``Http`` is what the framework refuses: an unknown path, another method."""

_STATUS_TEXTS: Final = {
    401: "No valid API key came with the request.",
    403: "The API key lacks the scope that this route needs.",
    404: "No release names this model, or the release in force has another number than the path.",
    408: "The body did not arrive in time.",
    409: "The decision_id was used before, for another request.",
    413: "The body is longer than the server reads.",
    415: "The route does not read this media type, or the body is compressed.",
    422: "The body or a header does not match the schema.",
    429: "Too many requests are in flight; retry after Retry-After.",
    500: "The model gave no score, or the server failed.",
    503: "Not ready, out of time, or the decision cannot be recorded; retry after Retry-After.",
}
DECISION_ERRORS: Final = frozenset(STATUSES.values())
"""Every status with which a route that decides may refuse."""


class Body(BaseModel, extra="forbid"):
    """A JSON object with these keys and no others."""


_ErrorKind = Annotated[str, Field(json_schema_extra={"enum": list(ERROR_KINDS)}, description="Kind of the error.")]


class ErrorDetail(Body):
    """What was wrong."""

    kind: _ErrorKind
    message: Annotated[str, Field(description="What was expected; never holds what was sent.")]
    path: Annotated[str | None, Field(description="JSON path of the fault in the request.")]


class Error(Body):
    """Body of an error of the native routes."""

    error: ErrorDetail


class InferenceError(Body):
    """Body of an error of the Open Inference Protocol."""

    error: Annotated[str, Field(description="What was expected, and where.")]


class InvocationError(Body):
    """Body of an error of MLflow's protocol."""

    error_code: _ErrorKind
    message: Annotated[str, Field(description="What was expected, and where.")]


def errors(*statuses: int, body: type[Body] = Error) -> dict[int | str, dict[str, Any]]:
    """FastAPI's ``responses`` of a route that may refuse with these statuses."""
    return {status: {"model": body, "description": _STATUS_TEXTS[status]} for status in sorted(statuses)}


def content(schema: dict[str, Any], kind: str = JSON) -> dict[str, Any]:
    """A body of one media type.

    Examples
    --------
    >>> content({"type": "string"}, "text/csv")
    {'text/csv': {'schema': {'type': 'string'}}}
    """
    return {kind: {"schema": schema}}


def success(body: dict[str, Any]) -> dict[int | str, dict[str, Any]]:
    """FastAPI's ``responses`` of a route that answers with a body of the media types in `body`."""
    return {200: {"content": body}}


def text(kind: str) -> dict[int | str, dict[str, Any]]:
    """FastAPI's ``responses`` of a route that answers with text; its errors are JSON nevertheless.

    FastAPI would document them as text, too, if the route had a text response class.
    """
    return success(content({"type": "string"}, kind))


def reference(name: str) -> dict[str, str]:
    """The schema of a component."""
    return {"$ref": REFERENCE.format(name=name)}


def extra(*parameters: dict[str, Any], body: dict[str, Any] | None = None, is_open: bool = False) -> dict[str, Any]:
    """FastAPI's ``openapi_extra`` of a route.

    Parameters
    ----------
    parameters
        What the route reads by itself from the path and the headers.
    body
        Content of a request body that the route reads by itself, by media type.
    is_open
        Whether the route needs no API key.
    """
    described: dict[str, Any] = {"parameters": list(parameters)} if parameters else {}
    if body is not None:
        described["requestBody"] = {"required": True, "content": body}
    return described | ({"security": []} if is_open else {})


def as_schema(struct: type[msgspec.Struct]) -> WithJsonSchema:
    """Annotates builtins in a Pydantic model with the schema of the msgspec struct that they were made from."""
    return WithJsonSchema(components([struct])[struct.__name__])


def components(structs: Iterable[Any]) -> dict[str, Any]:
    """Schemas of msgspec structs by name, for the document's components."""
    return msgspec.json.schema_components(structs, ref_template=REFERENCE)[1]


def _parameter(name: str, place: str, description: str, schema: dict[str, Any]) -> dict[str, Any]:
    return {"name": name, "in": place, "required": place == "path", "description": description, "schema": schema}


MODEL: Final = _parameter("model", "path", "Name of a model.", {"type": "string"})
VERSION: Final = _parameter(
    "version", "path", "Number of the release in force; every other number is refused.", {"type": "string"}
)
HEADER_LENGTH: Final = _parameter(
    "Inference-Header-Content-Length",
    "header",
    "Bytes of JSON before the binary data; without this header the whole body is JSON.",
    {"type": "integer", "minimum": 0, "maximum": 9_999_999_999},
)
DECISION_HEADERS: Final = (
    _parameter(
        "X-Timeout-Ms",
        "header",
        "Milliseconds the caller waits; at most the server's own limit.",
        {"type": "integer", "minimum": 1, "maximum": 999_999_999},
    ),
    _parameter(
        "X-Explain", "header", "Asks for reasons whatever the decision is.", {"type": "string", "enum": ["always"]}
    ),
    _parameter(
        "traceparent",
        "header",
        "W3C trace context; the trace id is recorded with the decision.",
        {"type": "string"},
    ),
)
