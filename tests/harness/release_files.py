"""Release files, and signing them again after a change."""

from pathlib import Path
from typing import Any

import msgspec

from serving.artefacts.releases import file_name
from serving.contract.documents import Release, SignedRelease, encode
from tests.harness.small_models import MODEL, SmallStore


def release_path(store: SmallStore, number: int, model: str = MODEL) -> Path:
    return store.settings.release_store / "releases" / model / file_name(number)


def resign(store: SmallStore, number: int, **changes: Any) -> None:
    """Write a release with other content, signed with the right key."""
    path = release_path(store, number)
    envelope = msgspec.json.decode(path.read_bytes(), type=SignedRelease)
    release = msgspec.json.decode(envelope.payload.encode(), type=Release)
    payload = encode(msgspec.structs.replace(release, **changes))
    signed = store.keys.signing_key.sign(payload)
    path.write_bytes(encode(SignedRelease(payload=payload.decode(), key_id=signed.key_id, signature=signed.signature)))
