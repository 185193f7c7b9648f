"""The routes of the foreign protocols within the OpenAPI document: Open Inference Protocol, and MLflow's.

Sources: the Open Inference Protocol's REST description (its schemas ``inference_request``, ``metadata_model_response``
and so on), and MLflow's page on the input formats of its scoring server.
"""

import csv
import io
from collections.abc import Collection, Iterable, Mapping
from typing import Any, Final

import msgspec

from serving.http.openapi.parts import (
    DECISION_ERRORS,
    DECISION_HEADERS,
    KEY_ERRORS,
    REFERENCE,
    array_of,
    content,
    model_parameter,
    object_of,
    operation,
    path_parameter,
    reference,
)
from serving.protocols.mlflow.tables import InvocationRequest
from serving.protocols.open_inference.routes import EXTENSIONS, HEADER_LENGTH, features_of, model_metadata
from serving.protocols.open_inference.tensors import DATATYPES, InferenceRequest
from serving.slots.slots import ServedModel, Slots
from serving.wire.score_request import example_request

_OPEN_INFERENCE: Final = "open inference protocol"
_MLFLOW: Final = "mlflow"
_BINARY: Final = "application/octet-stream"
_V2_ERROR: Final = "InferenceError"
_MLFLOW_ERROR: Final = "InvocationError"

_STRING: Final = {"type": "string"}
_BYTES: Final = {"type": "string", "format": "binary"}
_BOOLEAN: Final = {"type": "boolean"}
_DATATYPE: Final = {"type": "string", "enum": list(DATATYPES)}
_SHAPE: Final = array_of({"type": "integer"})

_BINARY_HEADER: Final = {
    "name": HEADER_LENGTH,
    "in": "header",
    "required": False,
    "description": "How many bytes of JSON precede binary data; without it the whole body is JSON.",
    "schema": {"type": "integer", "minimum": 0, "maximum": 9_999_999_999},
}


def protocol_schemas() -> dict[str, Any]:
    """Schemas of the bodies that both protocols ask for and answer with, by name."""
    _, schemas = msgspec.json.schema_components([InferenceRequest, InvocationRequest], ref_template=REFERENCE)
    tensor = object_of({"name": _STRING, "datatype": _DATATYPE, "shape": array_of({"type": "integer", "minimum": -1})})
    schemas["MetadataTensor"] = tensor
    schemas["ModelMetadata"] = object_of(
        {
            "name": _STRING,
            "versions": array_of(_STRING),
            "platform": _STRING,
            "inputs": array_of(reference("MetadataTensor")),
            "outputs": array_of(reference("MetadataTensor")),
        }
    )
    schemas["ResponseOutput"] = object_of(
        {"name": _STRING, "datatype": _DATATYPE, "shape": _SHAPE},
        {
            "data": {
                "type": "array",
                "description": "An element a row; missing where the output comes as binary data.",
            },
            "parameters": object_of({"binary_data_size": {"type": "integer", "minimum": 0}}),
        },
    )
    schemas["InferenceResponse"] = object_of(
        {"model_name": _STRING, "outputs": array_of(reference("ResponseOutput"))},
        {
            "model_version": _STRING | {"description": "The release that decided; missing where several did."},
            "id": _STRING,
        },
    )
    schemas[_V2_ERROR] = object_of({"error": _STRING | {"description": "What was expected, and where."}})
    schemas[_MLFLOW_ERROR] = object_of(
        {
            "error_code": _STRING | {"description": "What kind of error it is, in one word."},
            "message": _STRING | {"description": "What was expected, and where."},
        }
    )
    return schemas


def open_inference_paths(slots: Slots) -> dict[str, Any]:
    """The routes of the Open Inference Protocol; those that infer stand once for each served model."""
    served = dict(sorted(slots.models.items()))
    model = model_parameter(served)
    server = object_of({"name": _STRING, "version": _STRING, "extensions": array_of({"enum": list(EXTENSIONS)})})
    ready = object_of({"name": _STRING, "ready": _BOOLEAN})
    paths = {
        "/v2": _get("The server's name, version and extensions", server, KEY_ERRORS),
        "/v2/health/live": _get("Whether the process lives", object_of({"live": _BOOLEAN})),
        "/v2/health/ready": _get("Whether the server should get traffic", object_of({"ready": _BOOLEAN}), (503,)),
    }
    for path, parameters in (
        ("/v2/models/{model}", [model]),
        ("/v2/models/{model}/versions/{version}", [model, _version(next(iter(served.values()), None))]),
    ):
        metadata = reference("ModelMetadata")
        paths[path] = _get("The tensors of a model", metadata, (*KEY_ERRORS, 404, 503), parameters)
        paths[f"{path}/ready"] = _get("Whether a model answers", ready, (404, 503), parameters)
    for name, serving in served.items():
        path = f"/v2/models/{name}"
        paths[f"{path}/infer"] = {"post": _infer(name, serving, [])}
        paths[f"{path}/versions/{{version}}/infer"] = {"post": _infer(name, serving, [_version(serving)])}
    return paths


def mlflow_paths(slots: Slots) -> dict[str, Any]:
    """The routes of MLflow's protocol; the example is of the first served model."""
    record = next((_record(serving) for _, serving in sorted(slots.models.items())), {})
    table = io.StringIO()
    csv.writer(table).writerows([record.keys(), record.values()])
    ping = operation(
        "Whether the server should get traffic", _MLFLOW, content(), (503,), error=_MLFLOW_ERROR, is_open=True
    )
    invoke = operation(
        "Decide each row of a table, which is one of four layouts of JSON, or CSV",
        _MLFLOW,
        content(object_of({"predictions": array_of(reference("ScoreResponse"))})),
        DECISION_ERRORS,
        error=_MLFLOW_ERROR,
        parameters=DECISION_HEADERS,
        body=content(reference("InvocationRequest"), example={"dataframe_records": [record]})
        | content(_STRING, "text/csv", example=table.getvalue()),
        decided="The decisions, recorded, in the order of the rows",
    )
    version = operation(
        "The version of this server", _MLFLOW, content(_STRING, "text/plain"), KEY_ERRORS, error=_MLFLOW_ERROR
    )
    return {
        "/invocations": {"post": invoke},
        "/ping": {"get": ping},
        "/health": {"get": ping},
        "/version": {"get": version},
    }


def _get(
    summary: str,
    schema: dict[str, Any],
    errors: Collection[int] = (),
    parameters: Iterable[Mapping[str, Any]] = (),
) -> dict[str, Any]:
    """A route that describes: open unless it may refuse a key."""
    is_open = 401 not in errors
    return {
        "get": operation(
            summary,
            _OPEN_INFERENCE,
            content(schema),
            errors,
            error=_V2_ERROR,
            parameters=parameters,
            is_open=is_open,
        )
    }


def _version(serving: ServedModel | None) -> dict[str, Any]:
    return path_parameter(
        "version",
        "Number of the release in force; another one is refused, so that nobody is answered by it.",
        None if serving is None else str(serving.champion.release_number),
    )


def _infer(model: str, serving: ServedModel, parameters: list[dict[str, Any]]) -> dict[str, Any]:
    return operation(
        f"Decide each row of the tensors with {model}" + (", if the release is in force" if parameters else ""),
        _OPEN_INFERENCE,
        content(reference("InferenceResponse")) | content(_BYTES, _BINARY),
        DECISION_ERRORS,
        error=_V2_ERROR,
        parameters=[*parameters, *DECISION_HEADERS, _BINARY_HEADER],
        body=content(reference("InferenceRequest"), example=_tensors(model, serving)) | content(_BYTES, _BINARY),
        decided="The decisions, recorded, a tensor for each output",
    )


def _tensors(model: str, serving: ServedModel) -> dict[str, Any]:
    """An inference request of one row that the model answers."""
    record = _record(serving)
    return {
        "inputs": [
            {"name": each["name"], "shape": [1], "datatype": each["datatype"], "data": [record[each["name"]]]}
            for each in model_metadata(model, serving)["inputs"]
        ]
    }


def _record(serving: ServedModel) -> dict[str, Any]:
    """A row of a table that each slot of the model answers."""
    example = example_request(tuple(features_of(serving).values()))
    features: dict[str, Any] = example.pop("features")
    return example | features
