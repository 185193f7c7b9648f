"""The file of an external model: what it is, and whether its trees fit the features of the model's `defs.yaml`."""

import json
import re
from collections.abc import Sequence
from pathlib import Path
from typing import Final

import numpy as np
from numpy.typing import NDArray

from lifecycle.errors import LifecycleError
from lifecycle.settings.platform import Settings
from lifecycle.spec.monotone import falling_or_rising
from serving.contract.documents import ContractError, Feature, ModelFormat
from serving.scoring.forest import CATEGORICAL, Forest, read_forest
from serving.scoring.xgboost.forest import as_forest
from serving.scoring.xgboost.scorer import check_inputs
from serving.scoring.xgboost.trees import read_trees

FORMATS: Final = "LightGBM's text, `save_model('model.txt')`, or XGBoost's JSON, `save_model('model.json')`"
_FIRST_BYTES: Final = (
    (b"\x80", "a pickle, which is code and is never loaded"),
    (b"PK", "a ZIP archive, as PyTorch, Keras and skops write them"),
    (b"\x89HDF", "HDF5, as Keras writes it"),
    (b"\x08", "a protocol buffer, as ONNX is"),
    (b"binf", "XGBoost's binary format of before 1.0"),
    (b"\x1f\x8b", "a gzip archive"),
)


def external_path(model: str, file: str) -> Path:
    """The path of a file of the hand-over, which is relative to the folder of the model's `defs.yaml`."""
    return Settings().models / model / file


def read_file(path: Path) -> bytes:
    """The content of a file of the hand-over.

    Raises
    ------
    LifecycleError
        If it cannot be read.
    """
    try:
        return path.read_bytes()
    except OSError as error:
        raise LifecycleError(
            f"Expected a file of the external model, got {type(error).__name__} - at {path}"
        ) from error


def read_external(path: Path, features: Sequence[Feature]) -> tuple[bytes, ModelFormat]:
    """The content of an external model's file and its format, after its trees and inputs were checked.

    No library's code reads the file.

    Raises
    ------
    LifecycleError
        If it is missing, of another format, damaged, another kind of model, or has other inputs than `features`. The
        message names what is possible.
    """
    content = read_file(path)
    try:
        model_format = _format(content)
        forest = _checked_lightgbm(content, features) if model_format == "lightgbm" else _checked(content, features)
        _check_monotone(forest, features)
    except ContractError as error:
        raise LifecycleError(f"{error}, {path}") from error
    return content, model_format


def _format(content: bytes) -> ModelFormat:
    if content.startswith(b"tree\n"):
        return "lightgbm"
    if content.lstrip()[:1] == b"{":
        return "xgboost"
    for first, kind in _FIRST_BYTES:
        if content.startswith(first):
            raise ContractError(f"Expected {FORMATS}, got {kind} - at the external model")
    raise ContractError(f"Expected {FORMATS}, got another file - at the external model")


def _checked(content: bytes, features: Sequence[Feature]) -> Forest:
    trees = read_trees(content)
    check_inputs(trees, features)
    return as_forest(trees)


def _checked_lightgbm(content: bytes, features: Sequence[Feature]) -> Forest:
    """The forest of a LightGBM text whose objective, inputs and categories fit."""
    header = content.split(b"\nTree=", 1)[0].decode(errors="replace")
    objective = _line(header, "objective")
    if objective is None or objective.split(" ")[0] != "binary":
        raise ContractError(
            f"Expected the objective binary, got {objective!r}; possible is a binary classifier - at model.txt"
        )
    forest = read_forest(content)
    names, expected = (_line(header, "feature_names") or "").split(" "), [feature.name for feature in features]
    if names == [f"Column_{index}" for index in range(len(names))]:
        raise ContractError(
            f"Expected the names {expected}, got the columns of an unnamed matrix; pass `feature_name` to "
            "`lightgbm.Dataset` - at model.txt, feature_names"
        )
    if names != expected:
        missing, other = [n for n in expected if n not in names], [n for n in names if n not in expected]
        found = f"missing {missing}, others {other}" if missing or other else f"the order {names}"
        raise ContractError(f"Expected the inputs {expected} in this order, got {found} - at model.txt, feature_names")
    _check_lightgbm_categories(content, forest, features)
    return forest


def _check_lightgbm_categories(content: bytes, forest: Forest, features: Sequence[Feature]) -> None:
    is_set = forest.flags & CATEGORICAL != 0
    for index, feature in enumerate(features):
        is_own, is_category = forest.feature == index, feature.dtype == "category"
        if (is_own & (is_set != is_category)).any():
            wanted, got = ("categories", "thresholds") if is_category else ("thresholds", "categories")
            raise ContractError(f"Expected {wanted} at the splits on {feature.name!r}, got {got} - at model.txt")
        largest = _largest_code(forest, is_own & is_set) if is_category else -1
        if largest >= len(feature.categories or ()):
            raise ContractError(
                f"Expected codes of categories below {len(feature.categories or ())} of the input {feature.name!r}, "
                f"got {largest}; the codes are positions in its categories - at model.txt"
            )
    named = re.search(rb"^pandas_categorical:(.*)$", content, re.MULTILINE)
    names = json.loads(named[1]) if named and named[1] not in {b"null", b""} else []
    declared = [list(feature.categories or ()) for feature in features if feature.dtype == "category"]
    if names and [[str(name) for name in column] for column in names] != declared:
        raise ContractError(
            f"Expected the categories {declared} in this order, got {names} - at model.txt, pandas_categorical"
        )


def _largest_code(forest: Forest, is_asked: NDArray[np.bool_]) -> int:
    """The largest category in the bitsets of some splits; -1 without one."""
    bitsets = forest.threshold[is_asked].astype(np.int64)
    held = [forest.words[forest.word_bounds[number] : forest.word_bounds[number + 1]] for number in bitsets.tolist()]
    return max(
        (32 * place + int(word).bit_length() - 1 for words in held for place, word in enumerate(words) if word),
        default=-1,
    )


def _check_monotone(forest: Forest, features: Sequence[Feature]) -> None:
    for index, feature in enumerate(features):
        if feature.monotone and not falling_or_rising(forest, index, feature.monotone):
            direction = "rises" if feature.monotone > 0 else "falls"
            raise ContractError(
                f"Expected trees whose output {direction} with {feature.name!r}, as `monotone: {feature.monotone}` "
                "says, got a split that does not show it; train with the constraint, or remove the key - at the "
                "external model"
            )


def _line(header: str, key: str) -> str | None:
    """The value of a line ``key=value`` of LightGBM's header."""
    return next((line.partition("=")[2] for line in header.split("\n") if line.startswith(f"{key}=")), None)
