"""XGBoost models of many forms, their JSON, and ways to damage it."""

import functools
import json
from collections.abc import Callable
from typing import Any

import msgspec
import numpy as np
from numpy.typing import NDArray

from lifecycle.artefacts.bundles import write_bundle
from serving.contract.documents import GoldenRow
from serving.scoring.probability import probability
from serving.scoring.shap.layout import lay_out
from serving.scoring.shap.tree_shap import TreeShap
from serving.scoring.xgboost.forest import as_forest
from serving.scoring.xgboost.trees import read_trees
from tests.harness.small_models import CALIBRATION, NAMES, VERDICTS, SmallStore, as_features, examples, lineage
from tests.harness.small_models import candidate_files as small_candidate_files

Row = NDArray[np.float64]
TYPES = ["float", "int", "c", "float"]
SHORT, LONG = tuple(range(12)), tuple(range(12, 20))
"""Seeds of `random_booster`: quick to train, and with up to 1,000 trees of depth 12."""
_SIZES = (
    (1, 1), (1, 60), (2, 10), (3, 100), (4, 60), (5, 30), (6, 1), (8, 20), (10, 10), (12, 5), (3, 25), (6, 40),
    (1, 1000), (2, 1000), (3, 600), (5, 300), (6, 1000), (8, 200), (10, 120), (12, 1000),
)  # fmt: skip
"""Depth and rounds by seed."""


@functools.cache
def random_booster(seed: int) -> tuple[Any, Row]:
    """A booster, and fresh rows for it: values of its own training rows, mixed anew.

    Odd seeds have missing values; every third has values with many ties; two of three have categories, split by one
    category or by sets of them; others have monotone constraints, a base score, pruned nodes or several trees a round.
    """
    import xgboost

    generator = np.random.default_rng(seed)
    depth, rounds = _SIZES[seed]
    n_rows, n_numbers, n_categories = 1200, int(generator.integers(2, 9)), seed % 3
    scale = generator.uniform(0.1, 3)
    numbers = generator.normal(size=(n_rows, n_numbers)) * scale
    numbers = np.round(numbers, 1) if seed % 3 == 0 else np.exp(numbers)
    codes = [generator.integers(0, int(generator.integers(2, 70)), n_rows) for _ in range(n_categories)]
    matrix = np.column_stack([numbers, *codes]).astype(np.float64)
    weights = generator.normal(size=matrix.shape[1]) / np.maximum(matrix.std(axis=0), 1e-9)
    label = (matrix - matrix.mean(axis=0)) @ weights + generator.normal(size=n_rows) > 0
    if seed % 2:
        matrix[generator.random(matrix.shape) < 0.15] = np.nan
    parameters: dict[str, Any] = {
        "objective": "binary:logistic",
        "max_depth": depth,
        "eta": generator.uniform(0.02, 0.5),
        "seed": seed,
        "nthread": 1,
        "subsample": 0.8,
        "max_cat_to_onehot": int(generator.integers(1, 20)),
        "gamma": 0.5 * (seed % 5 == 0),
        "num_parallel_tree": 3 if seed % 5 == 2 and rounds < 300 else 1,
        "tree_method": "hist" if n_categories else ("exact", "approx", "hist")[seed // 3 % 3],
    }
    if not n_categories or seed % 4 == 1:
        constraints = [*generator.integers(-1, 2, n_numbers).tolist(), *[0] * n_categories]
        parameters["monotone_constraints"] = tuple(constraints)
    if seed % 6 == 1:
        parameters["base_score"] = generator.uniform(0.01, 0.9)
    names = [f"f{index}" for index in range(matrix.shape[1])]
    booster = xgboost.train(parameters, _rows(matrix, names, n_numbers, label), rounds)
    fresh = np.column_stack([generator.choice(column, 500) for column in matrix.T])
    return booster, fresh


def _rows(matrix: Row, names: list[str], n_numbers: int, label: Row | None = None) -> Any:
    import xgboost

    types = ["float"] * n_numbers + ["c"] * (len(names) - n_numbers)
    return xgboost.DMatrix(matrix, label, feature_names=names, feature_types=types, enable_categorical=True)


def own_margins(booster: Any, matrix: Row) -> NDArray[np.float32]:
    """XGBoost's margins of rows."""
    import xgboost

    rows = xgboost.DMatrix(
        matrix, feature_names=booster.feature_names, feature_types=booster.feature_types, enable_categorical=True
    )
    margins: NDArray[np.float32] = booster.predict(rows, output_margin=True)
    return margins


def own_contributions(booster: Any, matrix: Row) -> NDArray[np.float32]:
    """XGBoost's contributions of rows."""
    import xgboost

    rows = xgboost.DMatrix(
        matrix, feature_names=booster.feature_names, feature_types=booster.feature_types, enable_categorical=True
    )
    contributions: NDArray[np.float32] = booster.predict(rows, pred_contribs=True)
    return contributions


def as_json(booster: Any) -> bytes:
    """The booster as `save_model("model.json")` writes it."""
    return bytes(booster.save_raw("json"))


@functools.cache
def booster(seed: int, objective: str = "binary:logistic", **parameters: Any) -> Any:
    """A booster on the rows and features of `tests.harness.small_models`; another seed gives other trees."""
    import xgboost

    matrix, labels = examples()
    types = ["float"] * 4 if parameters.get("booster") == "gblinear" else TYPES
    if objective.startswith("multi:"):
        labels = labels + (matrix[:, 1] == 1)
    training = xgboost.DMatrix(matrix, labels, feature_names=NAMES, feature_types=types, enable_categorical=True)
    fixed: dict[str, Any] = {"objective": objective, "max_depth": 3 + seed % 3, "seed": seed, "subsample": 0.9}
    fixed |= {"nthread": 1, "verbosity": 0}
    if objective.startswith("binary:") and parameters.get("booster", "gbtree") == "gbtree":
        fixed["monotone_constraints"] = "(1,0,0,0)"
    return xgboost.train({**fixed, **parameters}, training, 15)


def _edited(change: Callable[[dict[str, Any]], None]) -> Callable[[bytes], bytes]:
    def changed(content: bytes) -> bytes:
        document = json.loads(content)
        change(document)
        return json.dumps(document).encode()

    return changed


def _tree(change: Callable[[dict[str, Any]], None]) -> Callable[[bytes], bytes]:
    return _edited(lambda document: change(trees_of(document)[0]))


def trees_of(document: dict[str, Any]) -> list[dict[str, Any]]:
    """The trees of a decoded model."""
    trees: list[dict[str, Any]] = document["learner"]["gradient_booster"]["model"]["trees"]
    return trees


def _set(name: str, index: int, value: Any) -> Callable[[bytes], bytes]:
    return _tree(lambda tree: tree[name].__setitem__(index, value))


def _leaf_of(tree: dict[str, Any]) -> int:
    leaf: int = tree["left_children"].index(-1)
    return leaf


def _without_tree(document: dict[str, Any]) -> None:
    trees_of(document).pop()


def _deleted_categories(tree: dict[str, Any]) -> None:
    tree["split_type"][0] = 1 - tree["split_type"][0]


DAMAGES: dict[str, Callable[[bytes], bytes]] = {
    "cut in the middle": lambda content: content[: len(content) // 2],
    "cut at the end": lambda content: content[:-1],
    "an empty file": lambda _: b"",
    "another JSON": lambda _: b'{"learner": 1}',
    "a text in place of a number": _set("split_conditions", 0, "high"),
    "a loop": _set("left_children", 1, 0),
    "a node of two parents": _tree(lambda tree: tree["left_children"].__setitem__(0, tree["right_children"][0])),
    "a child that does not exist": _set("left_children", 0, 9_999_999),
    "a child of 65 bits": _set("left_children", 0, 2**70),
    "one child only": _set("right_children", 0, -1),
    "a feature that does not exist": _set("split_indices", 0, 999),
    "a negative feature": _set("split_indices", 0, -1),
    "a threshold that is not a number": lambda content: content.replace(
        b'"split_conditions":[', b'"split_conditions":[NaN,', 1
    ),
    "a leaf beyond single precision": _tree(lambda tree: tree["split_conditions"].__setitem__(_leaf_of(tree), 1e39)),
    "too few thresholds": _tree(lambda tree: tree["split_conditions"].pop()),
    "too few default directions": _tree(lambda tree: tree["default_left"].pop()),
    "too few hessians": _tree(lambda tree: tree["sum_hessian"].pop()),
    "a negative hessian": _set("sum_hessian", 0, -1.0),
    "another number of nodes": _tree(lambda tree: tree["tree_param"].update(num_nodes="3")),
    "another number of deleted nodes": _tree(lambda tree: tree["tree_param"].update(num_deleted="2")),
    "a number of nodes in words": _tree(lambda tree: tree["tree_param"].update(num_nodes="many")),
    "no categories of a categorical split": _tree(_deleted_categories),
    "another number of trees": _edited(_without_tree),
    "a base score in words": _edited(
        lambda document: document["learner"]["learner_model_param"].update(base_score="half")
    ),
}
"""Ways to damage XGBoost's JSON."""


def candidate_files(seed: int, content: bytes | None = None) -> dict[str, bytes]:
    """The sealed files of a bundle that explains; the golden rows' margins are XGBoost's own."""
    rows, content = examples()[0][:8], content or as_json(booster(seed))
    forest = as_forest(read_trees(as_json(booster(seed))))
    explained = TreeShap(lay_out(forest))
    golden = [
        GoldenRow(
            features=as_features(row),
            margin=margin,
            score=probability(margin, CALIBRATION),
            contributions=tuple(explained.contributions(row).tolist()),
        )
        for row, margin in zip(rows, own_margins(booster(seed), rows).tolist(), strict=True)
    ]
    files = small_candidate_files(seed, can_explain=True)
    del files["model.txt"]
    rows_text = b"".join(msgspec.json.encode(row) + b"\n" for row in golden)
    return files | {"model.json": content, "golden.jsonl": rows_text}


def seal(store: SmallStore, seed: int, content: bytes | None = None) -> str:
    """Seal the bundle of a seed, with another model file if `content` is given, and return its digest."""
    return write_bundle(
        store.settings.release_store,
        candidate_files(seed, content),
        lineage=lineage(seed),
        verdicts=VERDICTS,
        keys=store.keys,
    )
