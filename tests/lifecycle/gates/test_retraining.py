import dataclasses
import datetime as dt
from typing import Any

import pytest

from lifecycle.gates.retraining import NoRetraining, RetrainingState, RetrainOrder, decide_retraining
from lifecycle.spec.monitoring import RetrainingSpec

SPEC = RetrainingSpec(minimum_new_positives=50, cooldown_days=7)
ALARMED = RetrainingState(
    model="card_fraud",
    as_of=dt.date(2018, 8, 29),
    alarm_reason="PSI above 0.2: amount 0.412",
    alarm_bundle="b1",
    onset=dt.date(2018, 8, 10),
    champion_bundle="b1",
    new_positives=50,
    last_ordered_as_of=None,
    is_in_flight=False,
)


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"alarm_reason": None}, "there is no alarm"),
        ({"onset": None}, "there is no alarm"),
        ({"champion_bundle": "b2"}, "the alarm concerns an earlier champion"),
        ({"is_in_flight": True}, "a retraining is in progress"),
        ({"last_ordered_as_of": dt.date(2018, 8, 29)}, "a retraining at as_of 2018-08-29 was already ordered"),
        ({"last_ordered_as_of": dt.date(2018, 9, 1)}, "a retraining at as_of 2018-09-01 was already ordered"),
        ({"last_ordered_as_of": dt.date(2018, 8, 23)}, "the cooldown lasts until as_of 2018-08-30"),
        ({"last_ordered_as_of": dt.date(2018, 8, 22)}, None),
        ({"last_ordered_as_of": dt.date(2018, 8, 28), "broken_tries": 3}, None),
        (
            {"last_ordered_as_of": dt.date(2018, 8, 29), "broken_tries": 3},
            "3 retrainings at as_of 2018-08-29 broke off; a later as_of is tried again",
        ),
        (
            {"last_ordered_as_of": dt.date(2018, 9, 1), "broken_tries": 1},
            "a retraining at as_of 2018-09-01 was already ordered",
        ),
        ({"new_positives": 49}, "49 mature positives since the onset are new to the champion, below 50"),
        ({}, None),
    ],
)
def test_retraining(changes: dict[str, Any], reason: str | None) -> None:
    decision = decide_retraining(dataclasses.replace(ALARMED, **changes), SPEC)
    if reason is None:
        assert isinstance(decision, RetrainOrder)
        assert (decision.run_key, decision.as_of) == ("card_fraud:2018-08-29", dt.date(2018, 8, 29))
        assert decision.reason == "PSI above 0.2: amount 0.412; 50 new positives since 2018-08-10 are mature"
    else:
        assert decision == NoRetraining(reason)


@pytest.mark.parametrize("broken_tries", [1, 2])
def test_a_retraining_that_broke_off_is_ordered_again_under_another_key(broken_tries: int) -> None:
    state = dataclasses.replace(ALARMED, last_ordered_as_of=ALARMED.as_of, broken_tries=broken_tries)
    decision = decide_retraining(state, SPEC)
    assert isinstance(decision, RetrainOrder)
    assert decision.run_key == f"card_fraud:2018-08-29:try-{broken_tries + 1}"


def test_retraining_can_be_switched_off() -> None:
    off = RetrainingSpec(is_enabled=False, minimum_new_positives=50)
    assert decide_retraining(ALARMED, off) == NoRetraining("retraining by alarm is not enabled")


def test_without_a_cooldown_only_the_same_date_is_refused() -> None:
    spec = RetrainingSpec(minimum_new_positives=50, cooldown_days=0)
    yesterday = dataclasses.replace(ALARMED, last_ordered_as_of=dt.date(2018, 8, 28))
    assert isinstance(decide_retraining(yesterday, spec), RetrainOrder)
    today = dataclasses.replace(ALARMED, last_ordered_as_of=ALARMED.as_of)
    assert isinstance(decide_retraining(today, spec), NoRetraining)
