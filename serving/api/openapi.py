"""The OpenAPI document: every route, with the input schema of each model as it is served now."""

from collections.abc import Mapping
from typing import Any, Final

import msgspec

from serving.api.errors import STATUSES
from serving.contract import Reason
from serving.recent import ScoreResponse
from serving.score_request import example_request
from serving.slots import Deployed, Slots

_REF: Final = "#/components/schemas/{name}"

ERROR_SCHEMA: Final[dict[str, Any]] = {
    "type": "object",
    "required": ["error"],
    "properties": {
        "error": {
            "type": "object",
            "required": ["kind", "message", "path"],
            "properties": {
                "kind": {"type": "string", "description": "What kind of error it is, in one word."},
                "message": {"type": "string", "description": "What was expected; never holds what was sent."},
                "path": {"type": ["string", "null"], "description": "JSON path of the fault in the request."},
            },
        }
    },
}

_STATUS_TEXTS: Final = {
    401: "No valid API key came with the request.",
    403: "The API key lacks the scope that this needs.",
    404: "No release names this model.",
    405: "The path has other methods.",
    408: "The body did not arrive in time.",
    409: "The decision_id was used before, for another request.",
    413: "The body is longer than the server reads.",
    415: "The body is of a kind that the route does not read.",
    422: "The body or a header is not what the schema asks for.",
    429: "Too many requests are in flight; come back after Retry-After.",
    500: "The model gave no score, or the server failed.",
    503: "Not ready, out of time, or the decision cannot be recorded; come back after Retry-After.",
}

_PARAMETERS: Final[list[dict[str, Any]]] = [
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
]


def openapi_document(slots: Slots, max_batch: int, *, has_keys: bool) -> dict[str, Any]:
    """The document as OpenAPI 3.1: score routes of each served model, and the routes that describe and operate."""
    _, schemas = msgspec.json.schema_components([ScoreResponse, Reason], ref_template=_REF)
    schemas["Error"] = ERROR_SCHEMA
    paths: dict[str, Any] = {}
    for model, serving in sorted(slots.models.items()):
        paths |= _score_paths(model, serving.champion, schemas, max_batch)
    paths |= _plain_paths()
    document: dict[str, Any] = {
        "openapi": "3.1.0",
        "info": {
            "title": "Risk model server",
            "version": "1",
            "description": "Decides transactions with the models that are released now; every decision is recorded "
            "before it is answered.",
        },
        "paths": paths,
        "components": {"schemas": schemas},
    }
    if has_keys:
        document["components"]["securitySchemes"] = {
            "key": {"type": "apiKey", "in": "header", "name": "X-Api-Key"},
            "bearer": {"type": "http", "scheme": "bearer"},
        }
        document["security"] = [{"key": []}, {"bearer": []}]
    return document


def _score_paths(model: str, champion: Deployed, schemas: dict[str, Any], max_batch: int) -> dict[str, Any]:
    schemas |= champion.reader.schema_components(f"{model}_", _REF)
    example = example_request(champion.model.bundle.deciding.features)
    one = {"$ref": _REF.format(name=f"{model}_ScoreRequest")}
    answer = {"$ref": _REF.format(name="ScoreResponse")}
    batch = _object("requests", {"type": "array", "items": one, "minItems": 1, "maxItems": max_batch})
    path = f"/v1/models/{model}/score"
    return {
        path: {"post": _score_operation(f"Decide one request with {model}", f"score_{model}", one, example, answer)},
        f"{path}/batch": {
            "post": _score_operation(
                f"Decide up to {max_batch} requests with {model}: all are valid, or none is decided",
                f"score_batch_{model}",
                batch,
                {"requests": [example]},
                _object("responses", {"type": "array", "items": answer}),
            )
        },
    }


def _score_operation(
    summary: str, operation_id: str, body: dict[str, Any], example: Any, answer: dict[str, Any]
) -> dict[str, Any]:
    return {
        "summary": summary,
        "operationId": operation_id,
        "tags": ["score"],
        "parameters": _PARAMETERS,
        "requestBody": {"required": True, "content": {"application/json": {"schema": body, "example": example}}},
        "responses": {"200": _json_response("The decision, recorded.", answer)}
        | {str(status): _error_response(status) for status in sorted({*STATUSES.values()} - {415})},
    }


def _plain_paths() -> dict[str, Any]:
    described: tuple[tuple[str, str, str, dict[int, None] | None], ...] = (
        ("/v1/models", "models", "Every model with its slots, their states, and why a newer one does not serve", {}),
        ("/v1/models/{model}", "models", "One model with its features and an example request", {404: None, 503: None}),
        ("/healthz", "health", "Whether the process lives", None),
        ("/readyz", "health", "Whether the server should get traffic, and why not", {503: None}),
        ("/metrics", "operations", "Metrics in Prometheus's text format", {}),
        ("/openapi.json", "operations", "This document", {}),
        ("/docs", "operations", "This document, to read", {}),
    )
    paths: dict[str, Any] = {}
    for path, tag, summary, errors in described:
        kind = {"/metrics": "text/plain", "/docs": "text/html"}.get(path, "application/json")
        responses: dict[str, Any] = {"200": {"description": summary, "content": {kind: {}}}}
        operation: dict[str, Any] = {"summary": summary, "tags": [tag], "responses": responses}
        if errors is None or path == "/readyz":
            operation["security"] = []
        else:
            responses |= {str(status): _error_response(status) for status in (401, 403)}
        if path == "/readyz":
            responses["503"] = {"description": "Not ready; the body says why.", "content": {"application/json": {}}}
        else:
            responses |= {str(status): _error_response(status) for status in errors or {}}
        if "{model}" in path:
            operation["parameters"] = [{"name": "model", "in": "path", "required": True, "schema": {"type": "string"}}]
        paths[path] = {"get": operation}
    paths["/v1/poll"] = {
        "post": {
            "summary": "Look at the release store and the API keys now instead of at the next turn",
            "tags": ["operations"],
            "responses": {"200": {"description": "Looked at.", "content": {"application/json": {}}}}
            | {str(status): _error_response(status) for status in (401, 403)},
        }
    }
    return paths


def _object(name: str, schema: Mapping[str, Any]) -> dict[str, Any]:
    return {"type": "object", "required": [name], "properties": {name: schema}, "additionalProperties": False}


def _json_response(description: str, schema: dict[str, Any]) -> dict[str, Any]:
    return {"description": description, "content": {"application/json": {"schema": schema}}}


def _error_response(status: int) -> dict[str, Any]:
    return _json_response(_STATUS_TEXTS[status], {"$ref": _REF.format(name="Error")})
