import shutil
from collections.abc import Mapping
from pathlib import Path

import msgspec
import pytest

from serving.contract.documents import ContractError
from serving.errors import ModelNotReadyError, UnknownModelError
from serving.slots.cache import Cache
from tests.harness.release_files import release_path, resign
from tests.harness.slot_steps import number, slots_of, states
from tests.harness.small_models import MODEL, SmallStore


def test_a_release_is_loaded_and_a_newer_one_replaces_it(store: SmallStore) -> None:
    slots = slots_of(store)
    first = store.publish(1)
    slots.advance()
    assert slots.serving(MODEL).champion.bundle_digest == first.champion.bundle_digest
    before = slots.serving(MODEL).champion
    second = store.publish(2)
    slots.advance()
    assert slots.serving(MODEL).champion.bundle_digest == second.champion.bundle_digest
    assert states(slots) == {("champion", 1): "retiring", ("champion", 2): "serving"}
    assert before.model.score((1.0, 0, "shop", None)).score > 0


def test_a_rollback_is_a_newer_release(store: SmallStore) -> None:
    slots = slots_of(store)
    first = store.publish(1)
    store.publish(2)
    slots.advance()
    store.releases.rollback(MODEL, by="test", reason="test")
    slots.advance()
    assert number(slots) == 3
    assert slots.serving(MODEL).champion.bundle_digest == first.champion.bundle_digest


def test_an_unknown_model_and_one_not_loaded_are_told_apart(store: SmallStore) -> None:
    slots = slots_of(store)
    release = store.publish(1)
    (store.settings.release_store / "bundles" / release.champion.bundle_digest / "model.txt").write_text("tampered")
    slots.advance()
    with pytest.raises(UnknownModelError, match=r"Expected one of the models \['card_fraud'\]"):
        slots.serving("credit")
    with pytest.raises(ModelNotReadyError):
        slots.serving(MODEL)
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
    assert status.aspired_number == 2
    assert "release 1 serves on" in str(status.error)
    assert states(slots) == {("champion", 1): "serving", ("champion", 2): "failed"}
    assert slots.load_failures == 1
    slots.advance()
    assert slots.load_failures == 1, "it is tried again only after a while"


def test_a_tampered_release_is_refused_and_the_old_model_goes_on_until_the_store_is_repaired(store: SmallStore) -> None:
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
    assert "changed after they were signed" in str(slots.statuses[MODEL].error)
    assert slots.load_failures == 1
    path.write_bytes(genuine)
    slots.advance()
    assert number(slots) == 2
    assert slots.statuses[MODEL].error is None


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
    assert slots.statuses[MODEL].error is not None
    release_path(store, 1).write_bytes(content)
    slots.advance()
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
    assert restarted.serving(MODEL).champion.model.score((1.0, 0, "shop", None)).score > 0


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
        alone.serving(MODEL)
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
    assert "changed after they were signed" in str(restarted.statuses[MODEL].error)
    restarted.advance()
    assert number(restarted) == 1


def test_the_cache_keeps_what_is_held_and_its_files_are_the_owners_alone(store: SmallStore) -> None:
    slots = slots_of(store)
    for seed in (1, 2):
        store.publish(seed)
        slots.advance()
    bundles = store.settings.root / "cache" / "bundles"
    assert [folder.name for folder in bundles.iterdir()] == [slots.serving(MODEL).champion.bundle_digest]
    modes = {path.stat().st_mode & 0o777 for path in (store.settings.root / "cache").rglob("*") if path.is_file()}
    assert modes == {0o600}


def test_a_full_disk_keeps_the_old_model(store: SmallStore, monkeypatch: pytest.MonkeyPatch) -> None:
    slots = slots_of(store)
    store.publish(1)
    slots.advance()
    store.publish(2)

    def full(_path: Path, _files: Mapping[str, bytes], *, is_replacing: bool) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("serving.slots.cache.write_folder", full)
    slots.advance()
    assert number(slots) == 1
    assert "No space left on device" in str(slots.statuses[MODEL].error)


def test_a_bundle_of_another_model_is_refused(store: SmallStore) -> None:
    slots = slots_of(store)
    release = store.publish(1)
    other = store.seal(1, "credit")
    assert other != release.champion.bundle_digest
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
    assert {model: serving.release_number for model, serving in restarted.models.items()} == {MODEL: 2, "credit": 1}
