"""The OpenAPI document: FastAPI generates it from the routes; this module adds the schemas that FastAPI cannot know.

`contract` is the same for every server: features are a map from name to value. `served_document` narrows it to the
models that a server serves now.
"""

import copy
import csv
import io
from collections.abc import Sequence
from typing import Any, Final

from fastapi import APIRouter
from fastapi.openapi.utils import get_openapi
from starlette.routing import BaseRoute

from serving.contract.derivation import fields_of_request
from serving.http.descriptions import (
    DECISION_ERRORS,
    DECISION_HEADERS,
    JSON,
    MODEL,
    REFERENCE,
    components,
    content,
    errors,
    extra,
    reference,
    success,
)
from serving.protocols.mlflow.routes import CSV
from serving.protocols.mlflow.tables import InvocationRequest
from serving.protocols.open_inference.routes import carried_by, model_metadata
from serving.protocols.open_inference.tensors import InferenceRequest
from serving.slots.slots import ServedModel, Slots
from serving.wire.score_request import RequestReader, example_request
from serving.wire.score_response import ScoreResponse

_TAGS: Final = {
    "score": "Decisions.",
    "models": "The served models, their states, and what a request to each needs.",
    "open inference protocol": "Version 2, as KServe and Triton speak it: a tensor for each feature and each of "
    "`decision_id`, `transaction_id`, `entity_key` and `occurred_at`. Decided and recorded like native requests.",
    "mlflow": "The protocol of MLflow's scoring server: a column for each feature and each of `decision_id`, "
    "`transaction_id`, `entity_key` and `occurred_at`. Decided and recorded like native requests.",
    "health": "For load balancers and orchestrators; these routes need no key.",
    "operations": "Metrics, this document, and an immediate poll of the release store.",
}
_SECURITY: Final = {
    "key": {"type": "apiKey", "in": "header", "name": "X-Api-Key"},
    "bearer": {"type": "http", "scheme": "bearer"},
}
_FEATURES: Final = {
    "type": "object",
    "description": "A value for each feature of the model; null where it is missing.",
    "additionalProperties": {"type": ["number", "string", "null"]},
}
_SCORE: Final = "/v1/models/{model}/score"


def _list_of(name: str, key: str) -> dict[str, Any]:
    return {
        "type": "object",
        "required": [key],
        "properties": {key: {"type": "array", "items": reference(name)}},
        "additionalProperties": False,
    }


_SCHEMAS: Final = {
    **components([ScoreResponse, InferenceRequest, InvocationRequest]),
    **RequestReader(()).schema_components("", REFERENCE),
    "Features": _FEATURES,
    "ScoreBatch": _list_of("ScoreRequest", "requests"),
    "ScoreBatchResponse": _list_of("ScoreResponse", "responses"),
}


def _score_router() -> APIRouter:
    """Both scoring routes for the document alone: requests reach them in front of the router."""
    router = APIRouter(tags=["score"])
    one = ("score", "Decide one request", "ScoreRequest", "ScoreResponse")
    batch = ("score_batch", "Decide all requests of a batch, or none", "ScoreBatch", "ScoreBatchResponse")
    for path, (name, summary, request, response) in ((_SCORE, one), (f"{_SCORE}/batch", batch)):
        router.add_api_route(
            path,
            lambda: None,
            methods=["POST"],
            operation_id=name,
            summary=summary,
            response_description="Recorded decisions, in the order of the requests.",
            responses=success(content(reference(response))) | errors(*DECISION_ERRORS),
            openapi_extra=extra(MODEL, *DECISION_HEADERS, body=content(reference(request))),
        )
    return router


def contract(routes: Sequence[BaseRoute]) -> dict[str, Any]:
    """The document that holds for every server, as OpenAPI 3.1."""
    document = get_openapi(
        title="Risk model server",
        version="1",
        description="Decides transactions with the released models; every decision is recorded before it is answered.",
        routes=[*_score_router().routes, *routes],
        tags=[{"name": name, "description": description} for name, description in _TAGS.items()],
    )
    document["components"]["schemas"] |= _SCHEMAS
    document["components"]["securitySchemes"] = _SECURITY
    document["security"] = [{name: []} for name in _SECURITY]
    return document


def served_document(general: dict[str, Any], slots: Slots, max_batch: int, *, has_keys: bool) -> dict[str, Any]:
    """The contract `general`, narrowed to one server: its models with their features, its largest batch, its keys."""
    document = copy.deepcopy(general)
    schemas, paths = document["components"]["schemas"], document["paths"]
    schemas["ScoreBatch"]["properties"]["requests"] |= {"minItems": 1, "maxItems": max_batch}
    models = dict(sorted(slots.models.items()))
    for model, serving in models.items():
        schemas |= serving.champion.reader.schema_components(f"{model}_", REFERENCE)
        properties = schemas[f"{model}_Features"]["properties"]
        for name, text in serving.champion.model.bundle.manifest.descriptions.items():
            if name in properties:
                described = [text, properties[name].get("description")]
                properties[name] = properties[name] | {"description": " ".join(filter(None, described))}
    if models:
        schemas["ScoreRequest"] = {"anyOf": [reference(f"{model}_ScoreRequest") for model in models]}
        _add_examples(paths, models)
    if not has_keys:
        del document["security"], document["components"]["securitySchemes"]
    return document


def _add_examples(paths: dict[str, Any], models: dict[str, ServedModel]) -> None:
    """Name the models in every path, and add a request that each of them answers."""
    for path, operations in paths.items():
        for parameter in (each for operation in operations.values() for each in operation.get("parameters", ())):
            if "{model}" in path and parameter["name"] == "model":
                parameter["schema"] = {"type": "string", "enum": list(models)}
            elif parameter["name"] == "version":
                parameter["example"] = str(next(iter(models.values())).champion.release_number)
    for model, serving in models.items():
        champion = serving.champion.model
        request = example_request(fields_of_request(champion.bundle.deciding), champion.example)
        record = _record(serving)
        tensors = _tensors(model, serving, record)
        for path, kind, example in (
            (_SCORE, JSON, request),
            (f"{_SCORE}/batch", JSON, {"requests": [request]}),
            ("/v2/models/{model}/infer", JSON, tensors),
            ("/v2/models/{model}/versions/{version}/infer", JSON, tensors),
            ("/invocations", JSON, {"dataframe_records": [record], "params": {"model": model}}),
            ("/invocations", CSV, _csv(record)),
        ):
            body = paths[path]["post"]["requestBody"]["content"][kind]
            body.setdefault("examples", {})[model] = {"value": example}


def _record(serving: ServedModel) -> dict[str, Any]:
    """A row of a table that each slot of the model answers."""
    example = example_request(tuple(carried_by(serving).values()), serving.champion.model.example)
    features: dict[str, Any] = example.pop("features")
    return example | features


def _tensors(model: str, serving: ServedModel, record: dict[str, Any]) -> dict[str, Any]:
    """The row as an inference request."""
    inputs = model_metadata(model, serving).inputs
    return {
        "inputs": [
            {"name": tensor.name, "shape": [1], "datatype": tensor.datatype, "data": [record[tensor.name]]}
            for tensor in inputs
        ]
    }


def _csv(record: dict[str, Any]) -> str:
    table = io.StringIO()
    csv.writer(table).writerows([record.keys(), record.values()])
    return table.getvalue()
