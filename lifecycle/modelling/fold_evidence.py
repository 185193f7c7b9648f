"""The difference of two models over several out-of-time folds, and its interval.

The metric is computed within each fold, since the margins of models of different folds do not compare, and averaged by
the folds' events. A card or a terminal of several folds is one cluster of all of them.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from lifecycle.modelling.clusters import clustered_interval, clusterings
from lifecycle.modelling.evaluation import Interval, Predictions, Reviewed, metric_draws
from lifecycle.modelling.influence import influence_of
from lifecycle.modelling.ranking import Outcomes
from lifecycle.tables.arrays import AnyArray, FloatArray


@dataclass(frozen=True)
class FoldDifference:
    """A metric's difference on one fold, the influence of its rows, and their clusters: a column for each way."""

    value: float
    influence: FloatArray
    clusters: tuple[AnyArray, ...]
    positives: int


def fold_difference(
    outcomes: Outcomes,
    ours: Predictions,
    theirs: Predictions,
    reviewed: Reviewed,
    metric: str,
    clusters: Sequence[AnyArray],
) -> FoldDifference:
    """Our metric minus theirs on the rows of one fold.

    Raises
    ------
    LifecycleError
        If one of the two classes is missing.
    """
    values = [float(metric_draws(outcomes, scores, reviewed, draws=0)[metric][0]) for scores in (ours, theirs)]
    influences = [influence_of(metric, outcomes, scores, reviewed) for scores in (ours, theirs)]
    return FoldDifference(
        values[0] - values[1], influences[0] - influences[1], tuple(clusters), int(outcomes.is_positive.sum())
    )


def pooled_interval(folds: Sequence[FoldDifference], confidence: float) -> Interval:
    """The mean difference over the folds, weighted by their events, with its two-sided interval."""
    events = np.array([fold.positives for fold in folds], dtype=np.float64)
    weights = events / events.sum()
    value = float(sum(weight * fold.value for weight, fold in zip(weights, folds, strict=True)))
    influence = np.concatenate([weight * fold.influence for weight, fold in zip(weights, folds, strict=True)])
    clusters = [np.concatenate(columns) for columns in zip(*(fold.clusters for fold in folds), strict=True)]
    return clustered_interval(value, influence, clusterings(clusters), confidence)
