"""Everything that may be wrong with a release: refused with words that help, while the old one serves on."""

import shutil
from collections.abc import Callable

import msgspec
import pytest

from serving.artefacts.bundle import Bundle
from serving.contract.documents import SlotRelease
from serving.http.routes.health import not_ready
from serving.scoring.model import LoadedModel
from tests.harness.broken_requests import SECRET
from tests.harness.release_files import release_path, resign
from tests.harness.slot_steps import canary, number, shadow, slots_of, states
from tests.harness.small_models import MODEL, SmallStore
from tests.harness.spoiled_bundles import Second, golden_mismatch, newer_deciding, spoil


def another_models(second: Second) -> None:
    second.resign_canary(bundle_digest=second.store.seal(4, "credit"))


FAILURES: dict[str, tuple[Callable[[Second], object], str]] = {
    "missing bundle": (lambda second: shutil.rmtree(second.bundle("canary", "model.txt").parent), "missing"),
    "partial bundle": (lambda second: second.bundle("shadow", "golden.jsonl").unlink(), "missing ['golden.jsonl']"),
    "bad digest": (spoil("model.txt"), "canary of release 4; repair the release store"),
    "bad digest of the champion": (spoil("model.txt", "champion"), "`lifecycle rollback card_fraud`"),
    "bad digest of the shadow": (spoil("model.txt", "shadow"), "`lifecycle end-shadow card_fraud`"),
    "bad manifest": (spoil("manifest.json"), "Expected a manifest with digest"),
    "bad signature of a bundle": (spoil("manifest.sig"), "canary of release 4"),
    "bad signature of a release": (
        lambda second: release_path(second.store, 4).write_bytes(
            release_path(second.store, 4).read_bytes().replace(b"shadow 4", b"shadow 5")
        ),
        "they were changed after they were signed",
    ),
    "golden mismatch": (golden_mismatch, "golden row 3"),
    "another model's bundle": (another_models, "Expected a bundle of card_fraud, got one of credit"),
    "newer release": (lambda second: resign(second.store, 4, schema_version=2), "upgrade this installation"),
    "newer bundle": (newer_deciding, "upgrade this installation"),
    "release missing between": (lambda second: release_path(second.store, 2).unlink(), "found none before 3"),
    "torn release": (
        lambda second: release_path(second.store, 4).write_bytes(release_path(second.store, 4).read_bytes()[:-40]),
        "release 4 of card_fraud",
    ),
    "canary without percent": (lambda second: second.resign_canary(percent=None), "Expected a percent from 0 to 100"),
    "canary without salt": (lambda second: second.resign_canary(salt=None), "Expected a salt, got none"),
    "percent too high": (lambda second: second.resign_canary(percent=101.0), "got 101.0; repair"),
    "percent too low": (lambda second: second.resign_canary(percent=-1.0), "got -1.0; repair"),
    "canary is the champion": (
        lambda second: second.resign_canary(
            bundle_digest=second.store.releases.history(MODEL)[-1].champion.bundle_digest
        ),
        "Expected a bundle other than the champion's, got the same",
    ),
    "shadow with a percent": (
        lambda second: resign(
            second.store, 4, shadow=SlotRelease(bundle_digest="0" * 64, as_of="2026-01-01", percent=5.0)
        ),
        "Expected neither percent nor salt",
    ),
}


@pytest.mark.parametrize("failure", FAILURES)
def test_a_failing_slot_refuses_the_release_and_the_old_one_serves_on(store: SmallStore, failure: str) -> None:
    slots = slots_of(store)
    store.publish(1)
    slots.advance()
    store.publish(3)
    canary(store, 2)
    shadow(store, 4)
    spoilt, words = FAILURES[failure]
    spoilt(Second(store))
    before = slots.serving(MODEL)
    slots.advance()
    error = str(slots.statuses[MODEL].error)
    assert slots.serving(MODEL) is before, "not a single slot of it is replaced"
    assert words in error
    assert error.endswith("; release 1 serves on")
    assert slots.load_failures == 1
    assert slots.poll_failure is None
    assert not_ready([MODEL], slots.models.keys(), None) == []
    assert states(slots)["champion", 1] == "serving"
    assert {state for (_, release), state in states(slots).items() if release != 1} <= {"failed"}


def test_every_slot_says_which_one_failed(store: SmallStore) -> None:
    slots = slots_of(store)
    store.publish(1)
    slots.advance()
    canary(store, 2)
    spoil("model.txt")(Second(store))
    slots.advance()
    said = {last.slot: last.error for last in slots.journal.of_model(MODEL, "failed")}
    assert said["champion"] == "its release is refused because the canary failed"
    assert "`lifecycle end-canary card_fraud`" in str(said["canary"])


def test_a_mended_bundle_is_loaded_when_its_turn_comes(store: SmallStore, monkeypatch: pytest.MonkeyPatch) -> None:
    clock = [1000.0]
    monkeypatch.setattr("serving.slots.slots.time.monotonic", lambda: clock[0])
    slots = slots_of(store)
    store.publish(1)
    slots.advance()
    canary(store, 2)
    second = Second(store)
    genuine = second.bundle("canary", "model.txt").read_bytes()
    spoil("model.txt")(second)
    slots.advance()
    second.bundle("canary", "model.txt").write_bytes(genuine)
    clock[0] += 1.9
    slots.advance()
    assert number(slots) == 1
    clock[0] += 0.1
    slots.advance()
    assert number(slots) == 2
    assert slots.statuses[MODEL].error is None
    slots.advance()
    assert states(slots) == {("champion", 2): "serving", ("canary", 2): "serving"}


def test_a_newer_release_does_not_wait_for_the_one_that_failed(store: SmallStore) -> None:
    slots = slots_of(store)
    store.publish(1)
    slots.advance()
    canary(store, 2)
    spoil("model.txt")(Second(store))
    slots.advance()
    store.releases.end_canary(MODEL, by="test", reason="broken")
    slots.advance()
    assert number(slots) == 3
    slots.advance()
    assert states(slots) == {("champion", 3): "serving"}


def test_an_error_that_nobody_foresaw_is_refused_too_and_its_text_kept_inside(
    store: SmallStore, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    slots = slots_of(store)
    store.publish(1)
    slots.advance()

    def broken(_bundle: Bundle) -> LoadedModel:
        raise KeyError(SECRET)

    canary(store, 2)
    monkeypatch.setattr("serving.slots.loading.load_model", broken)
    slots.advance()
    assert number(slots) == 1
    assert "Expected a release that loads, got KeyError" in str(slots.statuses[MODEL].error)
    assert "in broken" in caplog.text
    assert SECRET not in caplog.text
    assert {state for (_, release), state in states(slots).items() if release == 2} == {"failed"}


def test_a_store_that_is_down_is_no_refusal(store: SmallStore) -> None:
    slots = slots_of(store)
    store.publish(1)
    canary(store, 2)
    slots.advance()
    shutil.rmtree(store.settings.release_store)
    slots.advance()
    assert number(slots) == 2
    assert slots.load_failures == 0
    assert "found no folder" in str(slots.poll_failure)
    assert not_ready([MODEL], slots.models.keys(), None) == []


def test_a_cached_release_that_cannot_be_served_is_refused_at_the_restart(store: SmallStore) -> None:
    slots = slots_of(store)
    store.publish(1)
    canary(store, 2)
    slots.advance()
    release = store.releases.history(MODEL)[-1]
    assert release.canary is not None
    resign(store, 2, canary=msgspec.structs.replace(release.canary, percent=None))
    held = store.settings.root / "cache" / "held" / f"{MODEL}.json"
    held.write_bytes(release_path(store, 2).read_bytes())
    restarted = slots_of(store)
    restarted.restore()
    assert "Expected a percent from 0 to 100, got none" in str(restarted.statuses[MODEL].error)
    assert str(restarted.statuses[MODEL].error).endswith("; nothing serves")


def test_a_lower_number_is_refused_after_a_restart_also_if_nothing_could_be_loaded(store: SmallStore) -> None:
    slots = slots_of(store)
    store.publish(1)
    store.publish(2)
    slots.advance()
    shutil.rmtree(store.settings.root / "cache" / "bundles")
    gone = store.settings.release_store / "bundles"
    shutil.move(gone, gone.with_name("elsewhere"))
    restarted = slots_of(store)
    restarted.restore()
    assert restarted.models == {}
    shutil.move(gone.with_name("elsewhere"), gone)
    release_path(store, 2).unlink()
    restarted.advance()
    assert restarted.models == {}
    assert "the store went back" in str(restarted.statuses[MODEL].error)
