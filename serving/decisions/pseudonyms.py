"""Keyed pseudonyms that replace entity keys in every record."""

import hashlib
from pathlib import Path
from typing import Final

from serving.contract.documents import PSEUDONYM_KEY_BYTES, ContractError

_SHA256_BLOCK_BYTES: Final = 64


def read_pseudonym_key(path: Path) -> bytes:
    """Read the 32-byte key of the pseudonyms.

    Raises
    ------
    ContractError
        If the file is unreadable, has another length, or is readable by others than its owner.
    """
    try:
        key = path.read_bytes()
        mode = path.stat().st_mode & 0o777
    except OSError as error:
        raise ContractError(f"Expected a pseudonym key, got {type(error).__name__} - at {path}") from error
    if len(key) != PSEUDONYM_KEY_BYTES:
        raise ContractError(f"Expected a pseudonym key of {PSEUDONYM_KEY_BYTES} bytes, got {len(key)} - at {path}")
    if mode & 0o077:
        raise ContractError(f"Expected mode 0600, got {mode:04o}; run chmod 600 - at {path}")
    return key


class Pseudonyms:
    """HMAC-SHA256 of entity keys in hex: the same for the same entity, and not reversible without the key.

    The two hashes of RFC 2104 are initialised once with the key and copied for each message, which takes a third of the
    time of ``hmac.digest``.

    Examples
    --------
    >>> import hmac
    >>> Pseudonyms(bytes(32)).of("4711") == hmac.digest(bytes(32), b"4711", "sha256").hex()
    True
    """

    def __init__(self, key: bytes) -> None:
        if len(key) != PSEUDONYM_KEY_BYTES:
            raise ValueError(f"Expected a key of {PSEUDONYM_KEY_BYTES} bytes, got {len(key)}")
        padded = key.ljust(_SHA256_BLOCK_BYTES, b"\0")
        self._inner = hashlib.sha256(bytes(byte ^ 0x36 for byte in padded))
        self._outer = hashlib.sha256(bytes(byte ^ 0x5C for byte in padded))

    def __repr__(self) -> str:
        return "Pseudonyms(...)"

    def of(self, entity_key: str) -> str:
        """The pseudonym of an entity's key: 64 hex digits."""
        inner, outer = self._inner.copy(), self._outer.copy()
        inner.update(entity_key.encode())
        outer.update(inner.digest())
        return outer.hexdigest()
