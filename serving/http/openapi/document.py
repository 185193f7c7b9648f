"""The OpenAPI document: every route, with the input schema of each model as it is served now."""

from typing import Any, Final

import msgspec

from serving.contract.documents import Reason
from serving.http.openapi.parts import (
    DECISION_ERRORS,
    DECISION_HEADERS,
    JSON,
    KEY_ERRORS,
    REFERENCE,
    array_of,
    content,
    model_parameter,
    object_of,
    operation,
    reference,
)
from serving.http.openapi.protocols import mlflow_paths, open_inference_paths, protocol_schemas
from serving.slots.slots import Servable, Slots
from serving.wire.score_request import example_request
from serving.wire.score_response import ScoreResponse

_TAGS: Final = {
    "score": "Decisions, with the schema of each model.",
    "models": "What is served, in which state, and what a request needs.",
    "open inference protocol": "Version 2, as KServe and Triton speak it: a tensor for each feature and each of "
    "`decision_id`, `transaction_id`, `entity_key` and `occurred_at`. Decided and recorded as by the routes above.",
    "mlflow": "The protocol of MLflow's scoring server: a column for each feature and each of `decision_id`, "
    "`transaction_id`, `entity_key` and `occurred_at`. Decided and recorded as by the routes above.",
    "health": "For load balancers and orchestrators; no key needed.",
    "operations": "Metrics, this document, and a look at the store at once.",
}

_ERROR: Final = object_of(
    {
        "error": {
            "type": "object",
            "required": ["kind", "message", "path"],
            "properties": {
                "kind": {"type": "string", "description": "What kind of error it is, in one word."},
                "message": {"type": "string", "description": "What was expected; never holds what was sent."},
                "path": {"type": ["string", "null"], "description": "JSON path of the fault in the request."},
            },
        }
    }
)


def openapi_document(slots: Slots, max_batch: int, *, has_keys: bool) -> dict[str, Any]:
    """The document as OpenAPI 3.1: routes that decide with each served model, and those that describe and operate."""
    _, schemas = msgspec.json.schema_components([ScoreResponse, Reason], ref_template=REFERENCE)
    schemas["Error"] = _ERROR
    schemas |= protocol_schemas()
    paths: dict[str, Any] = {}
    for model, serving in sorted(slots.models.items()):
        schemas |= serving.champion.reader.schema_components(f"{model}_", REFERENCE)
        paths |= _score_paths(model, serving.champion, max_batch)
    paths |= _plain_paths(slots)
    paths |= open_inference_paths(slots)
    paths |= mlflow_paths(slots)
    document: dict[str, Any] = {
        "openapi": "3.1.0",
        "info": {
            "title": "Risk model server",
            "version": "1",
            "description": "Decides transactions with the models that are released now; every decision is recorded "
            "before it is answered.",
        },
        "tags": [{"name": name, "description": description} for name, description in _TAGS.items()],
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


def _score_paths(model: str, champion: Servable, max_batch: int) -> dict[str, Any]:
    example = example_request(champion.model.bundle.deciding.features)
    one = reference(f"{model}_ScoreRequest")
    answer = reference("ScoreResponse")
    # The routes read JSON whatever the content type says, and so refuse none.
    errors = DECISION_ERRORS - {415}
    path = f"/v1/models/{model}/score"
    return {
        path: {
            "post": operation(
                f"Decide one request with {model}",
                "score",
                content(answer),
                errors,
                parameters=DECISION_HEADERS,
                body=content(one, example=example),
                operation_id=f"score_{model}",
                decided="The decision, recorded",
            )
        },
        f"{path}/batch": {
            "post": operation(
                f"Decide up to {max_batch} requests with {model}: all are valid, or none is decided",
                "score",
                content(object_of({"responses": array_of(answer)})),
                errors,
                parameters=DECISION_HEADERS,
                body=content(
                    object_of({"requests": array_of(one, minItems=1, maxItems=max_batch)}),
                    example={"requests": [example]},
                ),
                operation_id=f"score_batch_{model}",
                decided="The decisions, recorded, in the order of the requests",
            )
        },
    }


def _plain_paths(slots: Slots) -> dict[str, Any]:
    described: tuple[tuple[str, str, str, str, tuple[int, ...]], ...] = (
        (
            "/v1/models",
            "models",
            "Every model with its slots, their states, and why a newer one does not serve",
            JSON,
            (),
        ),
        ("/v1/models/{model}", "models", "One model with its features and an example request", JSON, (404, 503)),
        ("/metrics", "operations", "Metrics in Prometheus's text format", "text/plain", ()),
        ("/openapi.json", "operations", "This document", JSON, ()),
        ("/docs", "operations", "This document, to read", "text/html", ()),
    )
    paths: dict[str, Any] = {
        path: {
            "get": operation(
                summary,
                tag,
                content(kind=kind),
                (*KEY_ERRORS, *errors),
                parameters=[model_parameter(slots.models)] if "{model}" in path else (),
            )
        }
        for path, tag, summary, kind, errors in described
    }
    look = "Look at the release store and the API keys now instead of at the next turn"
    paths["/v1/poll"] = {"post": operation(look, "operations", content(), KEY_ERRORS)}
    paths["/healthz"] = {"get": operation("Whether the process lives", "health", content(), is_open=True)}
    ready = operation("Whether the server should get traffic, and why not", "health", content(), is_open=True)
    ready["responses"]["503"] = {"description": "Not ready; the body says why.", "content": content()}
    paths["/readyz"] = {"get": ready}
    return paths
