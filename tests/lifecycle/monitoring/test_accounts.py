import dataclasses
import datetime as dt
from typing import Any

import pytest

from lifecycle.monitoring.accounts import (
    DayOfDecisions,
    LogLosses,
    RefusalKind,
    loss_findings,
    matching_findings,
    refusal_findings,
    silence_alert,
    unaccounted_alert,
)
from lifecycle.monitoring.live_performance import PerformanceVerdict

DAY = dt.date(2026, 1, 31)
NOW = dt.datetime(2026, 2, 1, 3, tzinfo=dt.UTC)
CATEGORY = RefusalKind("InvalidRequest", "kind", "category")
NULL = RefusalKind("InvalidRequest", "amount", "null")
VERDICT = PerformanceVerdict(
    "2026-01-01", "2026-01-08", 3, False, False, 0.5, 0.6, 0.5, "3 matured positives, below 30"
)


@pytest.mark.parametrize(
    ("counts", "expected"),
    [
        ({}, []),
        ({"decisions": 9, "transactions": 9}, []),
        ({"decisions": 9, "unmatched": 1}, ["1 of 9 decisions have no transaction in the mart"]),
        ({"repeated": 2}, ["2 decisions repeat a transaction that another decision_id decided"]),
        ({"failed": 3}, ["3 requests got no score"]),
        ({"decisions": 4, "transactions": 9, "undecided": 4}, []),
        ({"decisions": 4, "transactions": 9, "undecided": 5}, ["5 of 9 transactions have no decision"]),
        # A model that is not live yet has no decision to miss.
        ({"decisions": 0, "transactions": 9, "undecided": 9}, []),
    ],
)
def test_each_count_that_monitoring_cannot_use_is_a_finding(counts: dict[str, int], expected: list[str]) -> None:
    assert matching_findings(DayOfDecisions(DAY, **counts)) == expected


@pytest.mark.parametrize(
    ("today", "decisions", "earlier", "is_finding"),
    [
        (4, 100, (0, 700), False),  # too few to say
        (5, 100, (0, 700), True),
        (5, 9995, (0, 70000), False),  # a rise of less than 1 in 1000
        (10, 9990, (0, 70000), True),
        (10, 9990, (35, 69965), False),  # twice the share before, not more
        (30, 9970, (35, 69965), True),
        (100, 9900, (700, 69300), True),  # as high as before, and too high
        (99, 9901, (700, 69300), False),
        (50, 0, (0, 0), True),  # the first day, all refused
    ],
)
def test_a_high_or_risen_share_of_refusals_is_a_finding(
    today: int, decisions: int, earlier: tuple[int, int], is_finding: bool
) -> None:
    refused, before = {CATEGORY: today}, {CATEGORY: earlier[0]} if earlier[0] else {}
    assert bool(refusal_findings(refused, decisions, before, earlier[1])) == is_finding


def test_each_kind_of_refusal_is_judged_on_its_own_the_most_frequent_first() -> None:
    findings = refusal_findings({CATEGORY: 20, NULL: 30, RefusalKind("Overloaded"): 1}, 949, {NULL: 1}, 999)
    assert findings == [
        "InvalidRequest (amount, null) refused 30 of 1000 requests (3.00 %), 0.10 % in the days before",
        "InvalidRequest (kind, category) refused 20 of 1000 requests (2.00 %), 0.00 % in the days before",
    ]


def test_losses_of_the_log_are_named() -> None:
    assert loss_findings(LogLosses()) == []
    assert loss_findings(LogLosses(("a", "b"), ("c",), 2)) == [
        "segments of the decision log are gone before they were loaded: a, b",
        "segments are shorter than what was loaded of them: c",
        "2 decision_ids came again with another transaction, which was dropped",
    ]


def test_findings_become_one_alert_of_the_day() -> None:
    assert unaccounted_alert("toy", DAY, [], (), "run", NOW) is None
    alert = unaccounted_alert("toy", DAY, ["first", "second"], (), "run", NOW)
    assert alert is not None
    assert (alert.title, alert.message) == ("Not accounted for: toy as of 2026-02-01", "On 2026-01-31 first; second.")
    assert unaccounted_alert("toy", DAY, ["first", "second"], alert.keys, "run", NOW) is None
    more = unaccounted_alert("toy", DAY, ["first", "third"], alert.keys, "run", NOW)
    assert more is not None
    assert more.message == "On 2026-01-31 third."


@pytest.mark.parametrize(
    ("now", "previous", "is_alert"),
    [
        ({}, None, True),
        ({}, {"has_verdict": True}, True),
        ({}, {}, False),
        ({"has_verdict": True}, {}, False),
        ({"has_verdict": True}, None, False),
    ],
)
def test_a_performance_that_is_no_longer_measured_is_an_alert_on_its_first_day(
    now: dict[str, Any], previous: dict[str, Any] | None, is_alert: bool
) -> None:
    before = None if previous is None else dataclasses.replace(VERDICT, **previous)
    alert = silence_alert("toy", DAY, dataclasses.replace(VERDICT, **now), before, (), "run", NOW)
    assert (alert is not None) == is_alert
    if alert is not None:
        assert "3 matured positives, below 30, in the window from 2026-01-01 to 2026-01-08" in alert.message
        assert silence_alert("toy", DAY, dataclasses.replace(VERDICT, **now), before, alert.keys, "run", NOW) is None
