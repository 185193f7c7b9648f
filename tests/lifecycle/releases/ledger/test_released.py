"""The ledger and the releases prove each other: announced first, named by the release, its file recorded afterwards."""

import json
import logging
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import TypedDict

import msgspec
import pytest

from lifecycle.errors import LifecycleError
from lifecycle.releases.ledger.against_releases import with_releases
from lifecycle.releases.ledger.reading import read_records
from lifecycle.releases.ledger.records import LedgerError
from lifecycle.releases.ledger.verify import Verification, verify_ledger
from lifecycle.releases.store import ReleaseStore
from lifecycle.signing.envelope import signed_envelope
from serving.contract.documents import digest
from tests.harness.ledger_files import LedgerFiles
from tests.harness.small_models import MODEL, SmallStore


class Because(TypedDict):
    by: str
    reason: str


BY: Because = {"by": "ana", "reason": "test"}


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> SmallStore:
    """A store whose ledger has every act of a release store."""
    store = SmallStore.under(tmp_path_factory.mktemp("whole") / "home")
    releases = store.releases
    releases.publish(MODEL, store.seal(1), **BY)
    releases.put_canary(MODEL, store.seal(2), percent=5, salt="salt", **BY)
    releases.publish(MODEL, store.seal(2), by="promotion policy", reason="passed")
    releases.rollback(MODEL, **BY)
    releases.switches.resume(MODEL, releases.history(MODEL), **BY)
    releases.switches.freeze(**BY)
    releases.switches.unfreeze(**BY)
    return store


@pytest.fixture
def store(whole: SmallStore, tmp_path: Path) -> SmallStore:
    """A copy of `whole`."""
    shutil.copytree(whole.settings.home, tmp_path / "home")
    return SmallStore.under(tmp_path / "home")


def verified(store: SmallStore) -> Verification:
    root, keys = store.settings.release_store, store.keys.public_keys
    return with_releases(verify_ledger(root, keys), root, keys)


def path_of(store: SmallStore, number: int) -> Path:
    return store.settings.release_store / "releases" / MODEL / f"{number:06d}.json"


def test_every_act_is_recorded_before_it_and_every_release_names_the_head(store: SmallStore) -> None:
    records = read_records(store.settings.release_store)
    assert [(record.kind, record.actor.kind, record.facts.get("number")) for record in records] == [
        ("genesis", "platform", None),
        ("release", "person", 1),
        ("released", "platform", 1),
        ("release", "person", 2),
        ("released", "platform", 2),
        ("release", "policy", 3),
        ("released", "platform", 3),
        ("rollback", "person", 4),
        ("released", "platform", 4),
        *[("resume", "person", None)] * 2,
        *[("freeze", "person", 1)] * 2,
        *[("unfreeze", "person", 2)] * 2,
    ]
    heads = [release.ledger_head for release in store.releases.history(MODEL)]
    assert [head.split()[0] if head else None for head in heads] == ["2", "4", "6", "8"]
    assert (verified(store).problems, verified(store).notices) == ((), ())


def test_no_text_of_a_person_is_in_the_ledger(tmp_path: Path) -> None:
    store = SmallStore.under(tmp_path / "other")
    reason = "customer 4711 complained"
    store.releases.publish(MODEL, store.seal(1), by="ana", reason=reason)
    store.releases.publish(MODEL, store.seal(2), by="ana", reason=reason)
    store.releases.rollback(MODEL, by="ana", reason=reason)
    store.releases.switches.freeze(by="ana", reason=reason)
    for path in (store.settings.release_store / "ledger").iterdir():
        assert b"4711" not in path.read_bytes()


def drop_last_records(store: SmallStore) -> None:
    files = LedgerFiles(store.settings.release_store)
    del files.records[7:], files.checkpoints[7:]
    files.write()


def remove_ledger(store: SmallStore) -> None:
    shutil.rmtree(store.settings.release_store / "ledger")


def begin_again(store: SmallStore) -> None:
    remove_ledger(store)
    other = store.settings.home.with_name("fork")
    shutil.copytree(store.settings.home, other)
    fork = SmallStore.under(other)
    for number in range(1, 5):
        path_of(fork, number).unlink()
    for seed in range(1, 5):
        fork.releases.publish(MODEL, fork.seal(seed), by="eve", reason="another history")
    shutil.copytree(fork.settings.release_store / "ledger", store.settings.release_store / "ledger")


def flip_release(store: SmallStore) -> None:
    content = path_of(store, 2).read_bytes()
    path_of(store, 2).write_bytes(content.replace(b"test", b"tost"))


def remove_last_release(store: SmallStore) -> None:
    path_of(store, 4).unlink()


def remove_all_releases(store: SmallStore) -> None:
    shutil.rmtree(path_of(store, 1).parent)


def swap_releases(store: SmallStore) -> None:
    first, second = path_of(store, 1).read_bytes(), path_of(store, 2).read_bytes()
    path_of(store, 1).write_bytes(second)
    path_of(store, 2).write_bytes(first)


def resign_release(store: SmallStore) -> None:
    """As somebody does who has the signing key: the last release says another champion."""
    release = store.releases.history(MODEL)[-1]
    champion = msgspec.structs.replace(release.champion, bundle_digest=store.seal(3))
    path_of(store, 4).write_bytes(signed_envelope(msgspec.structs.replace(release, champion=champion), store.keys))


def add_release(store: SmallStore) -> None:
    """As somebody does who has the signing key: a release without a record."""
    history = store.releases.history(MODEL)
    content = path_of(store, 4).read_bytes()
    added = msgspec.structs.replace(history[-1], number=5, predecessor=digest(content), ledger_head=None)
    path_of(store, 5).write_bytes(signed_envelope(added, store.keys))


def foreign_release(store: SmallStore) -> None:
    other = SmallStore.under(store.settings.home.with_name("foreign"))
    release = store.releases.history(MODEL)[-1]
    path_of(store, 4).write_bytes(signed_envelope(release, other.keys))


DAMAGE: list[tuple[Callable[[SmallStore], None], str, str]] = [
    (drop_last_records, "truncated", "record 8 is missing, which release 4 of card_fraud covers"),
    (remove_ledger, "truncated", "records 1 to 2 are missing, which release 1 of card_fraud covers"),
    (begin_again, "other_release", "release 1 of card_fraud is not the file that the ledger recorded"),
    (flip_release, "other_release", "they were changed after they were signed - at release 2 of card_fraud"),
    (remove_last_release, "missing_release", "release 4 of card_fraud, which was written, is not in the store"),
    (remove_all_releases, "missing_release", "release 1 of card_fraud"),
    (swap_releases, "other_release", "release 1 of card_fraud does not follow the release before it"),
    (resign_release, "other_release", "release 4 of card_fraud is not the file that the ledger recorded"),
    (add_release, "unrecorded_release", "release 5 of card_fraud names no head of the ledger"),
    (foreign_release, "other_release", "got key"),
]


@pytest.mark.parametrize(("damage", "name", "message"), DAMAGE, ids=lambda value: getattr(value, "__name__", ""))
def test_damage_is_found_by_name(
    store: SmallStore, damage: Callable[[SmallStore], None], name: str, message: str
) -> None:
    damage(store)
    first = verified(store).problems[0]
    assert first.damage == name
    assert message in first.message


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        (drop_last_records, "Expected the turns of the freeze switch that the ledger recorded, but freezes/000002"),
        (remove_ledger, r"Expected the (state of the )?ledger"),
    ],
    ids=lambda value: getattr(value, "__name__", ""),
)
def test_without_its_ledger_a_store_promotes_nothing_and_still_reduces_risk(
    store: SmallStore, damage: Callable[[SmallStore], None], message: str, caplog: pytest.LogCaptureFixture
) -> None:
    releases = store.releases
    third = releases.publish(MODEL, store.seal(3), is_withdrawn_allowed=True, **BY)
    store.releases.put_canary(MODEL, store.seal(4), percent=5, **BY)
    damage(store)
    releases = ReleaseStore(store.settings.release_store, store.keys)
    with pytest.raises(LedgerError, match=message):
        releases.put_canary(MODEL, store.seal(4), percent=50, **BY)
    with pytest.raises(LedgerError, match=message):
        releases.put_shadow(MODEL, store.seal(5), **BY)
    with caplog.at_level(logging.ERROR):
        assert releases.end_canary(MODEL, **BY).canary is None
        assert releases.rollback(MODEL, **BY).champion != third.champion
        assert releases.switches.freeze(**BY).is_frozen
    assert "Not recorded in the ledger: release 7 of card_fraud" in caplog.text
    assert releases.history(MODEL)[-1].ledger_head is None
    assert "truncated" in {problem.damage for problem in verified(store).problems}


def test_a_damaged_ledger_unfreezes_and_resumes_nothing(store: SmallStore) -> None:
    store.releases.switches.freeze(**BY)
    files = LedgerFiles(store.settings.release_store)
    files.records[2] = files.records[2].replace(b"released", b"Released")
    files.write()
    releases = ReleaseStore(store.settings.release_store, store.keys)
    with pytest.raises(LedgerError, match="Expected record 3 as it was written"):
        releases.switches.unfreeze(**BY)
    assert releases.switches.freeze_in_force() is not None


def test_a_store_of_an_earlier_version_is_taken_in_and_goes_on(store: SmallStore) -> None:
    root = store.settings.release_store
    shutil.rmtree(root / "ledger")
    previous = None
    for number, release in enumerate(store.releases.history(MODEL), start=1):
        earlier = msgspec.structs.replace(release, ledger_head=None, predecessor=previous)
        path_of(store, number).write_bytes(signed_envelope(earlier, store.keys))
        previous = digest(path_of(store, number).read_bytes())
    assert verified(store).problems == ()
    releases = ReleaseStore(root, store.keys)
    assert releases.publish(MODEL, store.seal(3), **BY).ledger_head is not None
    genesis, *rest = read_records(root)
    assert list(genesis.facts["releases"][MODEL]) == ["1", "2", "3", "4"]
    assert len(genesis.facts["switches"]) == 3
    assert [record.kind for record in rest] == ["release", "released"]
    assert (verified(store).problems, verified(store).notices) == ((), ())


def test_a_release_that_another_version_made_meanwhile_is_recorded_with_the_next(store: SmallStore) -> None:
    add_release(store)
    assert verified(store).problems[0].damage == "unrecorded_release"
    ReleaseStore(store.settings.release_store, store.keys).publish(MODEL, store.seal(3), **BY)
    assert verified(store).problems == ()
    assert verified(store).notices == ("release 5 of card_fraud was written without a record that announced it",)
    kinds = [(record.kind, record.facts["number"]) for record in read_records(store.settings.release_store)[-3:]]
    assert kinds == [("released", 5), ("release", 6), ("released", 6)]


def test_an_announced_release_that_was_not_written_is_a_notice(
    store: SmallStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_: object) -> bool:
        raise LifecycleError("the disk is full")

    with monkeypatch.context() as patch:
        patch.setattr("lifecycle.releases.store.create_signed", full)
        with pytest.raises(LifecycleError, match="the disk is full"):
            store.releases.publish(MODEL, store.seal(3), **BY)
    assert verified(store).problems == ()
    [notice] = verified(store).notices
    assert "announces release 5 of card_fraud, which was not written" in notice
    store.releases.publish(MODEL, store.seal(3), **BY)
    assert (verified(store).problems, verified(store).notices) == ((), ())
    announced = [record for record in read_records(store.settings.release_store) if record.facts.get("number") == 5]
    assert [record.kind for record in announced] == ["release", "released"]


def test_the_head_is_in_the_json_of_a_release(store: SmallStore) -> None:
    payload = json.loads(json.loads(path_of(store, 1).read_bytes())["payload"])
    assert payload["ledger_head"].split()[0] == "2"
