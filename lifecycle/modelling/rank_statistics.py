"""How well scores rank the two classes, from parts that need not be in memory at once with anything else."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from lifecycle.tables.arrays import BoolArray, FloatArray


@dataclass(frozen=True)
class RankStatistics:
    """Counts of rows, and how their scores rank them.

    `roc_auc` and `ks` are ``None`` if a class is missing, `mean_score` is ``None`` without rows.
    """

    rows: int
    positives: int
    roc_auc: float | None = None
    ks: float | None = None
    mean_score: float | None = None


def rank_statistics(parts: Sequence[tuple[FloatArray, BoolArray]]) -> RankStatistics:
    """ROC AUC with ties half (Mann and Whitney, 1947), and the distance of Kolmogorov and Smirnov.

    Parameters
    ----------
    parts
        Scores, and whether each is of a positive example; shape ``(n,)`` each. ``NaN`` ranks below every number.

    Examples
    --------
    >>> scores, is_positive = np.array([0.25, 0.5, 0.5, 0.75]), np.array([False, False, True, True])
    >>> rank_statistics([(scores, is_positive)])
    RankStatistics(rows=4, positives=2, roc_auc=0.875, ks=0.5, mean_score=0.5)
    """
    scores = np.concatenate([part[0] for part in parts]) if parts else np.empty(0)
    is_positive = np.concatenate([part[1] for part in parts]) if parts else np.empty(0, dtype=np.bool_)
    rows, positives = len(scores), int(is_positive.sum())
    if not rows:
        return RankStatistics(0, 0)
    mean = float(scores.mean())
    if positives in {0, rows}:
        return RankStatistics(rows, positives, mean_score=mean)
    unique, codes = np.unique(np.where(np.isnan(scores), -np.inf, scores), return_inverse=True)
    codes = codes.reshape(-1)
    of_positive = np.bincount(codes[is_positive], minlength=len(unique))
    of_negative = np.bincount(codes[~is_positive], minlength=len(unique))
    below = np.cumsum(of_negative) - of_negative
    auc = float((of_positive * (below + of_negative / 2)).sum() / (positives * (rows - positives)))
    distance = np.cumsum(of_negative) / (rows - positives) - np.cumsum(of_positive) / positives
    return RankStatistics(rows, positives, auc, float(distance.max()), mean)
