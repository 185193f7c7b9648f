"""Models trained elsewhere on the toy's transactions, and a model's folder that names one."""

import json
import re
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa

from lifecycle.modelling.training_set import examples_from_table
from lifecycle.spec.risk_model import RiskModelSpec
from lifecycle.tables.arrays import BoolArray, FloatArray
from serving.scoring.model_text import END_OF_TREES, TREE
from tests.harness.model_texts import with_tree_sizes
from tests.harness.toy_model import SPEC, card_table, spec_with

TRAINED_UNTIL = "2024-01-12"
DIGEST = f"sha256:{'ab' * 32}"
_TREE, _END, _LEAVES = TREE.decode(), END_OF_TREES.decode(), re.compile(r"(?m)^leaf_value=(.*)$")
FILES = {"lightgbm": "model.txt", "xgboost": "model.json"}


def external_spec(file: str, gates: dict[str, Any] | None = None, **changes: Any) -> RiskModelSpec:
    """The toy model with an external estimator and further keys of its gates, promoted automatically."""
    external = {"file": file, "training_data_digest": DIGEST, "trained_until": TRAINED_UNTIL, **changes}
    training = {key: value for key, value in SPEC["training"].items() if key != "search"}
    return spec_with(
        training=training | {"estimator": {"external": external}},
        gates=SPEC["gates"] | (gates or {}),
        promotion={"mode": "auto"},
    )


def rows_before(table: pa.Table, until: str = TRAINED_UNTIL) -> tuple[FloatArray, BoolArray]:
    """Features and outcomes of the transactions before a date."""
    examples = examples_from_table(table, spec_with())
    is_before = examples.occurred_at < np.datetime64(until)
    return examples.features[is_before], ~np.isnat(examples.known_at)[is_before]


def trained_elsewhere(library: str, seed: int = 1) -> bytes:
    """The file of a model that another team trained on more transactions of its own, as its library writes it."""
    rows, outcomes = rows_before(card_table(40_000, seed=9))
    features = SPEC["features"]
    names = [feature["name"] for feature in features]
    if library == "lightgbm":
        import lightgbm

        data: Any = lightgbm.Dataset(rows, outcomes.astype(float), feature_name=names, categorical_feature=["segment"])
        parameters: dict[str, Any] = {"objective": "binary", "num_leaves": 8, "verbosity": -1, "num_threads": 1}
        return bytes(lightgbm.train({**parameters, "seed": seed}, data, 40).model_to_string().encode())
    import xgboost

    types = ["c" if feature["dtype"] == "category" else "float" for feature in features]
    data = xgboost.DMatrix(rows, outcomes, feature_names=names, feature_types=types, enable_categorical=True)
    parameters = {"objective": "binary:logistic", "max_depth": 4, "eta": 0.2, "seed": seed, "nthread": 1}
    return bytes(xgboost.train(parameters, data, 40).save_raw("json"))


def many_trees(copies: int) -> bytes:
    """The model of `trained_elsewhere` with each tree replaced by `copies` of it that share its weight."""
    text = trained_elsewhere("lightgbm").decode()
    head, *trees = text.partition(_END)[0].split(_TREE)
    lighter = [_LEAVES.sub(lambda found: _shared(found[1], copies), tree.partition("\n")[2]) for tree in trees]
    many = "".join(f"{_TREE}{number}\n{tree}" for number, tree in enumerate(lighter * copies))
    return with_tree_sizes(head + many + text[text.index(_END) :]).encode()


def _shared(leaf_values: str, copies: int) -> str:
    return "leaf_value=" + " ".join(repr(float(value) / copies) for value in leaf_values.split())


def own_margins(library: str, content: bytes, rows: FloatArray) -> list[float]:
    """The library's margins of rows."""
    if library == "lightgbm":
        import lightgbm

        margins: Any = lightgbm.Booster(model_str=content.decode()).predict(rows, raw_score=True)
    else:
        import xgboost

        margins = xgboost.Booster(model_file=bytearray(content)).inplace_predict(
            rows, predict_type="margin", validate_features=False
        )
    return [float(margin) for margin in margins]


def own_contributions(library: str, content: bytes, rows: FloatArray) -> FloatArray:
    """The library's contributions of rows."""
    if library == "lightgbm":
        import lightgbm

        return np.asarray(lightgbm.Booster(model_str=content.decode()).predict(rows, pred_contrib=True), np.float64)
    import xgboost

    booster = xgboost.Booster(model_file=bytearray(content))
    data = xgboost.DMatrix(
        rows, feature_names=booster.feature_names, feature_types=booster.feature_types, enable_categorical=True
    )
    return np.asarray(booster.predict(data, pred_contribs=True), np.float64)


def as_request(row: FloatArray) -> dict[str, Any]:
    """A row of the toy's features as a caller sends it."""
    sent: dict[str, Any] = {}
    for feature, value in zip(SPEC["features"], row.tolist(), strict=True):
        if np.isnan(value):
            sent[feature["name"]] = None
        elif feature["dtype"] == "category":
            sent[feature["name"]] = feature["categories"][int(value)]
        else:
            sent[feature["name"]] = int(value) if feature["dtype"] == "int" else value
    return sent


def predictions(library: str, content: bytes, rows: FloatArray) -> bytes:
    """The file of rows and margins that a hand-over may hold."""
    margins = own_margins(library, content, rows)
    lines = [{"features": as_request(row), "margin": margin} for row, margin in zip(rows, margins, strict=True)]
    return "\n".join(map(json.dumps, lines)).encode()


def hand_over(models: Path, name: str, content: bytes) -> Path:
    """Put a file of the hand-over into the toy model's folder."""
    path = models / "toy" / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content)
    return path
