"""Steps of the slot tests."""

from collections.abc import Callable

import msgspec

from lifecycle.artefacts.bundles import write_bundle
from serving.artefacts.promotion_holds import PromotionHolds
from serving.artefacts.releases import DirectoryReader, ReleaseSource
from serving.contract.documents import Deciding, decode, encode
from serving.slots.cache import Cache
from serving.slots.slots import Slots
from serving.slots.states import State, Transition
from tests.harness.small_models import (
    MODEL,
    VERDICTS,
    SmallStore,
    candidate_files,
    lineage,
)


def slots_of(store: SmallStore, on_transition: Callable[[Transition], None] | None = None) -> Slots:
    """Slots that read the store and share one cache, as a server's before and after its restart."""
    keys = store.keys.public_keys
    cache = Cache(store.settings.root / "cache")
    cache.prepare()
    reader = DirectoryReader(store.settings.release_store)
    return Slots(ReleaseSource(reader, keys), cache, keys, PromotionHolds(reader, keys), on_transition)


def number(slots: Slots) -> int:
    """Number of the release that serves."""
    return slots.serving(MODEL).release_number


def states(slots: Slots) -> dict[tuple[str, int], State]:
    """The state of each slot of each release that is not forgotten."""
    return {(last.slot, last.release_number): last.state for last in slots.journal.of_model(MODEL)}


def canary(store: SmallStore, seed: int, percent: float = 50) -> str:
    """Put the bundle of a seed into the canary's slot; its digest."""
    bundle = store.seal(seed)
    store.releases.put_canary(MODEL, bundle, percent=percent, by="test", reason=f"canary {seed}")
    return bundle


def shadow(store: SmallStore, seed: int) -> str:
    """Put the bundle of a seed into the shadow's slot; its digest."""
    bundle = store.seal(seed)
    store.releases.put_shadow(MODEL, bundle, by="test", reason=f"shadow {seed}")
    return bundle


def renamed(store: SmallStore, seed: int, old: str, new: str) -> str:
    """Seal a bundle whose model takes a feature under another name."""
    files = candidate_files(seed)
    deciding = decode(files["deciding.json"], Deciding, "deciding.json")
    features = tuple(
        msgspec.structs.replace(each, name=new) if each.name == old else each for each in deciding.features
    )
    files["deciding.json"] = encode(msgspec.structs.replace(deciding, features=features))
    files["model.txt"] = files["model.txt"].replace(old.encode(), new.encode())
    files["golden.jsonl"] = files["golden.jsonl"].replace(old.encode(), new.encode())
    root, keys = store.settings.release_store, store.keys
    return write_bundle(root, files, lineage=lineage(seed), verdicts=VERDICTS, keys=keys)
