import threading
from pathlib import Path
from typing import Any, TypedDict

import pytest

from lifecycle.errors import LifecycleError
from lifecycle.releases.ledger.announcing import announced_release
from lifecycle.releases.ledger.reading import read_records
from lifecycle.releases.store import ReleaseStore
from serving.contract.documents import Release, digest
from tests.harness.small_models import MODEL, SmallStore


class Because(TypedDict):
    by: str
    reason: str


BY: Because = {"by": "test", "reason": "test"}


def champions(store: SmallStore) -> list[str]:
    return [release.champion.bundle_digest for release in store.releases.history(MODEL)]


def path_of(store: SmallStore, number: int) -> Path:
    return store.settings.release_store / "releases" / MODEL / f"{number:06d}.json"


def test_releases_are_numbered_and_each_names_the_one_before(store: SmallStore) -> None:
    for seed in (1, 2, 3):
        store.publish(seed)
    history = store.releases.history(MODEL)
    assert [release.number for release in history] == [1, 2, 3]
    expected = [None, digest(path_of(store, 1).read_bytes()), digest(path_of(store, 2).read_bytes())]
    assert [release.predecessor for release in history] == expected
    assert store.releases.latest(MODEL) == history[-1]
    assert history[0].champion.as_of == "2026-01-01"
    assert path_of(store, 1).stat().st_mode & 0o777 == 0o600


def test_a_model_without_releases_has_an_empty_history(store: SmallStore) -> None:
    assert store.releases.history(MODEL) == ()
    assert store.releases.latest(MODEL) is None
    assert store.releases.switches.last_turn() is None
    assert store.releases.withdrawn(MODEL) == frozenset()


def test_publishing_what_stands_changes_nothing(store: SmallStore) -> None:
    first = store.publish(1)
    assert store.publish(1) == first
    assert len(store.releases.history(MODEL)) == 1


def test_of_two_promotions_at_the_same_time_one_wins_and_the_other_is_told(
    store: SmallStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    store.publish(1)
    bundles = [store.seal(2), store.seal(3)]
    both_are_about_to_write = threading.Barrier(2)

    def write_at_the_same_time(*arguments: Any, **options: Any) -> Any:
        both_are_about_to_write.wait(timeout=60)
        return announced_release(*arguments, **options)

    monkeypatch.setattr("lifecycle.releases.store.announced_release", write_at_the_same_time)
    won: list[Release] = []
    told: list[str] = []

    def promote(bundle: str) -> None:
        try:
            won.append(store.releases.publish(MODEL, bundle, **BY))
        except LifecycleError as error:
            told.append(str(error))

    threads = [threading.Thread(target=promote, args=(bundle,)) for bundle in bundles]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert [release.number for release in won] == [2]
    assert store.releases.latest(MODEL) == won[0]
    [message] = told
    assert "Expected to write release 2 of card_fraud, but another promotion wrote it first" in message
    announced = [record for record in read_records(store.releases.root) if record.kind == "release"]
    assert [record.facts["number"] for record in announced] == [1, 2]
    assert list(path_of(store, 1).parent.glob(".*")) == []


def test_a_promotion_decided_upon_another_release_is_refused(store: SmallStore) -> None:
    store.publish(1)
    store.publish(2)
    with pytest.raises(LifecycleError, match="Expected release 1 of card_fraud to be in force, got release 2"):
        store.releases.publish(MODEL, store.seal(3), after=1, **BY)
    assert store.releases.publish(MODEL, store.seal(3), after=2, **BY).number == 3


def test_only_a_bundle_of_this_model_that_verifies_is_promoted(store: SmallStore) -> None:
    bundle = store.seal(1)
    with pytest.raises(LifecycleError, match="Expected a bundle of credit, got one of card_fraud"):
        store.releases.publish("credit", bundle, **BY)
    with pytest.raises(LifecycleError, match="found no folder"):
        store.releases.publish(MODEL, "0" * 64, **BY)
    golden = store.settings.release_store / "bundles" / bundle / "golden.jsonl"
    golden.write_bytes(golden.read_bytes() + b"\n")
    with pytest.raises(LifecycleError, match=r"golden\.jsonl"):
        store.releases.publish(MODEL, bundle, **BY)
    with pytest.raises(LifecycleError, match="Expected the name of a model"):
        store.releases.publish("../x", bundle, **BY)
    assert store.releases.history(MODEL) == ()


def test_rolling_back_twice_goes_back_twice_and_then_there_is_nothing_before(store: SmallStore) -> None:
    a, b, c = (store.publish(seed).champion.bundle_digest for seed in (1, 2, 3))
    assert store.releases.rollback(MODEL, **BY).restores == 2
    assert store.releases.rollback(MODEL, **BY).restores == 1
    assert champions(store) == [a, b, c, b, a]
    with pytest.raises(LifecycleError, match="found no other among 5 releases"):
        store.releases.rollback(MODEL, **BY)


def test_a_promotion_after_a_rollback_goes_back_to_what_stood_then(store: SmallStore) -> None:
    a = store.publish(1).champion.bundle_digest
    store.publish(2)
    store.releases.rollback(MODEL, **BY)
    store.publish(3)
    assert store.releases.rollback(MODEL, **BY).champion.bundle_digest == a


def test_there_is_no_rollback_without_a_release_before(store: SmallStore) -> None:
    with pytest.raises(LifecycleError, match="found no other among 0 releases"):
        store.releases.rollback(MODEL, **BY)
    store.publish(1)
    with pytest.raises(LifecycleError, match="found no other among 1 releases"):
        store.releases.rollback(MODEL, **BY)


def test_a_repeated_rollback_of_one_release_happens_once(store: SmallStore) -> None:
    for seed in (1, 2, 3):
        store.publish(seed)
    first = store.releases.rollback(MODEL, after=3, **BY)
    assert store.releases.rollback(MODEL, after=3, **BY) == first
    assert len(store.releases.history(MODEL)) == 4
    store.publish(4)
    with pytest.raises(LifecycleError, match="Expected release 3 of card_fraud to be in force, got release 5"):
        store.releases.rollback(MODEL, after=3, **BY)


def test_what_was_rolled_back_comes_back_only_by_hand(store: SmallStore) -> None:
    store.publish(1)
    bad = store.publish(2).champion.bundle_digest
    store.releases.rollback(MODEL, **BY)
    assert store.releases.withdrawn(MODEL) == {bad}
    with pytest.raises(LifecycleError, match="lifecycle promote card_fraud"):
        store.releases.publish(MODEL, bad, **BY)
    assert store.releases.publish(MODEL, bad, is_withdrawn_allowed=True, **BY).number == 4
    assert store.releases.withdrawn(MODEL) == frozenset()


def test_a_freeze_stops_promotion_but_not_a_rollback(store: SmallStore) -> None:
    store.publish(1)
    store.publish(2)
    store.releases.switches.freeze(by="anna", reason="audit")
    with pytest.raises(LifecycleError, match=r"anna froze it at .* UTC: audit; `lifecycle unfreeze` allows it again"):
        store.publish(3)
    assert store.releases.rollback(MODEL, **BY).restores == 1
    store.releases.switches.unfreeze(by="anna", reason="over")
    assert store.publish(3).number == 4
    state = store.releases.switches.last_turn()
    assert state is not None
    assert (state.number, state.is_frozen, state.reason) == (2, False, "over")


def test_the_switch_says_when_it_is_turned_already(store: SmallStore) -> None:
    with pytest.raises(LifecycleError, match="but the switch was never turned"):
        store.releases.switches.unfreeze(**BY)
    store.releases.switches.freeze(by="anna", reason="audit")
    with pytest.raises(LifecycleError, match="Expected promotion to be allowed, but anna froze it"):
        store.releases.switches.freeze(**BY)


def test_a_switch_that_cannot_be_read_does_not_read_as_off(store: SmallStore) -> None:
    store.releases.switches.freeze(**BY)
    path = store.settings.release_store / "freezes" / "000001.json"
    path.write_bytes(path.read_bytes().replace(b"true", b"false"))
    with pytest.raises(LifecycleError, match="they were changed after they were signed"):
        store.publish(1)


def test_a_tampered_or_missing_release_stops_everything(store: SmallStore) -> None:
    for seed in (1, 2, 3):
        store.publish(seed)
    content = path_of(store, 2).read_bytes()
    path_of(store, 2).write_bytes(content.replace(b"seed 2", b"seed 9"))
    with pytest.raises(LifecycleError, match="release 2 of card_fraud"):
        store.releases.history(MODEL)
    path_of(store, 2).unlink()
    with pytest.raises(LifecycleError, match="Expected release 2 of card_fraud, found none before 3"):
        store.publish(4)


def test_a_store_of_another_installation_is_refused(store: SmallStore, tmp_path: Path) -> None:
    store.publish(1)
    other = SmallStore.under(tmp_path / "other")
    with pytest.raises(LifecycleError, match="Expected a signature by one of the keys"):
        ReleaseStore(store.settings.release_store, other.keys).history(MODEL)
