"""Tensors as score requests, one tensor for each feature and each key of the envelope; answers as tensors."""

import itertools
import math
import re
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Final

import msgspec

from serving.contract.documents import Feature, FeatureDtype
from serving.contract.features import LARGEST_INTEGER
from serving.contract.schema_rules import ENVELOPE
from serving.errors import InvalidRequestError
from serving.protocols.open_inference.tensors import BOOL, BYTES, FLOATS, INTEGERS, Column, InferRequest, Tensor, Wanted
from serving.wire.score_response import ScoreResponse
from serving.wire.strict_json import Scalar

DATATYPES_FOR: Final[dict[FeatureDtype, tuple[str, ...]]] = {
    "float": (BOOL, *INTEGERS, *FLOATS),
    "int": (BOOL, *INTEGERS, *FLOATS),
    "category": (BYTES,),
}
"""Datatypes that a feature accepts; an int takes whole numbers in FP tensors, and numbers take bools as 0 and 1."""

USUAL_DATATYPE: Final[dict[FeatureDtype, str]] = {"float": "FP64", "int": "INT64", "category": BYTES}
"""Datatypes in the model's metadata."""

OUTPUTS: Final = {
    "score": "FP64",
    "margin": "FP64",
    "decision": BYTES,
    "slot": BYTES,
    "bundle_digest": BYTES,
    "release_number": "INT64",
    "decision_id": BYTES,
    "reasons": BYTES,
}
"""Outputs and their datatypes; an element of `reasons` is JSON: a list, or null."""

_IN_ROWS: Final = re.compile(r"\$\.requests\[([0-9]+)\](?:\.(?:features\.)?([^.\[\]]+))?")


def known_features(schemas: Iterable[Sequence[Feature]]) -> dict[str, Feature]:
    """The features of a release's models by name: where two differ, the first model's, nullable if any of them is.

    This only says how to read a tensor. The entity determines which model answers, and that model checks its features.
    """
    known: dict[str, Feature] = {}
    for feature in (feature for schema in schemas for feature in schema):
        first = known.setdefault(feature.name, feature)
        if feature.is_nullable and not first.is_nullable:
            known[feature.name] = msgspec.structs.replace(first, is_nullable=True)
    return known


def rows_of(request: InferRequest, features: Mapping[str, Feature]) -> list[dict[str, Any]]:
    """The score requests in the tensors, one a row.

    Raises
    ------
    InvalidRequestError
        If a tensor of the envelope is missing, one is unknown or has a datatype that its feature does not take; if an
        element is missing (null, NaN in an FP tensor, or an empty text) where the feature is not nullable, is infinite,
        has a fraction where the feature is an int, or is an integer that a double does not hold.
    """
    missing = sorted(set(ENVELOPE) - {tensor.name for tensor in request.tensors})
    if missing:
        raise InvalidRequestError(
            f"Expected the tensors {list(ENVELOPE)} in addition to the features', missing {missing}", "$.inputs"
        )
    columns = {
        tensor.name: _checked(tensor, features, f"$.inputs[{index}]") for index, tensor in enumerate(request.tensors)
    }
    envelopes = zip(*(columns.pop(name) for name in ENVELOPE), strict=True)
    # Without features, `zip` would yield no rows: repeat empty ones instead.
    features_of_rows = zip(*columns.values(), strict=True) if columns else itertools.repeat(())
    return [
        dict(zip(ENVELOPE, envelope, strict=True)) | {"features": dict(zip(columns, values, strict=True))}
        for envelope, values in zip(envelopes, features_of_rows, strict=False)
    ]


def in_tensor_terms(error: InvalidRequestError, tensors: Sequence[Tensor]) -> InvalidRequestError:
    """`error` with the path of the tensor's element instead of the row's key, or of all inputs."""
    place = _IN_ROWS.match(error.path or "")
    if place is None:
        return error
    names = [tensor.name for tensor in tensors]
    is_tensor = place[2] in names
    path = f"$.inputs[{names.index(place[2])}].data[{place[1]}]" if is_tensor else "$.inputs"
    return error.moved_to(path)


def check_wanted(wanted: Sequence[Wanted]) -> None:
    """Check that the outputs exist; raises `InvalidRequestError`."""
    for index, each in enumerate(wanted):
        if each.name not in OUTPUTS:
            raise InvalidRequestError(f"Expected one of the outputs {list(OUTPUTS)}", f"$.outputs[{index}].name")


def columns_of(answers: Sequence[ScoreResponse], names: Iterable[str]) -> list[Column]:
    """The answers as the outputs `names`, in their order."""
    return [Column(name, OUTPUTS[name], [_element(answer, name) for answer in answers]) for name in names]


def _element(answer: ScoreResponse, name: str) -> float | int | str:
    if name == "reasons":
        return msgspec.json.encode(answer.reasons).decode()
    element: float | int | str = getattr(answer, name)
    return element


def _checked(tensor: Tensor, features: Mapping[str, Feature], path: str) -> list[Scalar]:
    feature = features.get(tensor.name)
    if tensor.name not in ENVELOPE and feature is None:
        raise InvalidRequestError(
            f"Expected only the tensors {[*ENVELOPE, *features]}, got another one", f"{path}.name"
        )
    if tensor.name in ENVELOPE or feature is None:
        feature = Feature(name=tensor.name, dtype="category")
    accepted = DATATYPES_FOR[feature.dtype]
    if tensor.datatype not in accepted:
        message = f"Expected one of the datatypes {list(accepted)}"
        raise InvalidRequestError(message, f"{path}.datatype", feature=feature.name, fault="type")
    if _is_plain(tensor.values, feature.dtype) and (tensor.name in ENVELOPE or "" not in tensor.values):
        return tensor.values
    return [_value(value, feature, f"{path}.data[{row}]") for row, value in enumerate(tensor.values)]


def _is_plain(values: list[Any], dtype: FeatureDtype) -> bool:
    """Whether no value needs a conversion or a closer check; true for nearly all columns."""
    kinds = set(map(type, values))
    if kinds == {str}:
        return True
    if kinds == {float}:
        return dtype == "float" and all(map(math.isfinite, values))
    return kinds == {int} and min(values) >= -LARGEST_INTEGER and max(values) <= LARGEST_INTEGER


def _value(value: Scalar, feature: Feature, path: str) -> Scalar:
    # A tensor of BYTES has no other way to leave out a category, and no category is an empty text.
    is_empty = value == "" and feature.name not in ENVELOPE
    if value is None or is_empty or (isinstance(value, float) and math.isnan(value)):
        if not feature.is_nullable:
            raise InvalidRequestError(
                "Expected a value, since this input is not nullable", path, feature=feature.name, fault="null"
            )
        return None
    if isinstance(value, str):
        return value
    if isinstance(value, float):
        if math.isinf(value):
            raise InvalidRequestError("Expected a finite number", path, feature=feature.name, fault="range")
        if feature.dtype == "float":
            return value
        if not value.is_integer():
            raise InvalidRequestError("Expected a whole number", path, feature=feature.name, fault="type")
    if abs(value) > LARGEST_INTEGER:
        message = "Expected an integer that a double holds exactly, up to 2^53"
        raise InvalidRequestError(message, path, feature=feature.name, fault="range")
    return int(value)
