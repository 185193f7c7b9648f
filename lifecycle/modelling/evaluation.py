"""Evaluates a model on a window it has not seen: up to nine metrics, one bootstrap, paired differences.

A bootstrap draw is a number for each card, how often it was drawn (cards, not transactions, are independent); every
metric takes these numbers as weights, so that no draw copies a row. Draw 0 takes each card once: the point estimate.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial

import numpy as np

from lifecycle.errors import LifecycleError
from lifecycle.modelling.ranking import CardDay, Outcomes, card_codes, card_days, require_both_classes
from lifecycle.spec.decision import DecisionSpec
from lifecycle.tables.arrays import AnyArray, FloatArray, IntArray, day_numbers

RANKING_METRICS = ("roc_auc", "gini", "ks", "average_precision")
CAPACITY_METRICS = ("card_precision", "recall_at_capacity", "value_recall_at_capacity")
CUT_OFF_METRICS = ("precision_at_cut_off", "recall_at_cut_off", "value_recall_at_cut_off")
PROBABILITY_METRICS = ("brier", "calibration_error")
DRAWS = 200
SEED = 20180401
CALIBRATION_BINS = 10
ELEMENTS_PER_BLOCK = 4_000_000
"""Draws times rows of one step: 32 MB an array, so that memory does not grow with the number of draws."""


@dataclass(frozen=True)
class Interval:
    """A metric's value on the window, and its percentile interval over the bootstrap draws."""

    value: float
    low: float
    high: float


@dataclass(frozen=True)
class Evaluation:
    """Metrics of one model on one window, by name.

    `capacity` or `cut_off` is that of the metrics at it, by what the model's decisions are made.
    """

    metrics: dict[str, Interval]
    rows: int
    positives: int
    cards: int
    days: int
    capacity: int | None
    confidence: float
    draws: int
    cut_off: float | None = None


@dataclass(frozen=True)
class Predictions:
    """A model's margins (they rank) and scores (they are probabilities) of a window's rows, shape ``(n,)`` each."""

    margins: FloatArray
    scores: FloatArray


@dataclass(frozen=True)
class Reviewed:
    """Which examples the metrics count as reviewed: those of so many entities a day, or those from a score on."""

    capacity: int | None = None
    cut_off: float | None = None

    @property
    def metrics(self) -> tuple[str, ...]:
        """The metrics that fit."""
        return CAPACITY_METRICS if self.capacity is not None else CUT_OFF_METRICS


def reviewed_by(decision: DecisionSpec) -> Reviewed:
    """What a model's decisions count as reviewed."""
    return Reviewed(decision.review_capacity, decision.review_cut_off)


def evaluate(
    outcomes: Outcomes,
    predictions: Predictions,
    reviewed: Reviewed,
    *,
    confidence: float = 0.95,
    draws: int = DRAWS,
    seed: int = SEED,
) -> Evaluation:
    """All metrics of one model with their intervals.

    Parameters
    ----------
    outcomes, predictions
        The window's rows, in the same order.
    reviewed
        By capacity, the k of the metrics at capacity, or by a cut-off.
    confidence
        Share of the draws inside an interval.
    draws, seed
        The bootstrap's.

    Raises
    ------
    LifecycleError
        If the window has no positive or nothing else, or the arrays differ in length.
    """
    drawn = metric_draws(outcomes, predictions, reviewed, draws=draws, seed=seed)
    return _evaluation(outcomes, drawn, reviewed, confidence)


def paired_difference(
    outcomes: Outcomes,
    ours: Predictions,
    theirs: Predictions,
    reviewed: Reviewed,
    *,
    confidence: float = 0.95,
    draws: int = DRAWS,
    seed: int = SEED,
) -> dict[str, Interval]:
    """Metric of `ours` minus metric of `theirs` on the same rows, with the interval over the same draws of entities.

    Raises
    ------
    LifecycleError
        As `evaluate`.
    """
    return compare(outcomes, ours, theirs, reviewed, confidence=confidence, draws=draws, seed=seed)[2]


def compare(
    outcomes: Outcomes,
    ours: Predictions,
    theirs: Predictions,
    reviewed: Reviewed,
    *,
    confidence: float = 0.95,
    draws: int = DRAWS,
    seed: int = SEED,
) -> tuple[Evaluation, Evaluation, dict[str, Interval]]:
    """`evaluate` of both models and their `paired_difference`, for the cost of the two evaluations."""
    our_draws = metric_draws(outcomes, ours, reviewed, draws=draws, seed=seed)
    their_draws = metric_draws(outcomes, theirs, reviewed, draws=draws, seed=seed)
    return (
        _evaluation(outcomes, our_draws, reviewed, confidence),
        _evaluation(outcomes, their_draws, reviewed, confidence),
        {name: _interval(values - their_draws[name], confidence) for name, values in our_draws.items()},
    )


def metric_draws(
    outcomes: Outcomes, predictions: Predictions, reviewed: Reviewed, *, draws: int = DRAWS, seed: int = SEED
) -> dict[str, FloatArray]:
    """Each metric over the draws, shape ``(draws + 1,)``; the first is the value on the window itself.

    The metrics, with a row's weight being how often its entity was drawn:

    - ``roc_auc``: probability that a positive example has a higher margin than a negative one, ties half.
    - ``gini``: ``2 roc_auc - 1``, the accuracy ratio of credit scoring.
    - ``ks``: the largest distance between the distributions of margins of the two classes (Kolmogorov and Smirnov).
    - ``average_precision``: sum over distinct margins of the recall gained times the precision there.
    - ``card_precision``: for each day the `capacity` entities of highest score (an entity's score is its highest of the
      day); the share of them with a positive that day; such an entity leaves the later days. Mean over the window's
      days, also those for which a draw has no entity. Le Borgne et al., Reproducible Machine Learning for Credit Card
      Fraud Detection (2022), "Card Precision top-k".
    - ``recall_at_capacity``: of all positive examples, the share whose entity is among the `capacity` of highest
      score of its day. Days are independent: no entity leaves, since it is not yet known whether a report will come.
    - ``precision_at_cut_off``, ``recall_at_cut_off``: of the examples from the cut-off on, the share of positives; of
      the positives, the share from the cut-off on. In place of the two above.
    - ``value_recall_at_capacity`` and ``value_recall_at_cut_off``: the same share of the positives' amount, where
      examples have one.
    - ``brier``: mean squared difference of score and outcome.
    - ``calibration_error``: over `CALIBRATION_BINS` bins of equally many rows in order of score, the mean over rows of
      the absolute difference between the bin's mean score and its share of positives.

    A draw in which a metric is not defined (no positive drawn) is ``NaN`` and excluded from intervals.
    """
    sizes = {len(outcomes), len(predictions.margins), len(predictions.scores)}
    if len(sizes) != 1:
        raise LifecycleError(
            f"Expected as many margins and scores as outcomes, got {sorted(sizes)} - at the evaluation"
        )
    require_both_classes(outcomes, "the evaluation window")
    codes, entities = card_codes(outcomes.entity)
    row_metrics = _RowMetrics(outcomes, predictions, codes)
    if reviewed.capacity is None:
        at_review = cut_off_metrics(outcomes, predictions, codes, reviewed.cut_off or 0.0)
    else:
        at_review = partial(_capacity_metrics, card_days(outcomes, predictions.margins), reviewed.capacity)
    parts = [
        row_metrics.over(multiplicities) | at_review(multiplicities)
        for multiplicities in _multiplicities(entities, len(outcomes), draws, seed)
    ]
    names = (*RANKING_METRICS, *reviewed.metrics, *PROBABILITY_METRICS)
    return {name: np.concatenate([part[name] for part in parts]) for name in names if name in parts[0]}


def _multiplicities(cards: int, rows: int, draws: int, seed: int) -> Iterator[FloatArray]:
    """How often each card is drawn, in blocks of draws of shape ``(b, cards)``; the very first draw is all ones."""
    generator = np.random.default_rng(seed)
    block = max(1, ELEMENTS_PER_BLOCK // max(rows, cards))
    yield np.ones((1, cards))
    for start in range(0, draws, block):
        size = min(block, draws - start)
        counts = [np.bincount(generator.integers(0, cards, cards), minlength=cards) for _ in range(size)]
        yield np.array(counts, dtype=np.float64)


class _RowMetrics:
    """The metrics that are sums over rows, with the sorting done once."""

    def __init__(self, outcomes: Outcomes, predictions: Predictions, codes: IntArray) -> None:
        order = np.argsort(-predictions.margins, kind="stable")
        margins = predictions.margins[order]
        self._cards = codes[order]
        positive = outcomes.is_positive[order]
        self._positive_rows = np.flatnonzero(positive)
        # Only distinct margins that some positive has matter: precision and recall are needed nowhere else.
        ends = np.append(np.flatnonzero(np.diff(margins)), len(margins) - 1)
        group = np.searchsorted(ends, self._positive_rows)
        groups, self._group_starts = np.unique(group, return_index=True)
        self._ends = ends[groups]
        self._before = np.where(groups > 0, ends[groups - 1], -1)
        scores = predictions.scores[order]
        error = scores - positive
        self._squared_error = np.bincount(self._cards, weights=error**2)
        self._rows = np.bincount(self._cards).astype(np.float64)
        self._bins = [
            np.bincount(self._cards[rows], weights=error[rows], minlength=len(self._rows))
            for rows in np.array_split(np.arange(len(scores)), CALIBRATION_BINS)
        ]

    def over(self, multiplicities: FloatArray) -> dict[str, FloatArray]:
        """The metrics of each draw, shape ``(b,)``."""
        auc, ks, precision = self._ranking(multiplicities)
        rows = weighted_sums(multiplicities, self._rows)
        # |sum over a bin of (score - outcome)| / rows = the bin's share of rows * |mean score - share of positives|
        gaps = sum(
            (np.abs(weighted_sums(multiplicities, errors)) for errors in self._bins), np.zeros(len(multiplicities))
        )
        return {
            "roc_auc": auc,
            "gini": 2 * auc - 1,
            "ks": ks,
            "average_precision": precision,
            "brier": weighted_sums(multiplicities, self._squared_error) / rows,
            "calibration_error": gaps / rows,
        }

    def _ranking(self, multiplicities: FloatArray) -> tuple[FloatArray, FloatArray, FloatArray]:
        weights = multiplicities[:, self._cards]
        gained = np.add.reduceat(weights[:, self._positive_rows], self._group_starts, axis=1)
        totals = np.cumsum(weights, axis=1)
        at_end = totals[:, self._ends]
        at_start = np.where(self._before >= 0, totals[:, self._before], 0.0)
        positives = np.cumsum(gained, axis=1)
        all_positives, all_rows = positives[:, -1], totals[:, -1]
        with np.errstate(divide="ignore", invalid="ignore"):
            precision = np.where(at_end > 0, positives / at_end, 0.0)
            average_precision = (gained * precision).sum(axis=1) / all_positives
            negatives = (all_rows - all_positives)[:, None]
            negatives_at_end = at_end - positives
            negatives_at_start = at_start - (positives - gained)
            below = negatives - (negatives_at_end + negatives_at_start) / 2
            auc = (gained * below).sum(axis=1) / (all_positives * negatives[:, 0])
            # The distance grows with each positive and shrinks with each negative: it is largest after a positive.
            ks = (positives / all_positives[:, None] - negatives_at_end / negatives).max(axis=1)
        return auc, ks, average_precision


def weighted_sums(weights: FloatArray, values: AnyArray) -> FloatArray:
    """Sum of the values by each row's weights, shape ``(b,)``; not by BLAS, whose order depends on the machine.

    Parameters
    ----------
    weights, values
        Shape ``(b, n)`` and ``(n,)``.
    """
    sums: FloatArray = np.einsum("ij,j->i", weights, values, optimize=False)
    return sums


def _seen(weights: FloatArray, capacity: int) -> FloatArray:
    """How many copies of each card are among the `capacity` first, shape as `weights` (draws, cards in rank order)."""
    ahead = np.cumsum(weights, axis=1) - weights
    seen: FloatArray = np.minimum(weights, np.maximum(capacity - ahead, 0.0))
    return seen


def _capacity_metrics(days: list[CardDay], capacity: int, multiplicities: FloatArray) -> dict[str, FloatArray]:
    """The metrics at a capacity of each draw, shape ``(b,)``."""
    precision = _card_precision(days, multiplicities, capacity)
    return {"card_precision": precision} | _recalls(days, multiplicities, capacity)


def _card_precision(days: list[CardDay], multiplicities: FloatArray, capacity: int) -> FloatArray:
    remaining = multiplicities.copy()
    precision = np.zeros(len(multiplicities))
    for day in days:
        found = _seen(remaining[:, day.cards], capacity) * day.has_positive
        precision += found.sum(axis=1) / capacity
        remaining[:, day.cards] -= found
    mean: FloatArray = precision / len(days)
    return mean


def _recalls(days: list[CardDay], multiplicities: FloatArray, capacity: int) -> dict[str, FloatArray]:
    caught: dict[str, FloatArray] = {}
    total: dict[str, FloatArray] = {}
    for day in days:
        weights = multiplicities[:, day.cards]
        seen = _seen(weights, capacity)
        for name, worth in (
            ("recall_at_capacity", day.positives),
            ("value_recall_at_capacity", day.positive_amount),
        ):
            if worth is not None:
                caught[name] = caught.get(name, 0.0) + weighted_sums(seen, worth)
                total[name] = total.get(name, 0.0) + weighted_sums(weights, worth)
    with np.errstate(divide="ignore", invalid="ignore"):
        return {name: found / total[name] for name, found in caught.items()}


def cut_off_metrics(
    outcomes: Outcomes, predictions: Predictions, codes: IntArray, cut_off: float
) -> Callable[[FloatArray], dict[str, FloatArray]]:
    """The metrics at a cut-off as a function of the draws, with the sums of each entity done once."""
    is_reviewed, is_positive = predictions.scores >= cut_off, outcomes.is_positive
    reviewed, positives, caught = (
        np.bincount(codes, weights=rows.astype(np.float64))
        for rows in (is_reviewed, is_positive, is_reviewed & is_positive)
    )
    shares = {"precision_at_cut_off": (caught, reviewed), "recall_at_cut_off": (caught, positives)}
    if outcomes.amount is not None:
        worth = np.bincount(codes, weights=outcomes.amount * is_positive)
        shares["value_recall_at_cut_off"] = (
            np.bincount(codes, weights=outcomes.amount * (is_reviewed & is_positive)),
            worth,
        )

    def over(multiplicities: FloatArray) -> dict[str, FloatArray]:
        with np.errstate(divide="ignore", invalid="ignore"):
            return {
                name: weighted_sums(multiplicities, part) / weighted_sums(multiplicities, whole)
                for name, (part, whole) in shares.items()
            }

    return over


def _evaluation(outcomes: Outcomes, drawn: dict[str, FloatArray], reviewed: Reviewed, confidence: float) -> Evaluation:
    return Evaluation(
        metrics={name: _interval(values, confidence) for name, values in drawn.items()},
        rows=len(outcomes),
        positives=int(outcomes.is_positive.sum()),
        cards=card_codes(outcomes.entity)[1],
        days=len(np.unique(day_numbers(outcomes.occurred_at))),
        capacity=reviewed.capacity,
        confidence=confidence,
        draws=len(drawn["roc_auc"]) - 1,
        cut_off=reviewed.cut_off,
    )


def _interval(draws: FloatArray, confidence: float) -> Interval:
    """Percentile interval of the draws after the first, which is the value."""
    defined = draws[1:][np.isfinite(draws[1:])]
    if not len(defined):
        return Interval(float(draws[0]), float("nan"), float("nan"))
    tail = (1 - confidence) / 2
    low, high = np.quantile(defined, [tail, 1 - tail])
    return Interval(float(draws[0]), float(low), float(high))
