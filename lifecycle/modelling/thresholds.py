"""Decision bands: the server's frozen thresholds, from the analysts' alert capacity."""

import numpy as np

from lifecycle.modelling.ranking import Outcomes, card_codes
from lifecycle.spec.risk_model import DecisionSpec
from lifecycle.tables.arrays import FloatArray, day_numbers
from serving.contract.documents import Bands


def bands_from_capacity(outcomes: Outcomes, scores: FloatArray, decision: DecisionSpec) -> Bands:
    """Thresholds that, on the given days, at most the capacity's number of cards a day reach on average.

    Parameters
    ----------
    outcomes, scores
        Whole days of transactions and the scores that the server would have given, shape ``(n,)``.
    decision
        Cards a day to review in all (those declined among them), and how many of these to decline.

    Returns
    -------
    Bands
        Scores that occurred: where equal scores straddle the capacity, the next higher one (if necessary above all
        scores), since the analysts' time is the limit. A capacity above the number of cards sets the threshold to 0.
    """
    highest = _highest_of_card_days(outcomes, scores)
    days = len(np.unique(day_numbers(outcomes.occurred_at)))
    decline = decision.decline_cards_per_day
    return Bands(
        review_from=_threshold(highest, decision.review_cards_per_day * days),
        decline_from=None if decline is None else _threshold(highest, decline * days),
    )


def _highest_of_card_days(outcomes: Outcomes, scores: FloatArray) -> FloatArray:
    """The highest score of each card on each day, descending."""
    codes, cards = card_codes(outcomes.entity)
    keys = (day_numbers(outcomes.occurred_at)) * cards + codes
    unique, positions = np.unique(keys, return_inverse=True)
    highest = np.zeros(len(unique))
    np.maximum.at(highest, positions, scores)
    descending: FloatArray = -np.sort(-highest)
    return descending


def _threshold(descending: FloatArray, card_days: int) -> float:
    if card_days >= len(descending):
        return 0.0
    inside, next_below = float(descending[card_days - 1]), float(descending[card_days])
    if inside > next_below:
        return inside
    above = descending[descending > inside]
    return float(above[-1]) if len(above) else float(np.nextafter(inside, np.inf))
