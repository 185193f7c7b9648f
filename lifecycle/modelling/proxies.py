"""How well a model's features predict a protected attribute that they must not stand for."""

from collections.abc import Sequence

import numpy as np

from lifecycle.modelling.fairness import group_codes
from lifecycle.modelling.rank_statistics import rank_statistics
from lifecycle.tables.arrays import AnyArray, FloatArray, IntArray

FOLDS = 3
TREES = 60
LARGEST_SAMPLE = 20_000
SEED = 20180401


def proxy_auc(
    features: FloatArray,
    entity: IntArray,
    attribute: AnyArray,
    categorical: Sequence[int] = (),
    minimum_rows: int = 300,
) -> dict[str, float]:
    """ROC AUC of each group against all others, predicted from the features by small trees.

    0.5: the features say nothing about the group; 1: they name it. Cross-fitted: no entity is predicted by trees that
    have seen it. A report and no limit: a feature may be related to an attribute and to the risk for good reasons,
    which people must weigh (12 CFR 1002, supplement I, comment 6(a)-2 on the effects test).

    Parameters
    ----------
    features
        Shape ``(n, n_features)``, ``NaN`` where missing.
    entity, attribute
        Number of the entity, and its value or ``None``, shape ``(n,)`` each. Rows without a value are left out.
    categorical
        Positions of the features that hold codes of categories.
    minimum_rows
        Groups with fewer rows are left out.
    """
    codes, names = group_codes(attribute)
    known = np.flatnonzero(codes < sum(name is not None for name in names))
    random = np.random.default_rng(SEED)
    if len(known) > LARGEST_SAMPLE:
        known = np.sort(random.choice(known, LARGEST_SAMPLE, replace=False))
    _, entities = np.unique(entity[known], return_inverse=True)
    folds = random.integers(FOLDS, size=entities.max() + 1)[entities.reshape(-1)] if len(known) else entities
    found = {}
    for number, name in enumerate(names):
        is_member = codes[known] == number
        if name is None or is_member.sum() < minimum_rows or (~is_member).sum() < minimum_rows:
            continue
        scores = _cross_fitted(features[known], is_member.astype(np.float64), folds, list(categorical))
        auc = rank_statistics([(scores, is_member)]).roc_auc
        found[str(name)] = float("nan") if auc is None else auc
    return found


def _cross_fitted(features: FloatArray, target: FloatArray, folds: IntArray, categorical: list[int]) -> FloatArray:
    import lightgbm

    scores = np.empty(len(target))
    parameters = {
        "objective": "binary", "num_leaves": 15, "learning_rate": 0.1, "min_data_in_leaf": 50, "num_threads": 1,
        "verbosity": -1, "seed": SEED, "deterministic": True, "force_col_wise": True,
    }  # fmt: skip
    for fold in range(FOLDS):
        is_held_out = folds == fold
        data = lightgbm.Dataset(features[~is_held_out], target[~is_held_out], categorical_feature=categorical)
        booster = lightgbm.train(parameters, data, TREES)
        scores[is_held_out] = booster.predict(features[is_held_out], num_threads=1)
    return scores
