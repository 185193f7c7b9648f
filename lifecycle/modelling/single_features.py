"""How well each feature ranks the outcomes alone."""

from collections.abc import Sequence

import numpy as np

from lifecycle.modelling.rank_statistics import rank_statistics
from lifecycle.spec.risk_model import FeatureSpec
from lifecycle.tables.arrays import BoolArray, FloatArray


def feature_auc(features: FloatArray, is_positive: BoolArray, schema: Sequence[FeatureSpec]) -> dict[str, float]:
    """ROC AUC of each feature in the better of its two directions, between 0.5 and 1.

    A missing value ranks below every number. A category ranks by its share of positives among these rows, which is the
    best that any order of the categories can do.

    Parameters
    ----------
    features, is_positive
        Shape ``(n, n_features)`` in the schema's order, and ``(n,)`` with both classes.
    """
    ranked = {}
    for position, feature in enumerate(schema):
        values = features[:, position]
        if feature.dtype == "category":
            values = _shares(values, is_positive)
        auc = rank_statistics([(values, is_positive)]).roc_auc
        ranked[feature.name] = 0.5 if auc is None else max(auc, 1 - auc)
    return ranked


def _shares(codes: FloatArray, is_positive: BoolArray) -> FloatArray:
    """The share of positives of each row's category, missing values being one."""
    _, groups = np.unique(np.where(np.isnan(codes), -1.0, codes), return_inverse=True)
    groups = groups.reshape(-1)
    shares: FloatArray = np.bincount(groups, weights=is_positive.astype(np.float64)) / np.bincount(groups)
    return shares[groups]
