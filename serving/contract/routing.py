"""Selects the entities that a canary answers: the same ones for as long as its salt stays.

An entity's position is a number in [0, 1), uniform over entities::

    hash     = BLAKE2b(message = entity key, key = salt, digest size = 8 bytes)      RFC 7693; both texts in UTF-8
    position = (hash as a big-endian integer >> 11) / 2**53

Eleven bits are dropped because a double holds 53: every position is exact, and below 1. The canary answers an
entity if ``position < percent / 100`` in doubles. The salt and the percent are in the signed release, so that the
routing of any entity can be recomputed from the release and the entity key alone, in any language, years later.
"""

import hashlib
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    # Present in typeshed, and the type that `hashlib.blake2b` makes.
    from hashlib import blake2b as Hash  # noqa: N812

MAX_SALT_BYTES: Final = 64
"""Maximum length of a BLAKE2b key."""

_HASH_BYTES: Final = 8
_DROPPED_BITS: Final = 11
_UNIT: Final = 2.0**-53


def position(salt: str, entity_key: str) -> float:
    """Position of an entity in [0, 1) under a salt of 1 to 64 bytes.

    Examples
    --------
    >>> position("0123456789abcdef", "4711")
    0.9053690203217744
    """
    return CanaryShare(100.0, salt).position(entity_key)


@dataclass(frozen=True, slots=True)
class CanaryShare:
    """The entities that a canary answers: `percent` of them, in [0, 100], chosen by `salt`.

    Raising the percent under the same salt only adds entities; another salt chooses independently.

    Examples
    --------
    >>> half = CanaryShare(50.0, "0123456789abcdef")
    >>> half.holds("4711"), half.holds("4714")
    (False, True)
    """

    percent: float
    salt: str
    _fraction: float = field(init=False, repr=False)
    _keyed: "Hash" = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "_fraction", self.percent / 100)
        # Copying a keyed hash costs a third less than keying one for each entity.
        object.__setattr__(self, "_keyed", hashlib.blake2b(digest_size=_HASH_BYTES, key=self.salt.encode()))

    def position(self, entity_key: str) -> float:
        """Position of an entity in [0, 1)."""
        keyed = self._keyed.copy()
        keyed.update(entity_key.encode())
        return (int.from_bytes(keyed.digest(), "big") >> _DROPPED_BITS) * _UNIT

    def holds(self, entity_key: str) -> bool:
        """Whether the canary answers this entity."""
        return self.position(entity_key) < self._fraction
