from pathlib import Path

import pytest

from lifecycle.errors import LifecycleError
from tests.harness.small_models import MODEL, SmallStore


def rolled_back(store: SmallStore) -> Path:
    """Publishes two releases and rolls back the second; returns the path of the order to resume."""
    for seed in (1, 2):
        store.publish(seed)
    store.releases.rollback(MODEL, by="anna", reason="too many alerts")
    return store.settings.release_store / "resumes" / MODEL / "000003.json"


def test_only_a_rollback_holds_promotion(store: SmallStore) -> None:
    assert store.releases.switches.hold(store.releases.history(MODEL)) is None
    store.publish(1)
    store.releases.put_shadow(MODEL, store.seal(2), by="anna", reason="compare")
    store.releases.end_shadow(MODEL, by="anna", reason="done")
    assert store.releases.switches.hold(store.releases.history(MODEL)) is None
    with pytest.raises(LifecycleError, match=r"Expected a rollback of card_fraud .*, found none"):
        store.releases.switches.resume(MODEL, store.releases.history(MODEL), by="anna", reason="nothing to resume")


def test_a_rollback_holds_through_later_releases_until_it_is_resumed(store: SmallStore) -> None:
    rolled_back(store)
    store.publish(3)
    rollback = store.releases.switches.hold(store.releases.history(MODEL))
    assert rollback is not None
    assert (rollback.number, rollback.released_by, rollback.reason) == (3, "anna", "too many alerts")
    resumed = store.releases.switches.resume(MODEL, store.releases.history(MODEL), by="ben", reason="fixed")
    assert (resumed.release_number, resumed.resumed_by, resumed.reason) == (3, "ben", "fixed")
    assert store.releases.switches.hold(store.releases.history(MODEL)) is None


def test_a_second_rollback_holds_again(store: SmallStore) -> None:
    rolled_back(store)
    store.releases.switches.resume(MODEL, store.releases.history(MODEL), by="anna", reason="fixed")
    store.publish(3)
    store.releases.rollback(MODEL, by="anna", reason="not fixed")
    rollback = store.releases.switches.hold(store.releases.history(MODEL))
    assert rollback is not None
    assert rollback.number == 5


def test_an_order_to_resume_that_was_changed_or_copied_resumes_nothing(store: SmallStore) -> None:
    path = rolled_back(store)
    store.releases.switches.resume(MODEL, store.releases.history(MODEL), by="anna", reason="fixed")
    content = path.read_bytes()
    path.write_bytes(content.replace(b"fixed", b"mixed"))
    with pytest.raises(LifecycleError, match=r"they were changed after they were signed .*; automatic promotion"):
        store.releases.switches.hold(store.releases.history(MODEL))
    path.write_bytes(content)
    store.publish(3)
    store.releases.rollback(MODEL, by="anna", reason="again")
    path.with_name("000005.json").write_bytes(content)
    with pytest.raises(
        LifecycleError, match=r"Expected the order to resume card_fraud after release 5, got .* release 3"
    ):
        store.releases.switches.hold(store.releases.history(MODEL))


def test_a_model_is_not_held_by_the_rollback_of_another(store: SmallStore) -> None:
    rolled_back(store)
    assert store.releases.switches.hold(store.releases.history("another")) is None


def test_the_history_at_hand_is_enough_to_find_a_hold(store: SmallStore, monkeypatch: pytest.MonkeyPatch) -> None:
    rolled_back(store)
    history = store.releases.history(MODEL)

    def refuse(*_: object) -> None:
        pytest.fail("the chain was read again")

    monkeypatch.setattr("lifecycle.releases.store.read_releases", refuse)
    assert store.releases.switches.hold(history) == history[-1]
    assert store.releases.switches.hold(()) is None
