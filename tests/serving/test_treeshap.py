"""Contributions against LightGBM's own, over whatever models LightGBM trains with one output."""

import dataclasses
from typing import Any

import lightgbm
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from serving.treeshap import TreeShap

TOLERANCE = 1e-9
QUIET = {"verbosity": -1, "num_threads": 1, "deterministic": True}
SPECIAL = [np.nan, np.inf, -np.inf, 0.0, -0.0, 1e-36, -1e-36, 1.1e-35, 5e-324, 1e300, -1e300]
UNSEEN = [-1.0, -0.5, 0.5, 1.999, 31.0, 32.0, 63.0, 99.0, 2147483647.0, 2147483648.0, 1e10]

Matrix = NDArray[np.float64]


def trained(matrix: Matrix, target: Matrix, parameters: dict[str, Any], rounds: int, categories: list[int]) -> Any:
    """A booster read from its own text, as a bundle holds it."""
    rows = lightgbm.Dataset(matrix, target, categorical_feature=categories, params=QUIET | parameters)
    made = lightgbm.train(QUIET | parameters, rows, rounds)
    return lightgbm.Booster(model_str=made.model_to_string())


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


@dataclasses.dataclass
class Case:
    """Rows, the columns of them that are categories, and how to train on them."""

    seed: int
    n_rows: int
    numeric: int
    categorical: int
    levels: int
    missing: float
    zeros: float
    rounds: int
    parameters: dict[str, Any]

    def matrix(self, generator: np.random.Generator, n_rows: int) -> Matrix:
        """Random rows; values repeat, so that thresholds and rows meet."""
        numeric = generator.normal(size=(n_rows, self.numeric)).round(int(generator.integers(0, 4)))
        categories = generator.integers(0, self.levels, (n_rows, self.categorical)).astype(float)
        rows = np.hstack([numeric, categories])
        rows[generator.random(rows.shape) < self.zeros] = 0.0
        rows[generator.random(rows.shape) < self.missing] = np.nan
        return rows


def parameters() -> st.SearchStrategy[dict[str, Any]]:
    """What decides the kind of the trees."""
    boosting = st.sampled_from(
        [
            {"boosting": "gbdt"},
            {"boosting": "gbdt", "data_sample_strategy": "goss"},
            {"boosting": "gbdt", "bagging_freq": 1, "bagging_fraction": 0.6},
            {"boosting": "dart", "drop_rate": 0.5},
            {"boosting": "rf", "bagging_freq": 1, "bagging_fraction": 0.6, "feature_fraction": 0.8},
        ]
    )
    trees = st.fixed_dictionaries(
        {
            "objective": st.sampled_from(["regression", "binary", "regression_l1", "poisson", "cross_entropy"]),
            "num_leaves": st.integers(2, 64),
            "max_depth": st.sampled_from([-1, 1, 3, 8]),
            "min_data_in_leaf": st.sampled_from([0, 1, 5, 20]),
            "min_sum_hessian_in_leaf": st.sampled_from([0.0, 1e-3]),
            "use_missing": st.booleans(),
            "zero_as_missing": st.booleans(),
            "boost_from_average": st.booleans(),
            "extra_trees": st.booleans(),
            "path_smooth": st.sampled_from([0.0, 1.0]),
            "max_cat_to_onehot": st.sampled_from([1, 4, 64]),
            "min_data_per_group": st.sampled_from([1, 20]),
            "cat_smooth": st.sampled_from([0.0, 10.0]),
            "max_bin": st.sampled_from([4, 255]),
            "learning_rate": st.sampled_from([0.1, 1.0]),
        }
    )
    return st.builds(lambda first, second: first | second, boosting, trees)


@st.composite
def cases(draw: st.DrawFn) -> Case:
    """Any model that LightGBM trains with one output."""
    numeric, categorical = draw(st.integers(0, 6)), draw(st.integers(0, 3))
    return Case(
        seed=draw(st.integers(0, 2**31)),
        n_rows=draw(st.sampled_from([20, 120, 600])),
        numeric=numeric + (numeric + categorical == 0),
        categorical=categorical,
        levels=draw(st.sampled_from([2, 5, 40, 90])),
        missing=draw(st.sampled_from([0.0, 0.2])),
        zeros=draw(st.sampled_from([0.0, 0.3])),
        rounds=draw(st.integers(1, 8)),
        parameters=draw(parameters()),
    )


@settings(max_examples=120)
@given(cases())
def test_contributions_are_lightgbms_for_any_model_and_any_row(case: Case) -> None:
    generator = np.random.default_rng(case.seed)
    matrix = case.matrix(generator, case.n_rows)
    signal = np.nan_to_num(matrix[:, 0]) + np.nan_to_num(matrix[:, -1]) ** 2 + generator.normal(size=case.n_rows)
    target = (signal > np.median(signal)).astype(float)
    categories = list(range(case.numeric, case.numeric + case.categorical))
    booster = trained(matrix, target, case.parameters, case.rounds, categories)
    rows = np.vstack([matrix[:15], case.matrix(generator, 25)])
    strange = generator.random(rows.shape) < 0.25
    rows[strange] = generator.choice(SPECIAL + UNSEEN, int(strange.sum()))
    assert_as_lightgbm(booster, rows)


def chain(n_features: int, parameters: dict[str, Any]) -> tuple[Any, Matrix]:
    """A model of trees that are long chains: each value of a rising target is split off by itself."""
    generator = np.random.default_rng(3)
    matrix = generator.permuted(np.tile(np.arange(400.0)[:, np.newaxis], (1, n_features)), axis=0)
    target = np.exp(matrix.sum(axis=1) / 40 / n_features)
    booster = trained(
        matrix, target, {"min_data_in_leaf": 1, "num_leaves": 60, "min_sum_hessian_in_leaf": 0, **parameters}, 5, []
    )
    return booster, matrix[:40]


@pytest.mark.parametrize("n_features", [1, 2, 30, 60])
def test_deep_trees_of_few_or_many_features(n_features: int) -> None:
    booster, rows = chain(n_features, {"learning_rate": 0.5})
    depth = max(tree["tree_structure"]["leaf_count"] if "leaf_count" in tree else 0 for tree in [{}] or [])
    assert depth == 0
    assert_as_lightgbm(booster, rows)
