import datetime as dt
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest

from benchmarks.handbook_folds import BookFold, cut, require_earlier
from lifecycle.errors import LifecycleError
from lifecycle.tables.arrays import BoolArray, IntArray, TimeArray, instant

START = dt.date(2018, 7, 25)
HANDBOOK = Path(__file__).resolve().parents[3] / "shared/data/card_fraud_handbook/transactions.parquet"


def noon(day: int) -> np.datetime64:
    return instant(START) + np.timedelta64(24 * day + 12, "h")


def transactions(rows: list[tuple[int, int, bool]]) -> tuple[TimeArray, IntArray, BoolArray]:
    """Rows of (day of the fold, card, is it a fraud)."""
    occurred_at = np.array([noon(day) for day, _, _ in rows])
    return occurred_at, np.array([card for _, card, _ in rows]), np.array([fraud for _, _, fraud in rows])


def genuine_every_day(card: int) -> list[tuple[int, int, bool]]:
    return [(day, card, False) for day in range(21)]


def test_the_windows_are_a_week_each_and_follow_one_another() -> None:
    rows = [(day, 1, False) for day in range(-2, 23)]
    occurred_at, card, is_positive = transactions(rows)
    fold = cut(START, occurred_at, card, is_positive)
    days = [day for day, _, _ in rows]
    assert [days[at] for at in fold.train] == list(range(7))
    assert [days[at] for at in fold.test] == list(range(14, 21))
    assert (fold.test_start, fold.end) == (dt.date(2018, 8, 8), dt.date(2018, 8, 15))


def test_midnight_belongs_to_the_day_it_begins() -> None:
    midnights = np.array([instant(START) + np.timedelta64(day, "D") for day in range(22)])
    fold = cut(START, midnights, np.arange(22), np.zeros(22, dtype=bool))
    assert fold.train.tolist() == list(range(7))
    assert fold.test.tolist() == list(range(14, 21))


@pytest.mark.parametrize(
    ("fraud_day", "left_test_days"),
    [
        (-1, 7),  # before the training days: the handbook looks no further back
        (0, 0),
        (6, 0),
        (7, 1),  # first day of the delay: known from the second test day on
        (12, 6),
        (13, 7),  # last day of the delay: reported after the last test day began
        (14, 7),
    ],
)
def test_a_compromised_card_leaves_the_test_when_its_fraud_is_known(fraud_day: int, left_test_days: int) -> None:
    occurred_at, card, is_positive = transactions(
        [*genuine_every_day(card=1), *genuine_every_day(card=2), (fraud_day, 2, True)]
    )
    fold = cut(START, occurred_at, card, is_positive)
    of_card = fold.test[(card[fold.test] == 2) & ~is_positive[fold.test]]
    assert len(of_card) == left_test_days
    assert np.count_nonzero(card[fold.test] == 1) == 7


def test_compromised_cards_stay_in_the_training_days() -> None:
    occurred_at, card, is_positive = transactions(
        [*genuine_every_day(card=1), *genuine_every_day(card=2), (0, 2, True)]
    )
    fold = cut(START, occurred_at, card, is_positive)
    assert np.count_nonzero(card[fold.train] == 2) == 8


def test_a_fold_beyond_the_transactions_is_refused() -> None:
    occurred_at, card, is_positive = transactions(genuine_every_day(card=1))
    with pytest.raises(LifecycleError, match="Expected transactions from 2018-08-01 to 2018-08-21"):
        cut(START + dt.timedelta(days=7), occurred_at, card, is_positive)


@pytest.mark.parametrize(("days_earlier", "is_refused"), [(14, False), (13, True), (0, True)])
def test_a_search_fold_must_be_known_before_the_first_test(days_earlier: int, is_refused: bool) -> None:
    nothing = np.array([], dtype=np.int64)
    searched = [BookFold(START - dt.timedelta(days=days_earlier), nothing, nothing)]
    tested = [BookFold(START + dt.timedelta(days=7), nothing, nothing), BookFold(START, nothing, nothing)]
    if is_refused:
        with pytest.raises(LifecycleError, match="known by 2018-08-08"):
            require_earlier(searched, tested)
    else:
        require_earlier(searched, tested)


@pytest.mark.handbook
def test_the_handbooks_first_fold_has_the_handbooks_counts() -> None:
    assert HANDBOOK.is_file(), f"Expected the handbook's transactions at {HANDBOOK}"
    table = pq.read_table(HANDBOOK, columns=["TX_DATETIME", "CUSTOMER_ID", "TX_FRAUD"])
    is_positive = table["TX_FRAUD"].to_numpy() == 1
    fold = cut(START, table["TX_DATETIME"].to_numpy(), table["CUSTOMER_ID"].to_numpy(), is_positive)
    assert (len(fold.train), int(is_positive[fold.train].sum())) == (67_240, 598)
    assert (len(fold.test), int(is_positive[fold.test].sum())) == (58_264, 385)
