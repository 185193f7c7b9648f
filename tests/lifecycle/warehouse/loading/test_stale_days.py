import datetime as dt
import itertools

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lifecycle.warehouse.loading.stale_days import DayRange, changed_range, merge
from lifecycle.warehouse.raw_tables import declarations

TRANSACTIONS = declarations().table("card_transactions")
REPORTS = declarations().table("fraud_reports")
WITHDRAWALS = declarations().table("report_withdrawals")
START = dt.date(2018, 4, 1)


def day(number: int) -> dt.date:
    return START + dt.timedelta(days=number)


def days(*ranges: tuple[int, int]) -> tuple[DayRange, ...]:
    return tuple(DayRange(day(first), day(end)) for first, end in ranges)


TRUTH_TABLE = [
    # transactions of days, reports (occurred, reported), last day -> touched
    pytest.param([], [], 50, days(), id="nothing inserted"),
    pytest.param([0], [], 0, days((0, 1)), id="only its own day is loaded"),
    pytest.param([0], [], 90, days((0, 68)), id="a transaction counts for 30 and 37 days more"),
    pytest.param([85], [], 90, days((85, 91)), id="never past the last loaded day"),
    pytest.param([0, 1, 2], [], 90, days((0, 70)), id="neighbouring days merge"),
    pytest.param([0, 80], [], 90, days((0, 68), (80, 91)), id="far days stay apart"),
    pytest.param([0, 68], [], 140, days((0, 136)), id="ranges that meet merge"),
    pytest.param([], [(0, 0)], 90, days((7, 38)), id="a report at once waits for the 7 days"),
    pytest.param([], [(0, 7)], 90, days((7, 38)), id="a report after exactly 7 days"),
    pytest.param([], [(0, 20)], 90, days((20, 38)), id="a late report counts from when it came"),
    pytest.param([], [(0, 37)], 90, days((37, 38)), id="the last day that it can reach"),
    pytest.param([], [(0, 38)], 90, days(), id="too late for every window"),
    pytest.param([], [(0, 20)], 19, days(), id="reported after the last loaded day"),
    pytest.param([], [(0, 7), (40, 41)], 60, days((7, 38), (47, 61)), id="two reports"),
    pytest.param([0], [(0, 7)], 5, days((0, 6)), id="both, with little loaded"),
]


@pytest.mark.parametrize(("transactions", "reports", "last", "expected"), TRUTH_TABLE)
def test_rows_change_the_days_that_their_table_declares(
    transactions: list[int], reports: list[tuple[int, int]], last: int, expected: tuple[DayRange, ...]
) -> None:
    ranges = [changed_range(TRANSACTIONS, day(number), day(number)) for number in transactions]
    ranges += [changed_range(REPORTS, day(occurred), day(reported)) for occurred, reported in reports]
    assert merge([found for found in ranges if found], day(last)) == expected


def transaction_range(occurred_date: dt.date) -> DayRange:
    found = changed_range(TRANSACTIONS, occurred_date, occurred_date)
    assert found is not None
    return found


midnight = dt.datetime.combine(START, dt.time())
moments = st.datetimes(midnight, midnight + dt.timedelta(days=30))
ahead = st.timedeltas(dt.timedelta(), dt.timedelta(days=60))
DELAY, WINDOW = dt.timedelta(days=7), dt.timedelta(days=30)


@given(occurred=moments, later=ahead)
def test_a_transaction_touches_each_day_with_a_moment_whose_windows_hold_it(
    occurred: dt.datetime, later: dt.timedelta
) -> None:
    moment = occurred + later
    is_in_customer_window = moment - WINDOW < occurred <= moment
    is_in_terminal_window = moment - DELAY - WINDOW < occurred <= moment - DELAY
    if is_in_customer_window or is_in_terminal_window:
        touched = transaction_range(occurred.date())
        assert touched.start_date <= moment.date() < touched.end_date


@given(occurred=moments, to_fraud=ahead, later=ahead)
def test_a_transaction_touches_each_day_at_which_a_fraud_of_its_customer_counts_by_its_amount(
    occurred: dt.datetime, to_fraud: dt.timedelta, later: dt.timedelta
) -> None:
    fraud = occurred + to_fraud
    moment = fraud + later
    if fraud - WINDOW < occurred and moment - DELAY - WINDOW < fraud <= moment - DELAY:
        touched = transaction_range(occurred.date())
        assert touched.start_date <= moment.date() < touched.end_date


@given(occurred=moments, delay=ahead, later=ahead)
def test_a_report_touches_each_day_with_a_moment_at_which_it_counts(
    occurred: dt.datetime, delay: dt.timedelta, later: dt.timedelta
) -> None:
    reported, moment = occurred + delay, occurred + later
    if max(occurred + DELAY, reported) <= moment < occurred + DELAY + WINDOW:
        touched = changed_range(REPORTS, occurred.date(), reported.date())
        assert touched is not None
        assert touched.start_date <= moment.date() < touched.end_date


@given(numbers=st.lists(st.tuples(st.integers(0, 80), st.integers(1, 40)), max_size=12), last=st.integers(0, 100))
def test_merging_keeps_the_days_and_parts_the_ranges(numbers: list[tuple[int, int]], last: int) -> None:
    ranges = [DayRange(day(first), day(first + length)) for first, length in numbers]
    merged = merge(ranges, day(last))
    wanted = {number for first, length in numbers for number in range(first, first + length) if number <= last}
    covered = [(kept.start_date - START).days + step for kept in merged for step in range(kept.days)]
    assert sorted(wanted) == covered
    assert all(left.end_date < right.start_date for left, right in itertools.pairwise(merged))


def test_a_withdrawal_changes_the_days_of_a_report() -> None:
    assert changed_range(WITHDRAWALS, day(0), day(20)) == changed_range(REPORTS, day(0), day(20)) is not None
