"""Folds of the Fraud Detection Handbook: a week to train on, a week's delay, a week to test on.

Le Borgne et al., Reproducible Machine Learning for Credit Card Fraud Detection (2022), chapters 3 and 5. A card that is
known to be compromised has been blocked by the time of the test, so that its transactions leave the test set.
"""

import datetime as dt
from dataclasses import dataclass

import numpy as np

from lifecycle.errors import LifecycleError
from lifecycle.tables.arrays import AnyArray, BoolArray, IntArray, TimeArray, day_numbers, instant

TRAIN_DAYS = 7
DELAY_DAYS = 7
TEST_DAYS = 7
FOLD_DAYS = TRAIN_DAYS + DELAY_DAYS + TEST_DAYS


@dataclass(frozen=True)
class BookFold:
    """Positions of one fold's rows, ascending; `train` and `test` index the arrays that the fold was cut from."""

    start: dt.date
    train: IntArray
    test: IntArray

    @property
    def test_start(self) -> dt.date:
        """First day of the test, and the moment at which the training labels must be known."""
        return self.start + dt.timedelta(days=TRAIN_DAYS + DELAY_DAYS)

    @property
    def end(self) -> dt.date:
        """Day after the last one of the test."""
        return self.start + dt.timedelta(days=FOLD_DAYS)


def cut(start: dt.date, occurred_at: TimeArray, card: AnyArray, is_positive: BoolArray) -> BookFold:
    """Cut one fold, without the cards that are known to be compromised in its test.

    A card is known on test day d = 0..6 if it had a fraud in the training days or in the first d days of the delay:
    the positives of those days were reported, a week later, before the test day began.

    Parameters
    ----------
    start
        First training day.
    occurred_at, card, is_positive
        Every transaction, shape ``(n,)``, in any order; `is_positive` is the truth.

    Raises
    ------
    LifecycleError
        If a window of the fold is not covered by the transactions.
    """
    day = day_numbers(occurred_at) - int(day_numbers(np.array([instant(start)]))[0])
    train = np.flatnonzero((day >= 0) & (day < TRAIN_DAYS))
    parts = []
    for test_day in range(TEST_DAYS):
        is_known = is_positive & (day >= 0) & (day < TRAIN_DAYS + test_day)
        of_day = np.flatnonzero(day == TRAIN_DAYS + DELAY_DAYS + test_day)
        if not train.size or not of_day.size:
            raise LifecycleError(
                f"Expected transactions from {start} to {start + dt.timedelta(days=FOLD_DAYS - 1)}, got "
                f"{train.size} in the training days and {of_day.size} on test day {test_day} - at the fold of {start}"
            )
        parts.append(of_day[~np.isin(card[of_day], np.unique(card[is_known]))])
    return BookFold(start, train, np.concatenate(parts))


def require_earlier(searched: list[BookFold], tested: list[BookFold]) -> None:
    """Reject search folds whose outcomes were not all known when the first tested week began.

    Raises
    ------
    LifecycleError
        If a fold ends less than the delay before the first test.
    """
    first = min(fold.test_start for fold in tested)
    for fold in searched:
        known = fold.end + dt.timedelta(days=DELAY_DAYS)
        if known > first:
            raise LifecycleError(
                f"Expected search folds whose outcomes are known by {first}, when the first test begins, "
                f"got the fold of {fold.start}, known on {known} - at --search-folds"
            )
