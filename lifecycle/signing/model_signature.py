"""OpenSSF Model Signing v1: one signature over every file of a folder, which that project's client verifies.

The file is a Sigstore bundle (JSON, version 0.3) around a DSSE envelope, whose payload is an in-toto statement v1 with
the predicate ``https://model_signing/signature/v1.0``: the SHA-256 of each file, and SHA-256 of these digests in the
order of the names. The client's library is not used here, because it brings Sigstore's and TUF's clients along.

Sources: https://github.com/sigstore/model-transparency (1.1.1, ``_signing/signing.py`` and ``sign_ec_key.py``),
https://github.com/secure-systems-lab/dsse/blob/v1.0.0/protocol.md, https://docs.sigstore.dev/about/bundle/.
"""

import base64
import hashlib
import json
from collections.abc import Mapping
from typing import Any, Final

import msgspec

from lifecycle.errors import LifecycleError
from lifecycle.signing.model_key import ModelKey

MODEL_SIGNATURE_FILE: Final = "model.sig"
"""The client's default name; the file is outside the manifest, because it covers the manifest."""
_MEDIA_TYPE: Final = "application/vnd.dev.sigstore.bundle.v0.3+json"
_PAYLOAD_TYPE: Final = "application/vnd.in-toto+json"
_STATEMENT_TYPE: Final = "https://in-toto.io/Statement/v1"
_PREDICATE_TYPE: Final = "https://model_signing/signature/v1.0"


def model_signature(name: str, files: Mapping[str, bytes], key: ModelKey) -> bytes:
    """Content of ``model.sig``.

    Parameters
    ----------
    name
        Name of the folder; the client shows it and does not compare it.
    files
        Every other file of the folder, by its name.
    """
    payload = json.dumps(_statement(name, files), indent=2).encode()
    envelope = {
        "payload": _base64(payload),
        "payloadType": _PAYLOAD_TYPE,
        "signatures": [{"sig": _base64(key.sign(_pre_authentication(payload))), "keyid": ""}],
    }
    document = {
        "mediaType": _MEDIA_TYPE,
        "verificationMaterial": {"publicKey": {"hint": key.hint}, "tlogEntries": []},
        "dsseEnvelope": envelope,
    }
    return json.dumps(document).encode()


def hint_in(signature: bytes, where: str) -> str:
    """Hint of the key that a ``model.sig`` names, not verified; raises `LifecycleError` if it cannot be read."""
    try:
        document = msgspec.json.decode(signature, type=_Signature)
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise LifecycleError(f"Expected an OpenSSF model signature, got {type(error).__name__} - at {where}") from error
    return document.material.public_key.hint


class _PublicKey(msgspec.Struct):
    hint: str


class _Material(msgspec.Struct, rename={"public_key": "publicKey"}):
    public_key: _PublicKey


class _Signature(msgspec.Struct, rename={"material": "verificationMaterial"}):
    material: _Material


def _statement(name: str, files: Mapping[str, bytes]) -> dict[str, Any]:
    digests = {file: hashlib.sha256(content).digest() for file, content in sorted(files.items())}
    root = hashlib.sha256(b"".join(digests.values())).hexdigest()
    return {
        "_type": _STATEMENT_TYPE,
        "subject": [{"name": name, "digest": {"sha256": root}}],
        "predicateType": _PREDICATE_TYPE,
        "predicate": {
            "serialization": {
                "method": "files",
                "hash_type": "sha256",
                "allow_symlinks": False,
                "ignore_paths": [MODEL_SIGNATURE_FILE],
            },
            "resources": [
                {"name": file, "algorithm": "sha256", "digest": digest.hex()} for file, digest in digests.items()
            ],
        },
    }


def _pre_authentication(payload: bytes) -> bytes:
    """What is signed, DSSE's pre-authentication encoding of the payload and its type."""
    return f"DSSEv1 {len(_PAYLOAD_TYPE)} {_PAYLOAD_TYPE} {len(payload)} ".encode() + payload


def _base64(content: bytes) -> str:
    return base64.b64encode(content).decode()
