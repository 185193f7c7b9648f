"""The keys of an installation: created at its first start, readable only by their owner, never overwritten."""

import base64
import secrets
from dataclasses import dataclass
from pathlib import Path

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    PublicFormat,
    load_pem_private_key,
)

from lifecycle.errors import LifecycleError
from lifecycle.settings.platform import Settings
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


def ensure_keys(settings: Settings) -> Keys:
    """The keys of this installation; creates the missing ones at its first start.

    Safe under concurrency and after a crash at any point: the first process creates a key, and the others read it.

    Raises
    ------
    LifecycleError
        If a key is invalid, is readable by others than its owner, or the public key does not match the signing key; or
        if this user cannot read the keys, or write missing ones.
    """
    try:
        return keys_of(settings.keys_dir)
    except OSError as error:
        cause = (error.strerror or type(error).__name__).lower()
        raise LifecycleError(
            f"Expected to read the installation's keys, and to write missing ones, got {cause} - at "
            f"{error.filename or settings.keys_dir}; run the command as the owner of LIFECYCLE_HOME"
        ) from error


def keys_of(folder: Path) -> Keys:
    """The keys in a folder; creates the missing ones. Raises as `ensure_keys`, but `OSError` as it is."""
    folder.mkdir(parents=True, exist_ok=True, mode=0o700)
    signing_path, public_path = folder / SIGNING_KEY_FILE, folder / PUBLIC_KEY_FILE
    pseudonym_path = folder / PSEUDONYM_KEY_FILE
    if public_path.exists() and not signing_path.exists():
        raise LifecycleError(
            f"Expected the signing key of {public_path}, found no file; restore it from the backup, or remove the "
            f"public key to start with new keys (then distribute the new public key to the servers) - at {signing_path}"
        )
    if not signing_path.exists():
        create_once(signing_path, _new_private_pem(), "keys.signing_key")
    private = _read_private(signing_path)
    if not public_path.exists():
        public_pem = private.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)
        create_once(public_path, public_pem, "keys.public_key")
    if not pseudonym_path.exists():
        create_once(pseudonym_path, secrets.token_bytes(PSEUDONYM_KEY_BYTES), "keys.pseudonym_key")
    _check_pseudonym_key(pseudonym_path)
    signing_key = SigningKey(key_id(private.public_key()), private)
    return Keys(signing_key, _public_keys(public_path, signing_key), public_path, pseudonym_path)


def _new_private_pem() -> bytes:
    return Ed25519PrivateKey.generate().private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())


def _read_private(path: Path) -> Ed25519PrivateKey:
    _check_mode(path)
    try:
        key = load_pem_private_key(path.read_bytes(), password=None)
    except (ValueError, TypeError):
        # Without the cause: a parser's message may quote the content, which is secret.
        raise LifecycleError(f"Expected an unencrypted PEM private key, got another content - at {path}") from None
    if not isinstance(key, Ed25519PrivateKey):
        raise LifecycleError(f"Expected an Ed25519 private key, got {type(key).__name__} - at {path}")
    return key


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
    _check_mode(path)
    size = path.stat().st_size
    if size != PSEUDONYM_KEY_BYTES:
        raise LifecycleError(
            f"Expected a pseudonym key of {PSEUDONYM_KEY_BYTES} bytes, got {size}; restore it from the backup, because "
            f"another key changes the pseudonym of every entity - at {path}"
        )


def _check_mode(path: Path) -> None:
    mode = path.stat().st_mode & 0o777
    if mode & 0o077:
        raise LifecycleError(f"Expected mode 0600, got {mode:04o}; run chmod 600 - at {path}")
