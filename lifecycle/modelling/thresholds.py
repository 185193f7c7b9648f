"""Decision bands: the server's frozen thresholds, from the capacity of people and from what a score means.

The capacity is the number of entities, such as cards, that people can look at. It does not protect customers: a
capacity of at least the number of entities would stop all of them. Each band therefore has a floor, and the higher of
the two decides:

- Nothing is declined below ``decision.minimum_decline_score``. Scores are calibrated probabilities, and declining at
  ``p`` stops ``(1 - p) / p`` negative examples for each positive one. With the default of 0.5 that is one: nothing is
  declined while it is more likely negative than positive. This is the threshold ``c / (c + l)`` of Elkan, The
  Foundations of Cost-Sensitive Learning (2001), for equal costs of a wrong decline ``c`` and a missed positive ``l``.
- Nothing is reviewed below ``decision.minimum_review_lift`` times the odds of an average example. At 1, a random
  sample would find as much. Odds and not probabilities, so that the floor stays below 1 for a frequent event.
"""

from dataclasses import dataclass

import numpy as np

from lifecycle.errors import LifecycleError
from lifecycle.modelling.ranking import card_codes
from lifecycle.spec.decision import DecisionSpec
from lifecycle.tables.arrays import AnyArray, FloatArray, IntArray, TimeArray, day_numbers
from serving.contract.documents import Bands


@dataclass(frozen=True)
class Traffic:
    """Payments of whole days and the scores that the server would give them; every array of shape ``(n,)``."""

    occurred_at: TimeArray
    entity: AnyArray
    scores: FloatArray

    def __len__(self) -> int:
        return len(self.scores)


@dataclass(frozen=True)
class Floors:
    """Lowest scores that a capacity may review and decline; 0 with cut-offs, which people chose."""

    review: float
    decline: float


@dataclass(frozen=True)
class BandCounts:
    """What bands do to some traffic. An entity counts once a day; the reviewed ones include the declined ones."""

    days: int
    examples: int
    entity_days: int
    reviewed_entity_days: int
    declined_entity_days: int
    declined_examples: int


def floors(decision: DecisionSpec, base_rate: float) -> Floors:
    """The floors of the bands.

    Parameters
    ----------
    base_rate
        Share of positives among mature examples.

    Raises
    ------
    ValueError
        If the base rate is not between 0 and 1.

    Examples
    --------
    >>> from lifecycle.spec.decision import CapacitySpec
    >>> floors(DecisionSpec(capacity=CapacitySpec(review=10)), 0.01)
    Floors(review=0.0198..., decline=0.5)
    """
    if not 0 < base_rate < 1:
        raise ValueError(f"Expected a base rate between 0 and 1, got {base_rate}")
    if decision.capacity is None:
        return Floors(0.0, 0.0)
    odds = decision.minimum_review_lift * base_rate / (1 - base_rate)
    review = odds / (1 + odds)
    return Floors(review, max(decision.minimum_decline_score, review))


def decision_bands(traffic: Traffic, decision: DecisionSpec, base_rate: float) -> Bands:
    """The cut-offs of the model's file; or thresholds that, on the given days, at most the capacity reaches on average.

    Parameters
    ----------
    traffic
        Whole days. Days without an example do not count, since they would add to the other days' capacity.
    decision
        Cards a day to review in all (those declined among them), how many of these to decline, and the floors.
    base_rate
        As for `floors`.

    Returns
    -------
    Bands
        Scores that occurred, or a floor. Where equal scores straddle the capacity, the next higher score (if necessary
        above all scores), since the analysts' time is the limit.

    Raises
    ------
    LifecycleError
        If there is no traffic.
    """
    if decision.capacity is None:
        return Bands(review_from=decision.review_cut_off, decline_from=decision.decline_cut_off)
    if not len(traffic):
        raise LifecycleError("Expected examples to cut the decision bands on, got none - at the last days before as_of")
    lowest = floors(decision, base_rate)
    days, numbers = _entity_days(traffic)
    highest = np.full(numbers.max() + 1, -np.inf)
    np.maximum.at(highest, numbers, traffic.scores)
    descending: FloatArray = -np.sort(-highest)
    capacity = decision.capacity
    review = max(_threshold(descending, capacity.review * days), lowest.review)
    if capacity.decline is None:
        return Bands(review_from=review)
    return Bands(review_from=review, decline_from=max(_threshold(descending, capacity.decline * days), lowest.decline))


def count_bands(traffic: Traffic, bands: Bands) -> BandCounts:
    """Examples and entities of some traffic in each band."""
    days, numbers = _entity_days(traffic)
    is_declined = _reaches(traffic.scores, bands.decline_from)
    is_reviewed = _reaches(traffic.scores, bands.review_from) | is_declined
    return BandCounts(
        days=days,
        examples=len(traffic),
        entity_days=len(np.unique(numbers)),
        reviewed_entity_days=len(np.unique(numbers[is_reviewed])),
        declined_entity_days=len(np.unique(numbers[is_declined])),
        declined_examples=int(is_declined.sum()),
    )


def _reaches(scores: FloatArray, threshold: float | None) -> "np.ndarray[tuple[int], np.dtype[np.bool_]]":
    return np.zeros(len(scores), dtype=np.bool_) if threshold is None else scores >= threshold


def _entity_days(traffic: Traffic) -> tuple[int, IntArray]:
    """The number of days with examples, and each example's entity and day as one number from 0, shape ``(n,)``."""
    codes, entities = card_codes(traffic.entity)
    numbers = day_numbers(traffic.occurred_at)
    _, positions = np.unique(numbers * entities + codes, return_inverse=True)
    return len(np.unique(numbers)), positions.astype(np.int64).reshape(-1)


def _threshold(descending: FloatArray, entity_days: int) -> float:
    """The score that at most `entity_days` of the entities reach; 0 where the capacity suffices for all of them."""
    if entity_days >= len(descending):
        return 0.0
    inside, next_below = float(descending[entity_days - 1]), float(descending[entity_days])
    if inside > next_below:
        return inside
    above = descending[descending > inside]
    return float(above[-1]) if len(above) else float(np.nextafter(inside, np.inf))
