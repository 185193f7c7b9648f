"""Everything that may be wrong with a release: refused with words that help, while the old one serves on."""

import shutil
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import msgspec
import pytest

from serving.artefacts.bundle import Bundle
from serving.contract.documents import SlotRelease, digest
from serving.http.routes.health import not_ready
from serving.scoring.model import LoadedModel
from tests.harness.slot_steps import canary, number, shadow, slots_of, states
from tests.harness.small_models import MODEL, SmallStore
from tests.serving.artefacts.test_releases import release_path, resign
from tests.serving.wire.test_score_request import SECRET


@dataclass(frozen=True)
class Second:
    """The releases after the one that serves: another champion, its canary, its shadow."""

    store: SmallStore

    def bundle(self, slot: str, name: str) -> Path:
        stands: SlotRelease = getattr(self.store.releases.history(MODEL)[-1], slot)
        return self.store.settings.release_store / "bundles" / stands.bundle_digest / name

    def resign_canary(self, **changes: Any) -> None:
        release = self.store.releases.history(MODEL)[-1]
        assert release.canary is not None
        resign(self.store, 4, canary=msgspec.structs.replace(release.canary, **changes))


def reseal(path: Path, second: Second) -> None:
    """Give a changed bundle a manifest that is true and signed, under the name it had not: only golden rows tell."""
    manifest = msgspec.json.decode((path.parent / "manifest.json").read_bytes())
    manifest["files"][path.name] = digest(path.read_bytes())
    content = msgspec.json.encode(manifest)
    signed = second.store.keys.signing_key.sign(content)
    folder = path.parent.with_name(digest(content))
    shutil.copytree(path.parent, folder)
    (folder / "manifest.json").write_bytes(content)
    (folder / "manifest.sig").write_bytes(msgspec.json.encode(signed))
    second.resign_canary(bundle_digest=folder.name)


def spoil(name: str, slot: str = "canary") -> Callable[[Second], None]:
    def spoiled(second: Second) -> None:
        path = second.bundle(slot, name)
        path.write_bytes(path.read_bytes().replace(b"a", b"b", 1))

    return spoiled


def golden_mismatch(second: Second) -> None:
    path = second.bundle("canary", "golden.jsonl")
    rows = [msgspec.json.decode(line) for line in path.read_bytes().splitlines()]
    rows[2]["margin"] += 1e-9
    path.write_bytes(b"".join(msgspec.json.encode(row) + b"\n" for row in rows))
    reseal(path, second)


def newer_deciding(second: Second) -> None:
    path = second.bundle("canary", "deciding.json")
    deciding = path.read_bytes().replace(b'"schema_version": 1', b'"schema_version": 2')
    path.write_bytes(deciding)
    manifest = msgspec.json.decode((path.parent / "manifest.json").read_bytes())
    lines = [f"{digest((path.parent / name).read_bytes())}  {name}\n" for name in ("deciding.json", "model.txt")]
    manifest["candidate_digest"] = digest("".join(lines).encode())
    (path.parent / "manifest.json").write_bytes(msgspec.json.encode(manifest))
    reseal(path, second)


def another_models(second: Second) -> None:
    second.resign_canary(bundle_digest=second.store.seal(4, "credit"))


FAILURES: dict[str, tuple[Callable[[Second], object], str]] = {
    "missing bundle": (lambda second: shutil.rmtree(second.bundle("canary", "model.txt").parent), "missing"),
    "partial bundle": (lambda second: second.bundle("shadow", "golden.jsonl").unlink(), "missing ['golden.jsonl']"),
    "bad digest": (spoil("model.txt"), "canary of release 4; mend the release store"),
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
    "percent too high": (lambda second: second.resign_canary(percent=101.0), "got 101.0; mend"),
    "percent too low": (lambda second: second.resign_canary(percent=-1.0), "got -1.0; mend"),
    "canary is the champion": (
        lambda second: second.resign_canary(
            bundle_digest=second.store.releases.history(MODEL)[-1].champion.bundle_digest
        ),
        "Expected another bundle than the champion's, got the same",
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
