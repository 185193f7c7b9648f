"""The keys of an installation: created at its first start, readable only by their owner, never overwritten."""

import base64
import secrets
from dataclasses import dataclass
from pathlib import Path
from typing import TypeGuard

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.asymmetric.types import PrivateKeyTypes
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat

from lifecycle.errors import LifecycleError
from lifecycle.settings.platform import Settings
from lifecycle.signing.key_files import check_mode, ensure_key_pair, key_folder
from lifecycle.signing.model_key import ModelKey, ensure_model_key
from serving.artefacts.signatures import PublicKeys, key_id, read_public_keys
from serving.contract.documents import PSEUDONYM_KEY_BYTES, Signed
from serving.storage.durable import create_once

SIGNING_KEY_FILE = "signing_key.pem"
PUBLIC_KEY_FILE = "public_key.pem"
PSEUDONYM_KEY_FILE = "pseudonym.key"


@dataclass(frozen=True, slots=True)
class SigningKey:
    """An Ed25519 key and its id; `repr` shows only the id."""

    key_id: str
    _private: Ed25519PrivateKey

    def sign(self, content: bytes) -> Signed:
        """Sign the bytes; deterministic."""
        return Signed(key_id=self.key_id, signature=base64.b64encode(self._private.sign(content)).decode())

    def __repr__(self) -> str:
        return f"SigningKey({self.key_id})"


@dataclass(frozen=True, slots=True)
class Keys:
    """The keys of one installation: the signing key, and the paths of the two that the server reads."""

    signing_key: SigningKey
    public_keys: PublicKeys
    public_key_path: Path
    pseudonym_key_path: Path

    @property
    def key_id(self) -> str:
        """Id of the signing key."""
        return self.signing_key.key_id

    @property
    def model_key(self) -> ModelKey:
        """The key of the bundles' OpenSSF signatures, made when it is first needed; raises as `ensure_model_key`."""
        return ensure_model_key(self.public_key_path.parent)


def ensure_keys(settings: Settings) -> Keys:
    """The keys of this installation; creates the missing ones at its first start.

    Safe under concurrency and after a crash at any point: the first process creates a key, and the others read it.

    Raises
    ------
    LifecycleError
        If a key is invalid, is readable by others than its owner, or the public key does not match the signing key; or
        if this user cannot read the keys, or write missing ones.
    """
    with key_folder(settings.keys_dir) as folder:
        return keys_of(folder)


def keys_of(folder: Path) -> Keys:
    """The keys in a folder; creates the missing ones. Raises as `ensure_keys`, but `OSError` as it is."""
    folder.mkdir(parents=True, exist_ok=True, mode=0o700)
    public_path, pseudonym_path = folder / PUBLIC_KEY_FILE, folder / PSEUDONYM_KEY_FILE
    private = ensure_key_pair(folder / SIGNING_KEY_FILE, public_path, _new_private_pem, _is_ed25519, "an Ed25519")
    if not pseudonym_path.exists():
        create_once(pseudonym_path, secrets.token_bytes(PSEUDONYM_KEY_BYTES), "keys.pseudonym_key")
    _check_pseudonym_key(pseudonym_path)
    signing_key = SigningKey(key_id(private.public_key()), private)
    return Keys(signing_key, _public_keys(public_path, signing_key), public_path, pseudonym_path)


def _is_ed25519(key: PrivateKeyTypes) -> TypeGuard[Ed25519PrivateKey]:
    return isinstance(key, Ed25519PrivateKey)


def _new_private_pem() -> bytes:
    return Ed25519PrivateKey.generate().private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())


def _public_keys(path: Path, signing_key: SigningKey) -> PublicKeys:
    try:
        keys = read_public_keys(path)
    except ValueError as error:
        raise LifecycleError(str(error)) from error
    if signing_key.key_id not in keys.ids:
        raise LifecycleError(
            f"Expected the public key {signing_key.key_id} of the signing key, got {keys.ids}; remove the public key "
            f"file, and the next start writes it again - at {path}"
        )
    return keys


def _check_pseudonym_key(path: Path) -> None:
    check_mode(path)
    size = path.stat().st_size
    if size != PSEUDONYM_KEY_BYTES:
        raise LifecycleError(
            f"Expected a pseudonym key of {PSEUDONYM_KEY_BYTES} bytes, got {size}; restore it from the backup, because "
            f"another key changes the pseudonym of every entity - at {path}"
        )
