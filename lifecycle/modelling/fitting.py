"""Fits boosted trees to arrays: the same arrays and parameters give the same model text, byte for byte."""

import functools
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from lifecycle.errors import LifecycleError
from lifecycle.spec.risk_model import FeatureSpec
from lifecycle.tables.arrays import BoolArray, FloatArray
from serving.scoring.forest import forest_if_supported
from serving.scoring.model_text import format_of
from serving.scoring.shap.layout import lay_out
from serving.scoring.shap.tree_shap import TreeShap
from serving.scoring.xgboost.scorer import XGBoostScorer
from serving.scoring.xgboost.trees import read_trees

Parameters = dict[str, float | int | str | bool]

MAXIMUM_BINS = 4095
"""LightGBM's default of 255 bins merges amounts and mean amounts that differ in risk: it cost 0.01 of average precision
on the card transactions this was measured on."""


@dataclass(frozen=True)
class FitRows:
    """Training data of a model: features float64, shape ``(n, n_features)``, and labels of shape ``(n,)``."""

    features: FloatArray
    is_positive: BoolArray


def fixed_parameters(schema: Sequence[FeatureSpec], seed: int, num_threads: int) -> Parameters:
    """Parameters that no search changes: the objective, and settings that make the text reproducible.

    `num_threads` is pinned because the model text records it.
    """
    fixed: Parameters = {
        "objective": "binary",
        "deterministic": True,
        "force_row_wise": True,
        "num_threads": num_threads,
        "seed": seed,
        "max_bin": MAXIMUM_BINS,
        "min_data_in_bin": 1,
        "bin_construct_sample_cnt": 1_000_000,
        "feature_pre_filter": False,
        "verbosity": -1,
    }
    if any(feature.monotone for feature in schema):
        fixed["monotone_constraints"] = ",".join(str(feature.monotone) for feature in schema)
    return fixed


def dataset(rows: FitRows, schema: Sequence[FeatureSpec], fixed: Mapping[str, Any], reference: Any = None) -> Any:
    """The binned rows as LightGBM's `Dataset`; `reference` is the dataset whose bins to share."""
    import lightgbm

    categorical = [position for position, feature in enumerate(schema) if feature.dtype == "category"]
    built = lightgbm.Dataset(
        np.ascontiguousarray(rows.features),
        label=rows.is_positive.astype(np.float32),
        feature_name=[feature.name for feature in schema],
        categorical_feature=categorical,
        params=dict(fixed),
        reference=reference,
        free_raw_data=False,
    )
    return built.construct()


def fit(
    rows: FitRows,
    schema: Sequence[FeatureSpec],
    parameters: Mapping[str, Any],
    rounds: int,
    *,
    seed: int,
    num_threads: int,
) -> bytes:
    """Fit one model.

    Parameters
    ----------
    rows
        Examples with their labels as known at the time of fitting.
    schema
        The features, in the order of the columns.
    parameters
        LightGBM's parameters from a search.
    rounds
        Trees to grow.
    seed, num_threads
        Pinned, so that the same rows give the same bytes.

    Returns
    -------
    bytes
        The model in LightGBM's text format.

    Raises
    ------
    LifecycleError
        If one of the two classes is missing.
    """
    import lightgbm

    require_both(rows, "the training window")
    fixed = fixed_parameters(schema, seed, num_threads)
    booster = lightgbm.train({**fixed, **parameters}, dataset(rows, schema, fixed), num_boost_round=rounds)
    text: str = booster.model_to_string()
    return text.encode()


def margins(model_text: bytes, features: FloatArray, num_threads: int = 1) -> FloatArray:
    """Log odds before calibration of each row, shape ``(n,)``; the bits do not depend on `num_threads`.

    Raises
    ------
    LifecycleError
        If the model has another number of features.
    """
    if format_of(model_text) == "xgboost":
        return _xgboost_margins(model_text, features)
    booster = _booster(model_text)
    if booster.num_feature() != features.shape[1]:
        raise LifecycleError(
            f"Expected {booster.num_feature()} features, got {features.shape[1]} - at the rows to score"
        )
    values: FloatArray = booster.predict(features, raw_score=True, num_threads=num_threads)
    return values.astype(np.float64)


def contributions(model_text: bytes, features: FloatArray) -> FloatArray:
    """Contributions to each row's margin, then the expected margin: shape ``(n, n_features + 1)``.

    LightGBM's own for its text; for XGBoost's JSON those of the server's kernel, since XGBoost may not be installed.
    """
    if format_of(model_text) == "xgboost":
        explained = TreeShap(lay_out(_xgboost_scorer(model_text).forest))
        return np.array([explained.contributions(row) for row in features], np.float64)
    values: FloatArray = _booster(model_text).predict(features, pred_contrib=True, num_threads=1)
    return values.astype(np.float64)


def served_contributions(model_text: bytes, features: FloatArray) -> FloatArray:
    """As `contributions`, by the server's own kernel; LightGBM's own where the kernel cannot explain its trees."""
    if format_of(model_text) == "lightgbm" and (forest := forest_if_supported(model_text)) is not None:
        explained = TreeShap(lay_out(forest))
        return np.array([explained.contributions(row) for row in features], np.float64)
    return contributions(model_text, features)


def importance(model_text: bytes) -> dict[str, float]:
    """Each feature's share of the total gain of all splits, highest first."""
    if format_of(model_text) == "xgboost":
        trees = read_trees(model_text)
        splits = trees.left >= 0
        totals = np.bincount(trees.feature[splits], trees.gain[splits], minlength=trees.n_features)
        return _shares(trees.feature_names, totals.astype(np.float64))
    booster = _booster(model_text)
    gains = booster.feature_importance(importance_type="gain").astype(np.float64)
    return _shares(booster.feature_name(), gains)


def _shares(names: Sequence[str], gains: FloatArray) -> dict[str, float]:
    shares = gains / (gains.sum() or 1.0)
    named = zip(names, shares.tolist(), strict=True)
    return dict(sorted(named, key=lambda pair: (-pair[1], pair[0])))


def require_both(rows: FitRows, where: str) -> None:
    """Reject rows that no model can learn from.

    Raises
    ------
    LifecycleError
        If one of the two classes is missing.
    """
    positives = int(rows.is_positive.sum())
    if positives in {0, len(rows.is_positive)}:
        raise LifecycleError(
            f"Expected positive and negative examples, got {positives} positive ones of "
            f"{len(rows.is_positive)} - at {where}"
        )


def _xgboost_margins(model_text: bytes, features: FloatArray) -> FloatArray:
    """The margins of the server's own code, row by row; some microseconds each."""
    scorer = _xgboost_scorer(model_text)
    if scorer.n_features != features.shape[1]:
        raise LifecycleError(f"Expected {scorer.n_features} features, got {features.shape[1]} - at the rows to score")
    return np.array([scorer.margin(row) for row in features.tolist()], np.float64)


@functools.lru_cache(maxsize=2)
def _xgboost_scorer(model_text: bytes) -> XGBoostScorer:
    return XGBoostScorer(read_trees(model_text))


def _booster(model_text: bytes) -> Any:
    import lightgbm

    return lightgbm.Booster(model_str=model_text.decode())
