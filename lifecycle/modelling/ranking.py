"""Rows of one evaluation window in the orders that the weighted metrics need, computed once for all bootstrap draws."""

from dataclasses import dataclass

import numpy as np

from lifecycle.errors import LifecycleError
from lifecycle.tables.arrays import AnyArray, BoolArray, FloatArray, IntArray, TimeArray, day_numbers


@dataclass(frozen=True)
class Outcomes:
    """What happened in an evaluation window; every array of shape ``(n,)``.

    `clusters` are further columns by which rows belong together, such as the terminal.
    """

    occurred_at: TimeArray
    entity: AnyArray
    amount: FloatArray | None
    is_positive: BoolArray
    clusters: tuple[AnyArray, ...] = ()

    @property
    def ways(self) -> tuple[AnyArray, ...]:
        """Every way in which rows belong together: by entity first."""
        return (self.entity, *self.clusters)

    def __len__(self) -> int:
        return len(self.is_positive)

    def rows(self, index: IntArray | BoolArray) -> "Outcomes":
        """The outcomes at `index` (positions or a mask), in that order."""
        amount = None if self.amount is None else self.amount[index]
        clusters = tuple(column[index] for column in self.clusters)
        return Outcomes(self.occurred_at[index], self.entity[index], amount, self.is_positive[index], clusters)


@dataclass(frozen=True)
class CardDay:
    """The cards of one day, highest score first; a card's score is its highest of the day."""

    cards: IntArray
    has_positive: BoolArray
    positives: FloatArray
    positive_amount: FloatArray | None


def card_codes(entity: AnyArray) -> tuple[IntArray, int]:
    """Each row's card as a number from 0, and how many cards there are."""
    unique, codes = np.unique(entity, return_inverse=True)
    return codes.astype(np.int64).reshape(-1), len(unique)


def card_days(outcomes: Outcomes, margins: FloatArray) -> list[CardDay]:
    """The days of the window that have transactions, in order.

    Cards of equal score keep the order of their numbers (`card_codes`).
    """
    codes, _ = card_codes(outcomes.entity)
    numbers = day_numbers(outcomes.occurred_at)
    listed = []
    for number in np.unique(numbers):
        of_day = numbers == number
        cards, positions = np.unique(codes[of_day], return_inverse=True)
        highest = np.full(len(cards), -np.inf)
        np.maximum.at(highest, positions, margins[of_day])
        is_positive, order = outcomes.is_positive[of_day], np.argsort(-highest, kind="stable")
        positives = _summed(positions, is_positive.astype(np.float64), len(cards))[order]
        amount = None
        if outcomes.amount is not None:
            amount = _summed(positions, is_positive * outcomes.amount[of_day], len(cards))[order]
        listed.append(CardDay(cards[order], positives > 0, positives, amount))
    return listed


def _summed(positions: IntArray, values: FloatArray, size: int) -> FloatArray:
    sums = np.zeros(size)
    np.add.at(sums, positions, values)
    return sums


def require_both_classes(outcomes: Outcomes, where: str) -> None:
    """Reject a window on which no metric is defined.

    Raises
    ------
    LifecycleError
        If one of the two classes is missing.
    """
    positives = int(outcomes.is_positive.sum())
    if positives in {0, len(outcomes)}:
        raise LifecycleError(
            f"Expected positive and negative examples, got {positives} positive ones of {len(outcomes)} - at {where}"
        )
