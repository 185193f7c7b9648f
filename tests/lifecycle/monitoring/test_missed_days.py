"""Which days are due, as a truth table; `lifecycle.assets.schedules` asks it every day."""

import datetime as dt

import pytest

from lifecycle.monitoring.missed_days import MAXIMUM_DAYS, days_without_verdict, due_days, gap_alert

YESTERDAY = dt.date(2018, 8, 31)
NOW = dt.datetime(2018, 9, 1, 3, tzinfo=dt.UTC)


def back(days: int) -> dt.date:
    return YESTERDAY - dt.timedelta(days=days)


@pytest.mark.parametrize(
    ("covered", "incomplete", "in_flight", "due"),
    [
        ([], [], [], [(0, 0)]),
        ([], [], [0], []),
        ([0], [], [], []),
        ([1], [], [], [(0, 0)]),
        ([5], [], [], [(4, 0)]),
        ([5, 0], [], [], [(4, 1)]),
        ([5, 3, 1], [], [], [(4, 4), (2, 2), (0, 0)]),
        ([5, 3, 1], [], [4, 0], [(2, 2)]),
        ([3, 2, 1, 0], [3, 1], [], [(3, 3), (1, 1)]),
        ([3, 2, 1, 0], [3, 1], [3], [(1, 1)]),
        ([200], [], [], [(MAXIMUM_DAYS - 1, 0)]),
        ([-1, 2], [], [], [(1, 0)]),
    ],
)
def test_every_missing_day_since_the_oldest_covered_one_is_due_once(
    covered: list[int], incomplete: list[int], in_flight: list[int], due: list[tuple[int, int]]
) -> None:
    found = due_days(*([back(day) for day in covered], YESTERDAY), *_sets(incomplete, in_flight))
    assert [(days.first, days.last) for days in found] == [(back(first), back(last)) for first, last in due]


def _sets(*numbers: list[int]) -> list[set[dt.date]]:
    return [{back(day) for day in days} for days in numbers]


@pytest.mark.parametrize(
    ("covered", "is_cut"),
    [([200], True), ([200, *range(199, 90, -1)], True), (list(range(200, 89, -1)), False), ([89], False)],
)
def test_a_person_is_told_of_missing_days_that_no_schedule_requests(covered: list[int], is_cut: bool) -> None:
    due = due_days([back(day) for day in covered], YESTERDAY)
    alert = gap_alert("toy_monitor", "toy", due, YESTERDAY, (), NOW)
    assert alert is not None
    assert (f"start a backfill of toy_monitor up to {back(MAXIMUM_DAYS - 1)}" in alert.remedy) is is_cut


def test_yesterday_alone_is_no_gap_and_a_gap_that_was_told_is_not_told_again() -> None:
    due = due_days([back(4), back(2)], YESTERDAY)
    assert gap_alert("toy_monitor", "toy", due[-1:], back(1), (), NOW) is None
    first = gap_alert("toy_monitor", "toy", due, YESTERDAY, (), NOW)
    assert first is not None
    assert first.message == f"toy_monitor did not cover {back(3)}, the 2 days {back(1)} to {back(0)}."
    assert gap_alert("toy_monitor", "toy", due, YESTERDAY, first.keys, NOW) is None
    second = gap_alert("toy_monitor", "toy", due, YESTERDAY, first.keys[:1], NOW)
    assert second is not None
    assert second.message == f"toy_monitor did not cover the 2 days {back(1)} to {back(0)}."


def test_a_day_needs_a_verdict_only_after_the_first_champion() -> None:
    days = [back(day) for day in (4, 3, 2, 1)]
    judged = {back(1)}  # as of the day after `back(2)`
    assert days_without_verdict(days, judged, back(2)) == {back(1)}
    assert days_without_verdict(days, judged, back(9)) == {back(4), back(3), back(1)}
    assert days_without_verdict(days, judged, None) == set()
