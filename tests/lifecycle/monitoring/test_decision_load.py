import datetime as dt
from collections.abc import Collection

import pytest

from lifecycle.monitoring.alerts import capacity_alert
from lifecycle.monitoring.decision_load import DayLoad, LoadVerdict, judge_load
from lifecycle.spec.decision import CapacitySpec, DecisionSpec

AS_OF = dt.date(2024, 1, 8)
NOW = dt.datetime(2024, 1, 8, tzinfo=dt.UTC)
DECISION = DecisionSpec(capacity=CapacitySpec(review=100, decline=20))


def week(reviewed: int, declined: int, days: int = 7, champion: str | None = "b") -> dict[dt.date, DayLoad]:
    return {
        AS_OF - dt.timedelta(days=offset): DayLoad(1000, reviewed, declined, champion) for offset in range(1, days + 1)
    }


def judged(loads: dict[dt.date, DayLoad], decision: DecisionSpec = DECISION) -> LoadVerdict:
    return judge_load(loads, "b", AS_OF, decision)


@pytest.mark.parametrize(
    ("reviewed", "declined", "days", "exceeded"),
    [
        (100, 20, 7, ()),
        (0, 0, 7, ()),
        (100, 25, 7, ()),
        (100, 26, 7, ("declined",)),
        (111, 20, 7, ()),
        (112, 20, 7, ("reviewed or declined",)),
        (200, 43, 7, ("declined", "reviewed or declined")),
        (100, 33, 1, ()),
        (100, 34, 1, ("declined",)),
    ],
)
def test_a_band_exceeds_its_capacity_by_more_than_chance(
    reviewed: int, declined: int, days: int, exceeded: tuple[str, ...]
) -> None:
    verdict = judged(week(reviewed, declined, days))
    assert verdict.exceeded == exceeded
    assert verdict.is_alarm == bool(exceeded)
    assert (verdict.days, verdict.declined_cards) == (days, declined * days)


def test_days_that_another_champion_answered_in_part_and_older_days_are_no_evidence() -> None:
    loads = week(500, 500, champion=None) | week(100, 20, days=2)
    loads[AS_OF - dt.timedelta(days=8)] = DayLoad(1000, 900, 900, "b")
    loads[AS_OF] = DayLoad(1000, 900, 900, "b")
    verdict = judged(loads)
    assert (verdict.days, verdict.cards, verdict.is_alarm) == (2, 2000, False)


def test_without_a_day_of_its_own_there_is_no_verdict() -> None:
    verdict = judged(week(500, 500, champion="other"))
    assert (verdict.days, verdict.is_alarm) == (0, False)
    assert verdict.reason == "the champion has decided none of the last 7 days alone: no verdict"


def test_without_a_decline_capacity_every_decline_is_one_too_many() -> None:
    decision = DecisionSpec(capacity=CapacitySpec(review=100))
    assert judged(week(50, 0), decision).exceeded == ()
    assert judged(week(50, 1, days=1), decision).exceeded == ("declined",)


def test_the_alert_tells_a_band_when_it_begins_to_exceed_its_capacity() -> None:
    quiet, declines, both = judged(week(100, 20)), judged(week(100, 43)), judged(week(200, 43))

    def told(verdict: LoadVerdict, previous: LoadVerdict | None, keys: Collection[str] = ()) -> tuple[str, ...]:
        alert = capacity_alert("toy", verdict, previous, keys, "run", NOW)
        return alert.keys if alert else ()

    first = ("toy:2024-01-08:over_capacity:declined",)
    assert told(quiet, None) == ()
    assert told(declines, None) == told(declines, quiet) == first
    assert told(declines, declines) == ()
    assert told(declines, quiet, set(first)) == ()
    assert told(both, declines) == ("toy:2024-01-08:over_capacity:reviewed or declined",)
    assert told(declines, judge_load(week(100, 43, champion="a"), "a", AS_OF, DECISION)) == first


def test_the_alert_says_the_numbers_and_what_to_do() -> None:
    alert = capacity_alert("toy", judged(week(100, 43)), None, (), "run", NOW)
    assert alert is not None
    assert alert.title == "Over capacity: toy as of 2024-01-08"
    assert alert.message == "43.0 entities a day declined, above 20 (at most 25.1 by chance over 7 days)."
    assert "lifecycle rollback" in alert.remedy
