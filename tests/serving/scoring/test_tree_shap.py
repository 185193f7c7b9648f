"""Contributions against LightGBM's own, over whatever models LightGBM trains with one output."""

import threading
from typing import Any

import lightgbm
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from serving.contract.documents import ContractError
from serving.scoring.forest import read_forest
from serving.scoring.shap.tree_shap import TreeShap
from tests.harness.model_texts import with_tree_sizes
from tests.harness.random_boosters import Case, Matrix, cases, trained

TOLERANCE = 1e-9


def assert_as_lightgbm(booster: Any, rows: Matrix) -> None:
    """Contributions are `pred_contrib`'s, and add up to the margin."""
    shap = TreeShap.from_model_text(booster.model_to_string())
    found = np.array([shap.contributions(row) for row in rows])
    expected = booster.predict(rows, pred_contrib=True, num_threads=1)
    assert found.shape == expected.shape
    scale = max(1.0, float(np.abs(expected).max()))
    assert np.abs(found - expected).max() <= TOLERANCE * scale
    margins = booster.predict(rows, raw_score=True, num_threads=1)
    assert np.abs(found.sum(axis=1) - margins).max() <= TOLERANCE * scale


@settings(max_examples=120, deadline=None)
@given(cases([2, 3, 5, 9, 17, 31, 64], [4, 255], list(range(1, 9))))
def test_contributions_are_lightgbms_for_any_model_and_any_row(case: Case) -> None:
    assert_as_lightgbm(*case.booster_and_rows())


def longest_path(text: str) -> tuple[int, int]:
    """Splits and distinct features on the longest paths of a model."""
    forest = read_forest(text)
    roots = np.flatnonzero(np.diff(forest.tree, prepend=-1)).tolist()
    open_paths = [(root, 1, frozenset[int]()) for root in roots]
    depth = distinct = 0
    while open_paths:
        split, length, above = open_paths.pop()
        features = above | {int(forest.feature[split])}
        depth, distinct = max(depth, length), max(distinct, len(features))
        children = [int(forest.left[split]), int(forest.right[split])]
        open_paths += [(child, length + 1, features) for child in children if child >= 0]
    return depth, distinct


@pytest.mark.parametrize(("n_features", "depth", "distinct"), [(1, 30, 1), (3, 12, 3), (12, 14, 10), (60, 20, 8)])
def test_deep_trees_that_ask_one_feature_many_times(n_features: int, depth: int, distinct: int) -> None:
    generator = np.random.default_rng(3)
    matrix = generator.normal(size=(2000, n_features))
    target = np.exp(matrix.sum(axis=1) * 6 / np.sqrt(n_features))
    booster = trained(matrix, target, {"num_leaves": 60, "min_data_in_leaf": 1, "learning_rate": 1.0}, 5, [])
    assert longest_path(booster.model_to_string()) >= (depth, distinct)
    assert_as_lightgbm(booster, matrix[:40])


def nested(n_features: int) -> tuple[Any, Matrix]:
    """A model whose paths ask almost every feature once: how many of the first are above a threshold."""
    generator = np.random.default_rng(3)
    matrix = generator.random((4000, n_features))
    target = (matrix > 0.1).cumprod(axis=1).sum(axis=1).astype(float)
    parameters = {"num_leaves": n_features + 1, "min_data_in_leaf": 1, "learning_rate": 1.0, "max_bin": 63}
    return trained(matrix, target, parameters, 3, []), matrix[:40]


def test_deep_trees_of_many_features() -> None:
    booster, rows = nested(24)
    assert longest_path(booster.model_to_string()) >= (20, 18)
    assert_as_lightgbm(booster, rows)


def test_contributions_add_up_where_lightgbms_own_no_longer_do() -> None:
    # LightGBM takes features out of a path again, which multiplies rounding with every one.
    booster, rows = nested(80)
    margins = booster.predict(rows, raw_score=True)
    theirs = booster.predict(rows, pred_contrib=True)
    shap = TreeShap.from_model_text(booster.model_to_string())
    ours = np.array([shap.contributions(row) for row in rows])
    assert np.abs(theirs.sum(axis=1) - margins).max() > TOLERANCE
    assert np.abs(ours.sum(axis=1) - margins).max() < 1e-12
    assert np.abs(ours - theirs).max() < 1e-5


def text_of(parameters: dict[str, Any], classes: int = 2, rounds: int = 2) -> str:
    generator = np.random.default_rng(5)
    matrix = generator.normal(size=(200, 3))
    signal = matrix[:, 0] + matrix[:, 1] * matrix[:, 2] + generator.normal(size=200)
    target = np.digitize(signal, [0.0] if classes == 2 else [-0.5, 0.5]).astype(float)
    text: str = trained(matrix, target, parameters, rounds, []).model_to_string()
    return text


def test_trees_of_one_leaf_add_to_the_expected_value_only() -> None:
    text = text_of({"objective": "regression", "min_data_in_leaf": 150})
    assert "num_leaves=1\n" in text
    booster = lightgbm.Booster(model_str=text)
    rows = np.random.default_rng(1).normal(size=(3, 3))
    assert_as_lightgbm(booster, rows)
    assert TreeShap.from_model_text(text).contributions(rows[0])[:3].tolist() == [0.0, 0.0, 0.0]


def test_trees_with_and_without_splits_may_stand_in_one_model() -> None:
    generator = np.random.default_rng(4)
    matrix = generator.normal(size=(60, 2))
    forest = {
        "boosting": "rf",
        "bagging_freq": 1,
        "bagging_fraction": 0.5,
        "min_gain_to_split": 0.7,
        "min_data_in_leaf": 5,
    }
    booster = trained(matrix, generator.random(60) + 0.4 * (matrix[:, 0] > 0), forest, 20, [])
    sizes = [tree["num_leaves"] for tree in booster.dump_model()["tree_info"]]
    assert min(sizes) == 1 < max(sizes)
    assert_as_lightgbm(booster, matrix[::20])


def test_bytes_and_text_are_one_model() -> None:
    text = text_of({"objective": "binary"})
    row = [0.1, -0.2, 0.3]
    one, other = TreeShap.from_model_text(text), TreeShap.from_model_text(text.encode())
    assert one.contributions(row).tobytes() == other.contributions(np.array(row)).tobytes()


def test_a_linear_tree_is_refused() -> None:
    with pytest.raises(ContractError, match=r"got one trained with linear_tree.*tree 0"):
        TreeShap.from_model_text(text_of({"objective": "regression", "linear_tree": True}))


@pytest.mark.parametrize("objective", ["multiclass", "multiclassova"])
def test_a_model_with_several_outputs_is_refused(objective: str) -> None:
    text = text_of({"objective": objective, "num_class": 3}, classes=3)
    with pytest.raises(ContractError, match="Expected a model with one output, got 3"):
        TreeShap.from_model_text(text)


@pytest.mark.parametrize(
    ("old", "new", "violation"),
    [
        ("tree\n", "shrub\n", "text format, got another text"),
        ("max_feature_idx=2", "max_feature_idx=", "Expected 1 numbers, got 0 - at model.txt, the header"),
        ("max_feature_idx=2", "max_feature_idx=0", "Expected features below 1, got another"),
        ("left_child=", "left_child=9999 ", "left_child"),
        ("left_child=2", "left_child=0", "Expected every split and leaf once"),
        ("left_child=2", "left_child=1", "Expected every split and leaf once"),
        ("split_feature=0", "split_feature=-1", "Expected features below 3, got another"),
        ("split_feature=0", "split_feature=3", "Expected features below 3, got another"),
        ("leaf_value=", "leaf_value=x", "Expected numbers, got another text - at model.txt, tree 0, leaf_value"),
        ("leaf_value=", "leaf_value=nan ", "leaf_value"),
        ("decision_type=2", "decision_type=1", "Expected a bitset for every categorical split"),
        ("internal_count=200", "internal_count=0", "Expected the training rows of every split, got none"),
        ("num_leaves=", "num_leaves=1", "numbers, got"),
        ("threshold=", "threshold=nan ", "threshold"),
    ],
)
def test_a_tree_that_is_not_whole_is_refused(old: str, new: str, violation: str) -> None:
    text = text_of({"objective": "binary", "num_leaves": 8})
    assert old in text
    with pytest.raises(ContractError, match=violation):
        TreeShap.from_model_text(with_tree_sizes(text.replace(old, new, 1)))


@settings(max_examples=300)
@given(st.integers(0, 10**9), st.sampled_from(list("0123456789-. \nx")))
def test_a_changed_letter_never_breaks_the_process(position: int, letter: str) -> None:
    text = SMALL_TEXT
    place = position % len(text)
    try:
        shap = TreeShap.from_model_text(with_tree_sizes(text[:place] + letter + text[place + 1 :]))
    except ContractError:
        return
    assert len(shap.contributions([0.5] * shap.n_features)) == shap.n_features + 1


SMALL_TEXT = text_of({"objective": "binary", "num_leaves": 6}, rounds=1).partition("\nfeature_importances")[0]


def test_a_row_of_another_length_is_refused() -> None:
    shap = TreeShap.from_model_text(SMALL_TEXT)
    for row in ([], [1.0], [1.0] * 4):
        with pytest.raises(ValueError, match=f"Expected 3 features, got {len(row)}"):
            shap.contributions(row)


def test_many_threads_explain_one_model_without_disturbing_each_other() -> None:
    generator = np.random.default_rng(2)
    matrix = generator.normal(size=(500, 6))
    target = matrix[:, 0] * matrix[:, 1] + matrix[:, 2]
    shap = TreeShap.from_model_text(trained(matrix, target, {"num_leaves": 31}, 100, []).model_to_string())
    expected = [shap.contributions(row).tobytes() for row in matrix]
    wrong: list[int] = []

    def explain() -> None:
        found = [shap.contributions(row).tobytes() for row in matrix]
        wrong.extend(index for index, pair in enumerate(zip(found, expected, strict=True)) if pair[0] != pair[1])

    threads = [threading.Thread(target=explain) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert wrong == []
