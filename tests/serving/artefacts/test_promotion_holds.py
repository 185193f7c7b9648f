"""The server's view of the holds of rollbacks."""

from pathlib import Path

import pytest

from serving.artefacts.promotion_holds import PromotionHolds
from serving.artefacts.releases import DirectoryReader, StoreError, VerifiedRelease
from serving.contract.documents import ContractError
from tests.harness.small_models import MODEL, SmallStore


class CountingReader(DirectoryReader):
    """Remembers which releases were read."""

    def __init__(self, root: Path) -> None:
        super().__init__(root)
        self.read: list[int] = []

    def release(self, model: str, number: int) -> bytes:
        self.read.append(number)
        return super().release(model, number)


def newest(store: SmallStore) -> VerifiedRelease:
    release = store.releases.history(MODEL)[-1]
    return VerifiedRelease(release, DirectoryReader(store.settings.release_store).release(MODEL, release.number))


def held(store: SmallStore, holds: PromotionHolds) -> int | None:
    rollback = holds.of(newest(store))
    return rollback.number if rollback else None


def test_the_server_sees_the_hold_that_the_command_line_sees_and_reads_only_new_releases(store: SmallStore) -> None:
    reader = CountingReader(store.settings.release_store)
    holds = PromotionHolds(reader, store.keys.public_keys)
    switches, history = store.releases.switches, store.releases.history

    def expect(number: int | None) -> None:
        rollback = switches.hold(history(MODEL))
        assert held(store, holds) == number == (rollback.number if rollback else None)

    for seed in (1, 2):
        store.publish(seed)
        expect(None)
    store.releases.rollback(MODEL, by="anna", reason="worse")
    expect(3)
    store.publish(3)
    expect(3)
    switches.resume(MODEL, history(MODEL), by="anna", reason="fixed")
    expect(None)
    store.publish(4)
    store.publish(5)
    reader.read.clear()
    expect(None)
    assert reader.read == [5, 4]
    store.releases.rollback(MODEL, by="anna", reason="worse again")
    expect(7)


def test_a_server_that_starts_later_finds_the_rollback_far_back(store: SmallStore) -> None:
    store.publish(1)
    store.publish(2)
    store.releases.rollback(MODEL, by="anna", reason="worse")
    for seed in (3, 4):
        store.publish(seed)
    assert held(store, PromotionHolds(CountingReader(store.settings.release_store), store.keys.public_keys)) == 3


def test_a_changed_order_to_resume_ends_no_hold_and_a_broken_chain_is_an_error(store: SmallStore) -> None:
    store.publish(1)
    store.publish(2)
    store.releases.rollback(MODEL, by="anna", reason="worse")
    store.releases.switches.resume(MODEL, store.releases.history(MODEL), by="anna", reason="fixed")
    root = store.settings.release_store
    path = root / "resumes" / MODEL / "000003.json"
    path.write_bytes(path.read_bytes().replace(b"fixed", b"mixed"))
    holds = PromotionHolds(DirectoryReader(root), store.keys.public_keys)
    assert held(store, holds) == 3
    store.publish(3)
    last = newest(store)
    third = root / "releases" / MODEL / "000003.json"
    third.write_bytes(third.read_bytes() + b" ")
    with pytest.raises(ContractError, match="Expected predecessor"):
        PromotionHolds(DirectoryReader(root), store.keys.public_keys).of(last)
    third.unlink()
    with pytest.raises(StoreError, match="Expected release 3"):
        PromotionHolds(DirectoryReader(root), store.keys.public_keys).of(last)
