"""Two models on each slice of a window: whether one of them is worse on a part of the rows.

A mean over all rows hides a slice on which a model became worse (Chung and others, Slice Finder (2019); TFX's Evaluator
judges slices for the same reason). A slice has the ranking metric, computed within it, and the Brier score, which also
sees scores of one slice that moved as a whole.
"""

import itertools
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from lifecycle.modelling.clusters import clustered_test, clusterings
from lifecycle.modelling.evaluation import RANKING_METRICS, Interval, Predictions, Reviewed, metric_draws
from lifecycle.modelling.influence import influence_of
from lifecycle.modelling.ranking import Outcomes
from lifecycle.spec.fields import FieldSpec
from lifecycle.spec.slices import SliceLimits, SliceSpec, is_flag
from lifecycle.tables.arrays import BoolArray, FloatArray

BRIER = "brier"


@dataclass(frozen=True)
class Slice:
    """A part of the rows by one feature; shape of `mask` ``(n,)``."""

    feature: str
    name: str
    mask: BoolArray


@dataclass(frozen=True)
class SliceGain:
    """Our metric minus theirs, or for the Brier score theirs minus ours: above 0 we are better.

    `p_value` is the two-sided one of no difference.
    """

    metric: str
    gain: Interval
    p_value: float


@dataclass(frozen=True)
class SliceFigures:
    """One slice; `gains` are empty if it has too few examples of one outcome to judge."""

    feature: str
    name: str
    rows: int
    positives: int
    gains: tuple[SliceGain, ...]


def chosen_slices(features: Sequence[FieldSpec], limits: SliceLimits) -> tuple[SliceSpec, ...]:
    """The declared slices, or by default those of each category and flag."""
    if limits.by is not None:
        return limits.by
    return tuple(SliceSpec(feature=each.name) for each in features if each.dtype == "category" or is_flag(each))


def slices(features: Sequence[FieldSpec], rows: FloatArray, chosen: Sequence[SliceSpec]) -> list[Slice]:
    """The slices that have a row.

    Parameters
    ----------
    features
        In the order of the columns of `rows`, shape ``(n, n_features)``.
    """
    positions = {feature.name: position for position, feature in enumerate(features)}
    found = []
    for each in chosen:
        position = positions[each.feature]
        found += [part for part in _parts(features[position], rows[:, position], each) if part.mask.any()]
    return found


def _parts(feature: FieldSpec, values: FloatArray, chosen: SliceSpec) -> Iterator[Slice]:
    name = feature.name
    if feature.dtype == "category":
        for code, category in enumerate(feature.categories or ()):
            yield Slice(name, f"{name} = {category}", values == code)
    elif not chosen.cuts:
        for value in np.unique(values[~np.isnan(values)]).tolist():
            yield Slice(name, f"{name} = {value:g}", values == value)
    else:
        ends = (-np.inf, *chosen.cuts, np.inf)
        for low, high in itertools.pairwise(ends):
            text = f"{name} < {high:g}" if low == -np.inf else f"{name} >= {low:g}"
            text += f", < {high:g}" if -np.inf < low and high < np.inf else ""
            yield Slice(name, text, (values >= low) & (values < high))
    yield Slice(name, f"{name} is missing", np.isnan(values))


def compare_by_slice(
    outcomes: Outcomes,
    ours: Predictions,
    theirs: Predictions,
    found: Sequence[Slice],
    metric: str,
    minimum_positives: int,
    confidence: float,
) -> tuple[SliceFigures, ...]:
    """Both models on each slice; intervals and p-values know every way in which rows cluster.

    Parameters
    ----------
    metric
        The ranking metric; average precision is taken for one of the whole window, such as recall at capacity.
    minimum_positives
        A slice with fewer positive or fewer other examples has no gains.
    """
    ranking = metric if metric in RANKING_METRICS else "average_precision"
    compared = []
    for each in found:
        rows = np.flatnonzero(each.mask)
        inside = outcomes.rows(rows)
        positives = int(inside.is_positive.sum())
        gains: tuple[SliceGain, ...] = ()
        if minimum_positives <= min(positives, len(rows) - positives):
            pair = (_of(ours, each.mask), _of(theirs, each.mask))
            gains = tuple(_gain(inside, *pair, name, confidence) for name in (ranking, BRIER))
        compared.append(SliceFigures(each.feature, each.name, len(rows), positives, gains))
    return tuple(compared)


def _of(predictions: Predictions, mask: BoolArray) -> Predictions:
    return Predictions(predictions.margins[mask], predictions.scores[mask])


def _gain(outcomes: Outcomes, ours: Predictions, theirs: Predictions, metric: str, confidence: float) -> SliceGain:
    sign = -1.0 if metric == BRIER else 1.0
    reviewed = Reviewed(cut_off=0.5)
    values = [float(metric_draws(outcomes, each, reviewed, draws=0)[metric][0]) for each in (ours, theirs)]
    influence = [influence_of(metric, outcomes, each, reviewed) for each in (ours, theirs)]
    gain, p_value = clustered_test(
        sign * (values[0] - values[1]), sign * (influence[0] - influence[1]), clusterings(outcomes.ways), confidence
    )
    return SliceGain(metric, gain, p_value)
