import logging
from typing import get_args

import pytest

from serving.slots.states import EVENTS_KEPT, TRANSITIONS, Journal, SlotKey, State, Transition, allow
from tests.harness.small_models import MODEL

STATES: tuple[State, ...] = get_args(State)
ALLOWED = {
    (None, "new"),
    ("new", "verifying"), ("new", "ready"), ("new", "failed"),
    ("verifying", "warming"), ("verifying", "failed"),
    ("warming", "ready"), ("warming", "failed"),
    ("ready", "serving"), ("ready", "failed"),
    ("serving", "retiring"),
    ("failed", "new"),
}  # fmt: skip
CHAMPION, SHADOW = SlotKey(MODEL, "champion", 1), SlotKey(MODEL, "shadow", 1)


@pytest.mark.parametrize("before", [None, *STATES])
@pytest.mark.parametrize("after", STATES)
def test_only_the_transitions_of_the_table_happen(before: State | None, after: State) -> None:
    if (before, after) in ALLOWED:
        allow(before, after)
    else:
        with pytest.raises(ValueError, match=f"after {before!r}, got '{after}'"):
            allow(before, after)


def test_every_state_is_in_the_table() -> None:
    assert set(TRANSITIONS) == set(STATES)


def test_a_transition_is_kept_told_and_logged(caplog: pytest.LogCaptureFixture) -> None:
    told: list[Transition] = []
    journal = Journal(told.append)
    with caplog.at_level(logging.INFO):
        journal.enter(CHAMPION, "a", "new")
        journal.enter(CHAMPION, "a", "failed", "no room")
    assert [event.state for event in told] == ["new", "failed"]
    assert journal.events[MODEL] == tuple(told)
    assert journal.current[CHAMPION].error == "no room"
    assert journal.current[CHAMPION].key == CHAMPION
    assert [record.levelname for record in caplog.records] == ["INFO", "ERROR"]
    assert "champion of release 1: failed, bundle a: no room" in caplog.text


def test_an_observer_that_fails_stops_nothing(caplog: pytest.LogCaptureFixture) -> None:
    def fails(_event: Transition) -> None:
        raise RuntimeError("metrics are broken")

    journal = Journal(fails)
    journal.enter(CHAMPION, "a", "new")
    assert journal.current[CHAMPION].state == "new"
    assert "the observer of transitions failed" in caplog.text


def test_the_events_are_bounded_for_each_model() -> None:
    journal = Journal()
    journal.enter(SlotKey("credit", "champion", 1), "b", "new")
    for number in range(2 * EVENTS_KEPT):
        journal.enter(SlotKey(MODEL, "champion", number), "a", "new")
        journal.forget(SlotKey(MODEL, "champion", number))
    assert len(journal.events[MODEL]) == EVENTS_KEPT
    assert journal.events[MODEL][-1].release_number == 2 * EVENTS_KEPT - 1
    assert len(journal.events["credit"]) == 1


def test_a_place_is_found_by_its_model_and_state_and_may_be_forgotten() -> None:
    journal = Journal()
    for key in (SHADOW, CHAMPION):
        journal.enter(key, "a", "new")
    journal.enter(SHADOW, "a", "failed")
    assert [last.key for last in journal.of_model(MODEL)] == [CHAMPION, SHADOW]
    assert [last.key for last in journal.of_model(MODEL, "failed")] == [SHADOW]
    assert journal.of_model("credit") == ()
    journal.forget(SHADOW)
    assert list(journal.current) == [CHAMPION]
    assert len(journal.events[MODEL]) == 3
