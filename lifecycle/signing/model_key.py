"""The P-256 key of the bundles' OpenSSF signatures, whose client does not take the installation's Ed25519 key.

It is kept as the other keys are: created once, readable only by its owner, never overwritten. Its public file may hold
several keys while it is rotated, so that older bundles can still be verified.
"""

import hashlib
from dataclasses import dataclass
from pathlib import Path
from typing import Final, TypeGuard

from cryptography.hazmat.primitives.asymmetric.ec import (
    ECDSA,
    SECP256R1,
    EllipticCurvePrivateKey,
    EllipticCurvePublicKey,
    generate_private_key,
)
from cryptography.hazmat.primitives.asymmetric.types import PrivateKeyTypes
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    PublicFormat,
    load_pem_public_key,
)

from lifecycle.errors import LifecycleError
from lifecycle.signing.key_files import ensure_key_pair, key_folder

MODEL_SIGNING_KEY_FILE: Final = "model_signing_key.pem"
MODEL_PUBLIC_KEY_FILE: Final = "model_public_key.pem"
_PEM_END: Final = "-----END PUBLIC KEY-----"


@dataclass(frozen=True, slots=True)
class ModelKey:
    """An elliptic-curve key on P-256; `repr` shows only its hint."""

    public_pem: bytes
    """The public key, as the file that the client takes."""
    _private: EllipticCurvePrivateKey

    @property
    def hint(self) -> str:
        """Name of the key in a signature, which the client compares with its own; see `hint_of`."""
        return hint_of(self.public_pem)

    def sign(self, content: bytes) -> bytes:
        """ECDSA over SHA-256 of the bytes, in DER; another one each time."""
        return self._private.sign(content, ECDSA(SHA256()))

    def __repr__(self) -> str:
        return f"ModelKey({self.hint})"


def ensure_model_key(folder: Path) -> ModelKey:
    """The key in the folder of an installation's keys; creates it if it is missing, as `ensure_keys`.

    Raises
    ------
    LifecycleError
        As `ensure_keys`, and if the key is on another curve.
    """
    with key_folder(folder):
        public_path = folder / MODEL_PUBLIC_KEY_FILE
        private = ensure_key_pair(
            folder / MODEL_SIGNING_KEY_FILE, public_path, _new_private_pem, _is_elliptic, "a P-256"
        )
        if not isinstance(private.curve, SECP256R1):
            raise LifecycleError(
                f"Expected a P-256 private key, got one on {private.curve.name} - at {folder / MODEL_SIGNING_KEY_FILE}"
            )
        key = ModelKey(_pem(private.public_key()), private)
        if key.hint not in read_model_public_keys(public_path):
            raise LifecycleError(
                f"Expected the public key {key.hint[:16]} of the model signing key, got other ones; remove the public "
                f"key file, and the next start writes it again - at {public_path}"
            )
        return key


def read_model_public_keys(path: Path) -> dict[str, bytes]:
    """The public keys of a PEM file by their hints, each as the PEM that the client takes.

    Raises
    ------
    LifecycleError
        If the file cannot be read, or holds anything but public keys on P-256.
    """
    try:
        blocks = path.read_text().split(_PEM_END)[:-1]
        keys = [load_pem_public_key((block + _PEM_END).encode()) for block in blocks]
    except (OSError, ValueError) as error:  # a UnicodeDecodeError is a ValueError
        raise LifecycleError(
            f"Expected a readable PEM file with public keys, got {type(error).__name__} - at {path}"
        ) from error
    usable = [key for key in keys if isinstance(key, EllipticCurvePublicKey) and isinstance(key.curve, SECP256R1)]
    if not keys or len(usable) < len(keys):
        raise LifecycleError(f"Expected PEM public keys on P-256 only, got {len(usable)} of {len(keys)} - at {path}")
    return {hint_of(pem): pem for pem in map(_pem, usable)}


def hint_of(public_pem: bytes) -> str:
    """SHA-256 of a public key's PEM bytes, in hex: the client's name of a key."""
    return hashlib.sha256(public_pem).hexdigest()


def _is_elliptic(key: PrivateKeyTypes) -> TypeGuard[EllipticCurvePrivateKey]:
    return isinstance(key, EllipticCurvePrivateKey)


def _new_private_pem() -> bytes:
    return generate_private_key(SECP256R1()).private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())


def _pem(key: EllipticCurvePublicKey) -> bytes:
    return key.public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)
