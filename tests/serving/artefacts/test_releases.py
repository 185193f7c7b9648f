import datetime as dt
from collections.abc import Callable
from pathlib import Path

import pytest

from serving.artefacts.releases import DirectoryReader, ReleaseSource, StoreError, VerifiedRelease
from serving.contract.documents import ContractError, SlotRelease
from tests.harness.release_files import release_path, resign
from tests.harness.small_models import MODEL, SmallStore


def source_of(store: SmallStore) -> ReleaseSource:
    return ReleaseSource(DirectoryReader(store.settings.release_store), store.keys.public_keys)


def polled(store: SmallStore, held: VerifiedRelease | None = None) -> VerifiedRelease | ContractError:
    return source_of(store).poll({MODEL: held} if held else {})[MODEL]


def newest(store: SmallStore, held: VerifiedRelease | None = None) -> VerifiedRelease:
    outcome = polled(store, held)
    assert isinstance(outcome, VerifiedRelease)
    return outcome


def test_the_newest_release_is_aspired(store: SmallStore) -> None:
    for seed in (1, 2, 3):
        store.publish(seed)
    assert newest(store).release.number == 3
    held = newest(store)
    assert newest(store, held) == held


def test_only_what_is_new_is_read_and_it_must_follow_what_is_held(store: SmallStore) -> None:
    store.publish(1)
    held = newest(store)
    store.publish(2)
    assert newest(store, held).release.predecessor == held.digest


def test_a_store_without_releases_states_nothing(store: SmallStore) -> None:
    store.settings.release_store.mkdir(parents=True)
    assert source_of(store).poll({}) == {}


def test_a_store_that_is_gone_is_an_error_and_no_empty_set(store: SmallStore) -> None:
    with pytest.raises(StoreError, match="found no folder"):
        source_of(store).poll({})


def test_a_lower_number_than_held_is_refused(store: SmallStore) -> None:
    store.publish(1)
    store.publish(2)
    held = newest(store)
    release_path(store, 2).unlink()
    outcome = polled(store, held)
    assert "Expected release 2 of card_fraud or a later one, got 1" in str(outcome)


def test_a_model_whose_releases_are_gone_is_refused_too(store: SmallStore) -> None:
    store.publish(1)
    held = newest(store)
    release_path(store, 1).unlink()
    assert "got 0: the store went back" in str(polled(store, held))


def test_a_held_release_that_was_rewritten_is_refused(store: SmallStore) -> None:
    store.publish(1)
    held = newest(store)
    resign(store, 1, reason="another")
    assert "the store was rewritten" in str(polled(store, held))


def test_another_history_with_a_higher_number_is_refused(store: SmallStore) -> None:
    store.publish(1)
    held = newest(store)
    store.publish(2)
    resign(store, 2, predecessor="0" * 64)
    assert f"Expected predecessor {held.digest}" in str(polled(store, held))


def test_a_changed_byte_is_refused(store: SmallStore) -> None:
    store.publish(1)
    path = release_path(store, 1)
    path.write_bytes(path.read_bytes().replace(b"seed 1", b"seed 2"))
    assert "they were changed after they were signed" in str(polled(store))


def test_a_gap_in_the_numbers_is_refused(store: SmallStore) -> None:
    for seed in (1, 2, 3):
        store.publish(seed)
    release_path(store, 2).unlink()
    assert "Expected release 2 of card_fraud, found none before 3" in str(polled(store))


def test_a_release_of_another_model_or_number_is_refused(store: SmallStore) -> None:
    store.publish(1)
    other = release_path(store, 1, "credit")
    other.parent.mkdir()
    other.write_bytes(release_path(store, 1).read_bytes())
    outcome = source_of(store).poll({})
    assert isinstance(outcome[MODEL], VerifiedRelease)
    assert "Expected a release of credit, got one of card_fraud" in str(outcome["credit"])
    release_path(store, 2).write_bytes(release_path(store, 1).read_bytes())
    assert "Expected release 2 of card_fraud, got release 1" in str(polled(store))


def test_slots_that_cannot_be_served_are_refused_and_not_left_out(store: SmallStore) -> None:
    store.publish(1)
    resign(store, 1, shadow=SlotRelease(bundle_digest="0" * 64, as_of="2026-01-01"))
    assert newest(store).release.shadow is not None
    resign(store, 1, canary=SlotRelease(bundle_digest="0" * 64, as_of="2026-01-01", salt="s"))
    assert "Expected a percent from 0 to 100, got none" in str(polled(store))


def test_released_at_is_utc(store: SmallStore) -> None:
    assert store.publish(1).released_at.tzinfo is dt.UTC


OTHER = "account_takeover"


def as_folder(path: Path) -> None:
    path.unlink()
    path.mkdir()


def as_dangling_link(path: Path) -> None:
    path.unlink()
    path.symlink_to(path.with_name("gone.json"))


DAMAGES: dict[str, Callable[[Path], object]] = {
    "empty": lambda path: path.write_bytes(b""),
    "another text": lambda path: path.write_bytes(b"\xff\xfe"),
    "deeply nested": lambda path: path.write_bytes(b"[" * 100_000),
    "a folder": as_folder,
    "a dangling link": as_dangling_link,
    "a number that is none": lambda path: path.rename(path.with_name("1\u00b2.json")),
    "a number of another form": lambda path: path.rename(path.with_name("1.json")),
}


@pytest.mark.parametrize("damage", DAMAGES)
def test_whatever_is_wrong_with_one_models_files_the_others_are_read(store: SmallStore, damage: str) -> None:
    for model in (MODEL, OTHER):
        store.publish(1, model)
    DAMAGES[damage](release_path(store, 1))
    aspired = source_of(store).poll({})
    other = aspired[OTHER]
    assert isinstance(other, VerifiedRelease)
    assert other.release.number == 1
    assert MODEL not in aspired or isinstance(aspired[MODEL], ContractError)
    store.publish(2, OTHER)
    other = source_of(store).poll({OTHER: other})[OTHER]
    assert isinstance(other, VerifiedRelease)
    assert other.release.number == 2


def test_a_store_in_which_no_model_can_be_read_is_down(store: SmallStore) -> None:
    for model in (MODEL, OTHER):
        store.publish(1, model)
        as_folder(release_path(store, 1, model))
    with pytest.raises(StoreError, match="Expected release 1 of account_takeover, got IsADirectoryError"):
        source_of(store).poll({})
