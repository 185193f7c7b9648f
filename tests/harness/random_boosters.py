"""Models of any kind that LightGBM trains with one output, and rows that are unkind to them."""

import dataclasses
from typing import Any

import lightgbm
import numpy as np
from hypothesis import reject
from hypothesis import strategies as st
from numpy.typing import NDArray

from serving.scoring.shap.kernel import NEARLY_ZERO

Matrix = NDArray[np.float64]
Parameters = dict[str, Any]

QUIET = {"verbosity": -1, "num_threads": 1, "deterministic": True}
SPECIAL = [
    np.nan, np.inf, -np.inf, 0.0, -0.0, 1e-36, -1e-36, 1e-35, -1e-35, NEARLY_ZERO, -NEARLY_ZERO,
    float(np.nextafter(NEARLY_ZERO, 1)), float(np.nextafter(-NEARLY_ZERO, -1)), 1.1e-35, 5e-324, 1e300, -1e300,
]  # fmt: skip
UNSEEN = [-1.0, -0.5, 0.5, 1.999, 31.0, 31.5, 32.0, 63.0, 99.0, 2147483647.0, 2147483648.0, 4294967296.0, 1e10]
"""Categories that training did not see, or values that are not categories."""
BOOSTING: list[Parameters] = [
    {"boosting": "gbdt"},
    {"boosting": "gbdt", "data_sample_strategy": "goss"},
    {"boosting": "gbdt", "bagging_freq": 1, "bagging_fraction": 0.6},
    {"boosting": "dart", "drop_rate": 0.5},
    {"boosting": "rf", "bagging_freq": 1, "bagging_fraction": 0.6, "feature_fraction": 0.8},
]
TREES: dict[str, st.SearchStrategy[Any]] = {
    "objective": st.sampled_from(["regression", "binary", "regression_l1", "poisson", "cross_entropy"]),
    "max_depth": st.sampled_from([-1, 1, 3, 8]),
    "min_data_in_leaf": st.sampled_from([1, 2, 5, 20]),
    "min_sum_hessian_in_leaf": st.sampled_from([0.0, 1e-3]),
    "use_missing": st.booleans(),
    "zero_as_missing": st.booleans(),
    "boost_from_average": st.booleans(),
    "extra_trees": st.booleans(),
    "path_smooth": st.sampled_from([0.0, 1.0]),
    "max_cat_to_onehot": st.sampled_from([1, 4, 64]),
    "min_data_per_group": st.sampled_from([1, 20]),
    "cat_smooth": st.sampled_from([0.0, 10.0]),
    "learning_rate": st.sampled_from([0.1, 1.0]),
}
"""What decides the kind of the trees, but for the number of leaves and of bins."""


def retold(made: Any) -> Any:
    """A booster read from its own text, as a bundle holds it."""
    return lightgbm.Booster(model_str=made.model_to_string())


def trained(matrix: Matrix, target: Matrix, parameters: Parameters, rounds: int, categories: list[int]) -> Any:
    rows = lightgbm.Dataset(matrix, target, categorical_feature=categories, params=QUIET | parameters)
    return retold(lightgbm.train(QUIET | parameters, rows, rounds))


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
    scale: float
    rounds: int
    parameters: Parameters

    def booster_and_rows(self) -> tuple[Any, Matrix]:
        """A model trained on random rows, and rows to ask it for: some of its own, others, and values it never saw."""
        generator = np.random.default_rng(self.seed)
        matrix = self._matrix(generator, self.n_rows)
        signal = np.nan_to_num(matrix[:, 0] / self.scale) + np.nan_to_num(matrix[:, -1])
        signal += generator.normal(size=self.n_rows)
        target = (signal > np.median(signal)).astype(float)
        categories = list(range(self.numeric, self.numeric + self.categorical))
        try:
            booster = trained(matrix, target, self.parameters, self.rounds, categories)
        except lightgbm.basic.LightGBMError:
            reject()  # some parameters leave LightGBM's trainer with an empty leaf
        rows = np.vstack([matrix[:15], self._matrix(generator, 25)])
        is_strange = generator.random(rows.shape) < 0.25
        rows[is_strange] = generator.choice(SPECIAL + UNSEEN, int(is_strange.sum()))
        return booster, rows

    def _matrix(self, generator: np.random.Generator, n_rows: int) -> Matrix:
        """Random rows; values repeat, so that thresholds and rows meet."""
        numeric = generator.normal(size=(n_rows, self.numeric)).round(int(generator.integers(0, 4))) * self.scale
        categories = generator.integers(0, self.levels, (n_rows, self.categorical)).astype(float)
        rows = np.hstack([numeric, categories])
        rows[generator.random(rows.shape) < self.zeros] = 0.0
        rows[generator.random(rows.shape) < self.missing] = np.nan
        return rows


@st.composite
def cases(
    draw: st.DrawFn, leaves: list[int], bins: list[int], rounds: list[int], scales: tuple[float, ...] = (1.0,)
) -> Case:
    """Cases with as many leaves, bins and trees, and numbers of such a size."""
    numeric, categorical = draw(st.integers(0, 6)), draw(st.integers(0, 3))
    sizes = {"num_leaves": st.sampled_from(leaves), "max_bin": st.sampled_from(bins)}
    return Case(
        seed=draw(st.integers(0, 2**31)),
        n_rows=draw(st.sampled_from([20, 120, 600])),
        numeric=numeric + (numeric + categorical == 0),
        categorical=categorical,
        levels=draw(st.sampled_from([2, 5, 40, 90])),
        missing=draw(st.sampled_from([0.0, 0.2])),
        zeros=draw(st.sampled_from([0.0, 0.3])),
        scale=draw(st.sampled_from(scales)),
        rounds=draw(st.sampled_from(rounds)),
        parameters=draw(st.sampled_from(BOOSTING)) | draw(st.fixed_dictionaries(TREES | sizes)),
    )
