"""Bundles that a server must refuse."""

import shutil
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import msgspec

from serving.contract.documents import DECIDING_VERSION, SlotRelease, digest
from tests.harness.model_texts import DAMAGES
from tests.harness.release_files import resign
from tests.harness.small_models import MODEL, SmallStore


@dataclass(frozen=True)
class Second:
    """The releases after the serving one: another champion, its canary, its shadow."""

    store: SmallStore

    def bundle(self, slot: str, name: str) -> Path:
        slot_release: SlotRelease = getattr(self.store.releases.history(MODEL)[-1], slot)
        return self.store.settings.release_store / "bundles" / slot_release.bundle_digest / name

    def resign_canary(self, **changes: Any) -> None:
        release = self.store.releases.history(MODEL)[-1]
        assert release.canary is not None
        resign(self.store, 4, canary=msgspec.structs.replace(release.canary, **changes))


def reseal(path: Path, second: Second) -> None:
    """Re-sign a changed bundle with a correct manifest and name, so that only its golden rows are wrong."""
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
    newer = f'"schema_version": {DECIDING_VERSION + 1}'.encode()
    deciding = path.read_bytes().replace(b'"schema_version": 1', newer)
    path.write_bytes(deciding)
    reseal_candidate(path, second)


def damaged_trees(second: Second) -> None:
    """A text that ends a process in which LightGBM reads it."""
    path = second.bundle("canary", "model.txt")
    path.write_bytes(DAMAGES["a shorter number"](path.read_text()).encode())
    reseal_candidate(path, second)


def reseal_candidate(path: Path, second: Second) -> None:
    """Re-sign a bundle whose model text or deciding file was changed, as if it had been sealed so."""
    manifest = msgspec.json.decode((path.parent / "manifest.json").read_bytes())
    lines = [f"{digest((path.parent / name).read_bytes())}  {name}\n" for name in ("deciding.json", "model.txt")]
    manifest["candidate_digest"] = digest("".join(lines).encode())
    (path.parent / "manifest.json").write_bytes(msgspec.json.encode(manifest))
    reseal(path, second)
