"""Pieces that OpenAPI documents are made of: references, media, operations with their errors, the headers they take."""

from collections.abc import Iterable, Mapping
from typing import Any, Final

from serving.http.errors import STATUSES

JSON: Final = "application/json"
REFERENCE: Final = "#/components/schemas/{name}"
"""Where the schema of a name stands."""

_STATUS_TEXTS: Final = {
    401: "No valid API key came with the request.",
    403: "The API key lacks the scope that this needs.",
    404: "No release names this model, or the one in force has another number than the path.",
    408: "The body did not arrive in time.",
    409: "The decision_id was used before, for another request.",
    413: "The body is longer than the server reads.",
    415: "The body is of a kind that the route does not read.",
    422: "The body or a header is not what the schema asks for.",
    429: "Too many requests are in flight; come back after Retry-After.",
    500: "The model gave no score, or the server failed.",
    503: "Not ready, out of time, or the decision cannot be recorded; come back after Retry-After.",
}
KEY_ERRORS: Final = (401, 403)
"""What every route that asks for a key may answer."""
DECISION_ERRORS: Final = frozenset(STATUSES.values())
"""What a route that decides may answer."""

DECISION_HEADERS: Final[tuple[dict[str, Any], ...]] = (
    {
        "name": "X-Timeout-Ms",
        "in": "header",
        "required": False,
        "description": "Milliseconds the caller waits; at most the server's own limit.",
        "schema": {"type": "integer", "minimum": 1, "maximum": 999_999_999},
    },
    {
        "name": "X-Explain",
        "in": "header",
        "required": False,
        "description": "Asks for reasons whatever the decision is.",
        "schema": {"type": "string", "enum": ["always"]},
    },
    {
        "name": "traceparent",
        "in": "header",
        "required": False,
        "description": "W3C trace context; the trace id is recorded with the decision.",
        "schema": {"type": "string"},
    },
)


def operation(
    summary: str,
    tag: str,
    answer: Mapping[str, Any],
    errors: Iterable[int] = (),
    *,
    error: str = "Error",
    parameters: Iterable[Mapping[str, Any]] = (),
    body: Mapping[str, Any] | None = None,
    operation_id: str | None = None,
    decided: str | None = None,
    is_open: bool = False,
) -> dict[str, Any]:
    """One method of a path.

    Parameters
    ----------
    answer
        The content of status 200 by media type; see `content`.
    errors
        Statuses of the table that it may answer.
    error
        Name of the schema of their body.
    body
        The content of the request's body; ``None`` if it has none.
    decided
        What status 200 means; ``None`` where the summary says it.
    is_open
        Whether it needs no key where the others do.
    """
    made: dict[str, Any] = {"summary": summary, "tags": [tag]}
    if operation_id is not None:
        made["operationId"] = operation_id
    named = list(parameters)
    if named:
        made["parameters"] = named
    if body is not None:
        made["requestBody"] = {"required": True, "content": body}
    if is_open:
        made["security"] = []
    made["responses"] = {"200": {"description": f"{decided or summary}.", "content": answer}} | {
        str(status): {"description": _STATUS_TEXTS[status], "content": content(reference(error))}
        for status in sorted(errors)
    }
    return made


def content(schema: Mapping[str, Any] | None = None, kind: str = JSON, **more: Any) -> dict[str, Any]:
    """A body of one media type; `more` may be its ``example``.

    Examples
    --------
    >>> content({"type": "string"}, "text/plain", example="1.0")
    {'text/plain': {'schema': {'type': 'string'}, 'example': '1.0'}}
    """
    return {kind: ({} if schema is None else {"schema": schema}) | more}


def reference(name: str) -> dict[str, Any]:
    """The schema of a name, by reference."""
    return {"$ref": REFERENCE.format(name=name)}


def object_of(required: Mapping[str, Any], optional: Mapping[str, Any] | None = None) -> dict[str, Any]:
    """The schema of an object with these keys and no others."""
    return {
        "type": "object",
        "required": [*required],
        "properties": {**required, **(optional or {})},
        "additionalProperties": False,
    }


def array_of(schema: Mapping[str, Any], **bounds: int) -> dict[str, Any]:
    """The schema of a list."""
    return {"type": "array", "items": schema, **bounds}


def path_parameter(name: str, description: str, example: str | None) -> dict[str, Any]:
    """A part of a path that the caller fills in: a string; `example` is one that the server knows now, if any."""
    made = {"name": name, "in": "path", "required": True, "description": description, "schema": {"type": "string"}}
    return made if example is None else made | {"example": example}


def model_parameter(served: Iterable[str]) -> dict[str, Any]:
    """The part of a path that names a model."""
    return path_parameter("model", "A model that is served.", min(served, default=None))
