import datetime as dt
from typing import Any

import pytest

from serving.artefacts.release_rules import newer_fault, slots_fault, slots_of
from serving.contract.documents import Release, SlotRelease
from serving.slots.policy import (
    Action,
    Failure,
    Load,
    Recover,
    Refuse,
    Snapshot,
    Stay,
    bundles_to_load,
    failed_again,
    next_action,
)
from tests.harness.small_models import MODEL

FAILED = Failure("b", attempts=1, retry_at=100.0)


@pytest.mark.parametrize(
    ("snapshot", "action"),
    [
        (Snapshot(serving=None, aspired="a"), Load()),
        (Snapshot(serving="a", aspired="a"), Stay()),
        (Snapshot(serving="a", aspired="a", error="went back"), Recover()),
        (Snapshot(serving="a", aspired="b"), Load()),
        (Snapshot(serving="a", aspired="b", error="of another release"), Load()),
        (Snapshot(serving="a", aspired="b", error="no", failure=FAILED, now=99.0), Stay()),
        (Snapshot(serving="a", aspired="b", error="no", failure=FAILED, now=100.0), Load()),
        (Snapshot(serving="a", aspired="c", error="no", failure=FAILED, now=99.0), Load()),
        (Snapshot(serving="a", aspired="a", error="no", failure=FAILED, now=99.0), Recover()),
        (Snapshot(serving=None, aspired="b", error="no", failure=FAILED, now=99.0), Stay()),
        (Snapshot(serving="a", aspired=None, fault="torn"), Refuse("torn")),
        (Snapshot(serving="a", aspired=None, fault="torn", error="torn"), Stay()),
        (Snapshot(serving="a", aspired=None, fault="torn", error="other"), Refuse("torn")),
        (Snapshot(serving=None, aspired=None, fault="torn"), Refuse("torn")),
    ],
)
def test_what_is_done(snapshot: Snapshot, action: Action) -> None:
    assert next_action(snapshot) == action


def test_a_failed_release_is_tried_again_ever_more_rarely() -> None:
    failure: Failure | None = None
    waits = []
    for _ in range(2000):
        failure = failed_again("b", failure, now=0.0)
        waits.append(failure.retry_at)
    assert waits[:8] == [2, 4, 8, 16, 32, 60, 60, 60]
    assert waits[-1] == 60
    assert failed_again("c", failure, now=0.0).retry_at == 2


@pytest.mark.parametrize(
    ("held", "highest", "is_held_unchanged", "words"),
    [
        (2, 2, True, None),
        (2, 3, True, None),
        (2, 1, False, "Expected release 2 of card_fraud or a later one, got 1: the store went back"),
        (2, 0, False, "got 0: the store went back"),
        (2, 2, False, "the store was rewritten"),
        (2, 3, False, "the store was rewritten"),
    ],
)
def test_a_store_is_followed_forward_alone(held: int, highest: int, is_held_unchanged: bool, words: str | None) -> None:
    fault = newer_fault(MODEL, held, highest, is_held_unchanged=is_held_unchanged)
    if words is None:
        assert fault is None
    else:
        assert fault is not None
        assert words in fault
        assert "remove this server's cache and restart it" in fault


def release(canary: SlotRelease | None = None, shadow: SlotRelease | None = None, **champion: Any) -> Release:
    return Release(
        schema_version=1,
        model=MODEL,
        number=4,
        predecessor=None,
        champion=stands("a", **champion),
        canary=canary,
        shadow=shadow,
        released_at=dt.datetime(2026, 1, 1, tzinfo=dt.UTC),
        released_by="test",
        reason="test",
    )


def stands(bundle: str, percent: float | None = None, salt: str | None = None) -> SlotRelease:
    return SlotRelease(bundle_digest=bundle, as_of="2026-01-01", percent=percent, salt=salt)


@pytest.mark.parametrize(
    ("document", "fault"),
    [
        (release(), None),
        (release(stands("b", 5, "s")), None),
        (release(stands("b", 0, "s"), stands("b")), None),
        (release(stands("b", 100, "s" * 64), stands("c")), None),
        (release(stands("b", salt="s")), "Expected a percent from 0 to 100, got none"),
        (release(stands("b", -0.1, "s")), "Expected a percent from 0 to 100, got -0.1"),
        (release(stands("b", 100.5, "s")), "Expected a percent from 0 to 100, got 100.5"),
        (release(stands("b", 5)), "Expected a salt, got none"),
        (release(stands("b", 5, "")), "Expected a salt, got none"),
        (release(stands("b", 5, "ä" * 33)), "Expected a salt of at most 64 bytes, got 66"),
        (release(stands("a", 5, "s")), "Expected a bundle other than the champion's, got the same"),
        (release(None, stands("b", 5)), "Expected neither percent nor salt"),
        (release(percent=5), "Expected neither percent nor salt"),
    ],
)
def test_which_slots_can_be_served(document: Release, fault: str | None) -> None:
    found = slots_fault(document)
    if fault is None:
        assert found is None
    else:
        assert found is not None
        assert fault in found
        assert "of release 4" in found
        assert "`lifecycle " in found, "it says what to do"


@pytest.mark.parametrize(
    ("document", "loaded", "missing"),
    [
        (release(), set(), ("a",)),
        (release(), {"a"}, ()),
        (release(stands("b", 5, "s"), stands("c")), {"a"}, ("b", "c")),
        (release(stands("b", 5, "s"), stands("b")), set(), ("a", "b")),
        (release(stands("b", 5, "s"), stands("c")), {"b", "x"}, ("a", "c")),
    ],
)
def test_a_bundle_is_loaded_once(document: Release, loaded: set[str], missing: tuple[str, ...]) -> None:
    assert bundles_to_load(document, loaded) == missing


def test_the_slots_come_champion_first() -> None:
    assert [slot for slot, _ in slots_of(release(shadow=stands("c")))] == ["champion", "shadow"]
