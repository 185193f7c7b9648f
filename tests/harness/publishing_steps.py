"""The steps of publishing, each of which may be killed and taken again; a process of its own takes one by name."""

import sys
from contextlib import suppress
from pathlib import Path

from lifecycle.artefacts.bundles import write_bundle
from lifecycle.errors import LifecycleError
from tests.harness.small_models import MODEL, VERDICTS, SmallStore, lineage


def take(step: str, home: Path, candidates: Path) -> None:
    """Take a step by name, such as ``publish <seed>`` or ``rollback <number>``, in the installation at `home`."""
    store = SmallStore.under(home)
    verb, _, argument = step.partition(" ")
    if verb in {"publish", "canary", "shadow"}:
        files = {path.name: path.read_bytes() for path in (candidates / argument).iterdir()}
        root, keys = store.settings.release_store, store.keys
        bundle = write_bundle(root, files, lineage=lineage(int(argument)), verdicts=VERDICTS, keys=keys)
        put(store, verb, bundle, step)
    elif verb == "end_canary":
        store.releases.end_canary(MODEL, by="test", reason=step)
    elif verb == "rollback":
        store.releases.rollback(MODEL, by="test", reason=step, after=int(argument))
    else:
        with suppress(LifecycleError):  # it is frozen already, which a repeated command says
            store.releases.switches.freeze(by="test", reason=step)


def put(store: SmallStore, verb: str, bundle: str, reason: str) -> None:
    """Put a bundle into the slot that `verb` names."""
    if verb == "publish":
        store.releases.publish(MODEL, bundle, by="test", reason=reason)
    elif verb == "canary":
        store.releases.put_canary(MODEL, bundle, percent=5, by="test", reason=reason)
    else:
        store.releases.put_shadow(MODEL, bundle, by="test", reason=reason)


if __name__ == "__main__":
    take(sys.argv[1], Path(sys.argv[2]), Path(sys.argv[3]))
