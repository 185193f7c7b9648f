"""Ed25519 signatures and the public keys that the server trusts."""

import base64
import hashlib
from collections.abc import Mapping
from pathlib import Path
from typing import Final

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat, load_pem_public_key

from serving.contract.documents import ContractError, Signed

KEY_ID_LENGTH: Final = 16
_PEM_END: Final = "-----END PUBLIC KEY-----"


def key_id(public_key: Ed25519PublicKey) -> str:
    """Name of a key: the first 16 hex digits of the SHA-256 of its 32 raw bytes."""
    raw = public_key.public_bytes(Encoding.Raw, PublicFormat.Raw)
    return hashlib.sha256(raw).hexdigest()[:KEY_ID_LENGTH]


class PublicKeys:
    """The trusted public keys, by id."""

    def __init__(self, keys: tuple[Ed25519PublicKey, ...]) -> None:
        self._keys = {key_id(key): key for key in keys}
        self.raw_keys: Final[Mapping[str, bytes]] = {
            name: key.public_bytes(Encoding.Raw, PublicFormat.Raw) for name, key in self._keys.items()
        }
        """The 32 bytes of each key by its id."""

    @property
    def ids(self) -> list[str]:
        """Ids of the keys, sorted."""
        return sorted(self._keys)

    def verify(self, content: bytes, signed: Signed, where: str) -> None:
        """Check that `signed` is a signature of `content` by one of these keys.

        Raises
        ------
        ContractError
            If the key is not one of these, or the signature does not match.
        """
        key = self._keys.get(signed.key_id)
        if key is None:
            raise ContractError(
                f"Expected a signature by one of the keys {self.ids}, got key {signed.key_id} - at {where}"
            )
        try:
            key.verify(base64.b64decode(signed.signature, validate=True), content)
        except (InvalidSignature, ValueError):
            raise ContractError(
                f"Expected a signature by key {signed.key_id} over these {len(content)} bytes, got one that does not "
                f"match: they were changed after they were signed - at {where}"
            ) from None


def read_public_keys(path: Path) -> PublicKeys:
    """Read one or more Ed25519 public keys from a PEM file; it holds several while keys rotate.

    Raises
    ------
    ContractError
        If the file is missing, or holds anything but Ed25519 public keys.
    """
    try:
        text = path.read_text()
    except OSError as error:
        raise ContractError(f"Expected a readable public key file, got {type(error).__name__} - at {path}") from error
    except UnicodeDecodeError as error:
        raise ContractError(f"Expected a PEM file with public keys, got other bytes - at {path}") from error
    blocks = [block + _PEM_END for block in text.split(_PEM_END)[:-1]]
    keys = []
    for block in blocks:
        try:
            key = load_pem_public_key(block.encode())
        except ValueError as error:
            raise ContractError(f"Expected a PEM public key, got an invalid block - at {path}") from error
        if not isinstance(key, Ed25519PublicKey):
            raise ContractError(f"Expected an Ed25519 public key, got {type(key).__name__} - at {path}")
        keys.append(key)
    if not keys:
        raise ContractError(f"Expected at least one PEM public key, found none - at {path}")
    return PublicKeys(tuple(keys))
