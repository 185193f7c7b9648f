import datetime as dt
import shutil
from pathlib import Path

import pytest

from serving.cache import Cache
from serving.contract import ContractError
from serving.errors import ModelNotReadyError, UnknownModelError
from serving.releases import DirectoryReader, ReleaseSource
from serving.slots import TRANSITIONS, Failure, Slots, State, Status, failed_again, moved, should_load
from tests.serving.small_models import MODEL, SmallStore
from tests.serving.test_releases import release_path, resign


def slots_of(store: SmallStore) -> Slots:
    keys = store.keys.public_keys
    cache = Cache(store.settings.root / "cache")
    cache.prepare()
    return Slots(ReleaseSource(DirectoryReader(store.settings.release_store), keys), cache, keys)


def number(slots: Slots) -> int:
    return slots.champion(MODEL).release_number


FAILED = Failure("b", attempts=1, retry_at=100.0)


@pytest.mark.parametrize(
    ("serving", "aspired", "failure", "now", "expected"),
    [
        (None, "a", None, 0.0, True),
        ("a", "a", None, 0.0, False),
        ("a", "b", None, 0.0, True),
        ("a", "b", FAILED, 99.0, False),
        ("a", "b", FAILED, 100.0, True),
        ("a", "c", FAILED, 99.0, True),
        ("a", "a", FAILED, 200.0, False),
        (None, "b", FAILED, 99.0, False),
    ],
)
def test_what_is_loaded(serving: str | None, aspired: str, failure: Failure | None, now: float, expected: bool) -> None:
    assert should_load(serving, aspired, failure, now) is expected


def test_a_failed_release_is_tried_again_ever_more_rarely() -> None:
    failure: Failure | None = None
    waits = []
    for _ in range(8):
        failure = failed_again("b", failure, now=0.0)
        waits.append(failure.retry_at)
    assert waits == [2, 4, 8, 16, 32, 60, 60, 60]
    assert failed_again("c", failure, now=0.0).retry_at == 2


@pytest.mark.parametrize("before", list(TRANSITIONS))
@pytest.mark.parametrize("after", list(TRANSITIONS))
def test_only_the_transitions_of_the_table_happen(before: State, after: State) -> None:
    status = Status(before, dt.datetime(2026, 1, 1, tzinfo=dt.UTC))
    if after in TRANSITIONS[before]:
        assert moved(status, after).state == after
    else:
        with pytest.raises(ValueError, match=f"after '{before}', got '{after}'"):
            moved(status, after)


def test_a_release_is_loaded_and_a_newer_one_replaces_it(store: SmallStore) -> None:
    slots = slots_of(store)
    first = store.publish(1)
    slots.advance()
    assert slots.champion(MODEL).bundle_digest == first.champion.bundle_digest
    before = slots.champion(MODEL)
    second = store.publish(2)
    slots.advance()
    assert slots.champion(MODEL).bundle_digest == second.champion.bundle_digest
    assert slots.statuses[MODEL].state == "ready"
    assert before.model.score((1.0, 0, "shop", None)).score > 0


def test_a_rollback_is_a_newer_release(store: SmallStore) -> None:
    slots = slots_of(store)
    first = store.publish(1)
    store.publish(2)
    slots.advance()
    store.releases.rollback(MODEL, by="test", reason="test")
    slots.advance()
    assert number(slots) == 3
    assert slots.champion(MODEL).bundle_digest == first.champion.bundle_digest


def test_an_unknown_model_and_one_not_loaded_are_told_apart(store: SmallStore) -> None:
    slots = slots_of(store)
    release = store.publish(1)
    (store.settings.release_store / "bundles" / release.champion.bundle_digest / "model.txt").write_text("tampered")
    slots.advance()
    with pytest.raises(UnknownModelError, match=r"Expected one of the models \['card_fraud'\]"):
        slots.champion("credit")
    with pytest.raises(ModelNotReadyError):
        slots.champion(MODEL)
    assert "model.txt" in str(slots.statuses[MODEL].error)


def test_a_tampered_bundle_is_refused_and_the_old_model_goes_on(store: SmallStore) -> None:
    slots = slots_of(store)
    store.publish(1)
    slots.advance()
    release = store.publish(2)
    path = store.settings.release_store / "bundles" / release.champion.bundle_digest / "model.txt"
    genuine = path.read_bytes()
    path.write_bytes(genuine.replace(b"threshold", b"threshald"))
    slots.advance()
    assert number(slots) == 1
    status = slots.statuses[MODEL]
    assert (status.state, status.aspired_number) == ("error", 2)
    assert slots.load_failures == 1
    slots.advance()
    assert slots.load_failures == 1, "it is tried again only after a while"


def test_a_tampered_release_is_refused_and_the_old_model_goes_on_until_the_store_is_mended(store: SmallStore) -> None:
    slots = slots_of(store)
    store.publish(1)
    slots.advance()
    store.publish(2)
    path = release_path(store, 2)
    genuine = path.read_bytes()
    path.write_bytes(genuine.replace(b"seed 2", b"seed 7"))
    slots.advance()
    slots.advance()
    assert number(slots) == 1
    assert slots.statuses[MODEL].state == "error"
    assert slots.load_failures == 1
    path.write_bytes(genuine)
    slots.advance()
    assert number(slots) == 2
    assert slots.statuses[MODEL].state == "ready"


def test_a_lower_number_is_refused_also_after_a_restart(store: SmallStore) -> None:
    slots = slots_of(store)
    store.publish(1)
    store.publish(2)
    slots.advance()
    release_path(store, 2).unlink()
    slots.advance()
    assert number(slots) == 2
    restarted = slots_of(store)
    restarted.restore()
    restarted.advance()
    assert number(restarted) == 2
    assert "the store went back" in str(restarted.statuses[MODEL].error)


def test_an_error_clears_when_the_store_is_back_at_what_serves(store: SmallStore) -> None:
    slots = slots_of(store)
    store.publish(1)
    slots.advance()
    content = release_path(store, 1).read_bytes()
    release_path(store, 1).unlink()
    slots.advance()
    assert slots.statuses[MODEL].state == "error"
    release_path(store, 1).write_bytes(content)
    slots.advance()
    assert slots.statuses[MODEL].state == "ready"
    assert slots.statuses[MODEL].error is None


def test_a_store_that_is_down_changes_nothing_and_a_restart_serves_from_the_cache(store: SmallStore) -> None:
    slots = slots_of(store)
    store.publish(1)
    slots.advance()
    shutil.rmtree(store.settings.release_store)
    slots.advance()
    assert number(slots) == 1
    assert slots.poll_failure is not None
    restarted = slots_of(store)
    restarted.restore()
    restarted.advance()
    assert number(restarted) == 1
    assert restarted.champion(MODEL).model.score((1.0, 0, "shop", None)).score > 0


def test_a_damaged_cache_is_refused_and_mended_from_the_store(store: SmallStore) -> None:
    slots = slots_of(store)
    release = store.publish(1)
    slots.advance()
    cached = store.settings.root / "cache" / "bundles" / release.champion.bundle_digest / "model.txt"
    genuine = cached.read_bytes()
    cached.write_bytes(b"damaged")
    restarted = slots_of(store)
    restarted.restore()
    assert number(restarted) == 1
    cached.write_bytes(b"damaged")
    shutil.rmtree(store.settings.release_store)
    alone = slots_of(store)
    alone.restore()
    with pytest.raises(ModelNotReadyError):
        alone.champion(MODEL)
    assert genuine != b"damaged"


def test_a_damaged_held_release_is_refused(store: SmallStore) -> None:
    slots = slots_of(store)
    store.publish(1)
    slots.advance()
    held = store.settings.root / "cache" / "held" / f"{MODEL}.json"
    held.write_bytes(held.read_bytes().replace(b"seed 1", b"seed 7"))
    found = Cache(store.settings.root / "cache").held(store.keys.public_keys)
    assert isinstance(found[MODEL], ContractError)
    restarted = slots_of(store)
    restarted.restore()
    assert restarted.statuses[MODEL].state == "error"
    restarted.advance()
    assert number(restarted) == 1


def test_the_cache_keeps_what_is_held_and_its_files_are_the_owners_alone(store: SmallStore) -> None:
    slots = slots_of(store)
    for seed in (1, 2):
        store.publish(seed)
        slots.advance()
    bundles = store.settings.root / "cache" / "bundles"
    assert [folder.name for folder in bundles.iterdir()] == [slots.champion(MODEL).bundle_digest]
    modes = {path.stat().st_mode & 0o777 for path in (store.settings.root / "cache").rglob("*") if path.is_file()}
    assert modes == {0o600}


def test_a_full_disk_keeps_the_old_model(store: SmallStore, monkeypatch: pytest.MonkeyPatch) -> None:
    slots = slots_of(store)
    store.publish(1)
    slots.advance()
    store.publish(2)

    def full(_path: Path, _content: bytes) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("serving.cache.write_flushed", full)
    slots.advance()
    assert number(slots) == 1
    assert "No space left on device" in str(slots.statuses[MODEL].error)


def test_a_bundle_of_another_model_is_refused(store: SmallStore) -> None:
    slots = slots_of(store)
    release = store.publish(1)
    other = store.seal(1, "credit")
    assert other != release.champion.bundle_digest
    import msgspec

    resign(store, 1, champion=msgspec.structs.replace(release.champion, bundle_digest=other))
    slots.advance()
    assert "Expected a bundle of card_fraud, got one of credit" in str(slots.statuses[MODEL].error)


def test_two_models_restart_from_the_cache_alone(store: SmallStore) -> None:
    slots = slots_of(store)
    store.publish(1)
    store.publish(2, "credit")
    slots.advance()
    store.publish(3)
    slots.advance()
    shutil.rmtree(store.settings.release_store)
    restarted = slots_of(store)
    restarted.restore()
    assert {model: champion.release_number for model, champion in restarted.champions.items()} == {
        MODEL: 2,
        "credit": 1,
    }


def test_what_was_replaced_is_retired_until_the_next_poll(store: SmallStore) -> None:
    slots = slots_of(store)
    store.publish(1)
    slots.advance()
    store.publish(2)
    slots.advance()
    assert [(each.champion.release_number, each.status.state) for each in slots.retired] == [(1, "retired")]
    slots.advance()
    assert slots.retired == []
