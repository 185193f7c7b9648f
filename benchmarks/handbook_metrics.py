"""The handbook's three metrics of a fold, and the interval of their mean over folds by drawing cards.

A draw is how often each card was drawn, out of all cards of all folds: a card that is in two folds is drawn into both.
"""

from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from lifecycle.modelling.ranking import Outcomes, card_codes, card_days
from lifecycle.tables.arrays import AnyArray, FloatArray

TOP_CARDS = 100
DRAWS = 200


class Metrics(NamedTuple):
    """ROC AUC, average precision and card precision@100."""

    auc: float
    average_precision: float
    card_precision_100: float


@dataclass(frozen=True)
class Interval:
    """A value and its 95 % percentile interval over the draws."""

    value: float
    low: float
    high: float


class Ranked:
    """One model's margins of one fold's test, sorted once for all draws."""

    def __init__(self, outcomes: Outcomes, margins: FloatArray) -> None:
        order = np.argsort(-margins, kind="stable")
        codes, self.card_count = card_codes(outcomes.entity)
        self.cards: AnyArray = np.unique(outcomes.entity)
        self._codes, self._fraud = codes[order], outcomes.is_positive[order]
        self._ends = np.append(np.flatnonzero(np.diff(margins[order])), len(order) - 1)
        self._days = card_days(outcomes, margins)

    def metrics(self, multiplicities: FloatArray | None = None) -> Metrics:
        """The metrics with each card counted as often as it was drawn, once if nothing is given.

        Parameters
        ----------
        multiplicities
            Shape ``(card_count,)``, in the order of `cards`.
        """
        drawn = np.ones(self.card_count) if multiplicities is None else multiplicities
        weights = drawn[self._codes]
        positives = np.cumsum(weights * self._fraud)[self._ends]
        rows = np.cumsum(weights)[self._ends]
        genuine = rows - positives
        precision = positives / np.maximum(rows, 1)
        average_precision = np.sum(np.diff(positives, prepend=0) * precision) / positives[-1]
        # The ROC curve starts at the origin; the trapezoid counts ties half.
        auc = np.trapezoid(np.append(0, positives), np.append(0, genuine)) / (positives[-1] * genuine[-1])
        return Metrics(float(auc), float(average_precision), self._card_precision(drawn))

    def _card_precision(self, drawn: FloatArray) -> float:
        """Mean over days of the share of compromised cards among the 100 of highest score; the found ones leave."""
        remaining = drawn.copy()
        precision = 0.0
        for day in self._days:
            weights = remaining[day.cards]
            ahead = np.cumsum(weights) - weights
            found = np.clip(TOP_CARDS - ahead, 0, weights) * day.has_positive
            precision += float(found.sum()) / TOP_CARDS
            remaining[day.cards] -= found
        return precision / len(self._days)


def mean_and_deviation(metrics: list[Metrics]) -> tuple[Metrics, Metrics]:
    """Mean over folds, and the deviation from it as the handbook prints it (of the folds, not of a sample of them)."""
    values = np.array(metrics)
    return Metrics(*values.mean(axis=0).tolist()), Metrics(*values.std(axis=0).tolist())


def mean_draws(folds: list[Ranked], seed: int, draws: int = DRAWS) -> FloatArray:
    """Mean metrics over folds for each draw of cards, shape ``(draws + 1, 3)``; the first row draws each card once.

    The same seed gives the same draws to every model that is ranked on the same folds.
    """
    cards = np.unique(np.concatenate([fold.cards for fold in folds]))
    places = [np.searchsorted(cards, fold.cards) for fold in folds]
    generator = np.random.default_rng(seed)
    rows = [np.mean([fold.metrics() for fold in folds], axis=0)]
    for _ in range(draws):
        counts = np.bincount(generator.integers(0, len(cards), len(cards)), minlength=len(cards)).astype(np.float64)
        rows.append(np.mean([fold.metrics(counts[at]) for fold, at in zip(folds, places, strict=True)], axis=0))
    return np.array(rows)


def paired_difference(ours: FloatArray, theirs: FloatArray) -> dict[str, Interval]:
    """Ours minus theirs over the same draws of `mean_draws`, by metric."""
    difference = ours - theirs
    low, high = np.quantile(difference[1:], [0.025, 0.975], axis=0)
    return {
        name: Interval(float(difference[0, at]), float(low[at]), float(high[at]))
        for at, name in enumerate(Metrics._fields)
    }
