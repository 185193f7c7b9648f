"""Authentication by API keys, which are reloaded while the server runs, and authorisation by their scopes.

``python -m serving.access`` adds, lists and revokes keys. `serving.access.key_file` describes the file and explains why
a plain SHA-256 of a key is enough.
"""

import ipaddress
import logging
import math
import re
import time
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from hashlib import sha256
from hmac import compare_digest
from pathlib import Path
from typing import Final, NamedTuple

from serving.access.key_file import KEY_LENGTH, SCOPES, KeyEntry, Scope, Version, read_key_file, version_of
from serving.contract.documents import ContractError
from serving.errors import ForbiddenError, UnauthorizedError

logger = logging.getLogger(__name__)

_MISSING: Final = "Expected an API key, as `Authorization: Bearer <key>` or as `X-Api-Key: <key>`"
_UNKNOWN: Final = "Expected a valid API key, got one that is unknown, expired or revoked"
_BEARER: Final = b"Bearer "
_BEARER_LENGTH: Final = len(_BEARER)
_BEARER_PATTERN: Final = re.compile(rb"bearer +", re.IGNORECASE)
_INDEX_BYTES: Final = 8


@dataclass(frozen=True, slots=True)
class Caller:
    """The caller of a request and its scopes; `name` is ``None`` if the server has no keys."""

    name: str | None
    scopes: frozenset[Scope]

    def require(self, scope: Scope) -> None:
        """Raise `ForbiddenError` unless this caller has `scope`."""
        if scope not in self.scopes:
            raise ForbiddenError(f"Expected an API key with the scope `{scope}`")


ANONYMOUS: Final = Caller(None, frozenset(SCOPES))
"""Every caller of a server without keys, which listens on loopback only."""


class _Known(NamedTuple):
    digest: bytes
    expires_at: float
    caller: Caller


_UNKNOWN_KEY: Final = _Known(bytes(32), -math.inf, Caller(None, frozenset()))


class ApiKeys:
    """The keys of a file, as of the last successful read.

    If every key is revoked, every request is refused: authentication stays on.

    Parameters
    ----------
    path
        The file; ``None`` for a server without keys, where every caller is `ANONYMOUS`.
    clock
        Returns seconds since 1970; tests pass their own.

    Raises
    ------
    ContractError
        If the file cannot be read, other users can read it, or a line is invalid.
    """

    def __init__(self, path: Path | None, clock: Callable[[], float] = time.time) -> None:
        self.path = path
        self.failure: str | None = None
        """Why the current content of the file is not in force; ``None`` if it is."""
        self._clock = clock
        self._known: Mapping[bytes, _Known] = {}
        self._version: Version | None = None
        if path is not None:
            self._read(path)

    def refresh(self) -> bool:
        """Reload the file if it changed; returns whether it was reloaded. Call it on one thread at a time.

        If the file is missing or invalid, the previous keys stay in force, and `failure` says why.
        """
        if self.path is None:
            return False
        try:
            if version_of(self.path.stat()) == self._version:
                # Clears the failure if an invalid version was replaced by the previous one, times included.
                self._report(None)
                return False
            self._read(self.path)
        except OSError as error:
            self._report(f"Expected a readable API key file, got {type(error).__name__} - at {self.path}")
            return False
        except ContractError as error:
            self._report(str(error))
            return False
        self._report(None)
        return True

    def authenticate(self, authorization: bytes | None, x_api_key: bytes | None) -> Caller:
        """The caller of a request with these headers; takes less than a microsecond for any number of keys.

        Parameters
        ----------
        authorization, x_api_key
            Values of the two headers, ``None`` if missing.

        Raises
        ------
        UnauthorizedError
            If there is no key, or an invalid one; the message does not say why. ``X-Api-Key`` takes precedence.
        """
        if self.path is None:
            return ANONYMOUS
        if x_api_key is None and authorization is not None and authorization.startswith(_BEARER):
            key = authorization[_BEARER_LENGTH:]
        else:
            key = _presented(authorization, x_api_key)
        if len(key) != KEY_LENGTH:
            # Before hashing, so that a long header costs nothing. The length of a key is public.
            raise UnauthorizedError(_UNKNOWN)
        digest = sha256(key).digest()
        # The look-up's time reveals whether some key's hash begins with the same eight bytes. A caller chooses the key
        # but not its hash, and even a complete hash would not reveal 256 random bits. The hashes are then compared in
        # constant time, for an unknown key too. (Comparing with each of 100 keys takes 4.5 us instead of 0.1. Caching
        # valid headers would save the hash's 0.3 us and keep callers' keys in memory.)
        known_digest, expires_at, caller = self._known.get(digest[:_INDEX_BYTES], _UNKNOWN_KEY)
        if not compare_digest(known_digest, digest) or expires_at <= self._clock():
            raise UnauthorizedError(_UNKNOWN)
        return caller

    def _read(self, path: Path) -> None:
        entries, version = read_key_file(path)
        # One assignment: a request sees either all old or all new keys.
        self._known = _index(entries, path)
        self._version = version
        valid = sum(known.expires_at > self._clock() for known in self._known.values())
        logger.log(
            logging.INFO if valid else logging.WARNING,
            "%d valid API keys of %d in the file",
            valid,
            len(entries),
        )

    def _report(self, failure: str | None) -> None:
        if failure is not None and failure != self.failure:
            logger.error("the previous API keys stay in force: %s", failure)
        elif failure is None and self.failure is not None:
            logger.info("the API key file is in force again")
        self.failure = failure


def _index(entries: Iterable[KeyEntry], path: Path) -> Mapping[bytes, _Known]:
    known: dict[bytes, _Known] = {}
    for entry in entries:
        if entry.revoked_at is not None:
            continue
        digest = bytes.fromhex(entry.key_sha256)
        expires_at = math.inf if entry.expires_at is None else entry.expires_at.timestamp()
        if digest[:_INDEX_BYTES] in known:
            raise ContractError(f"Expected hashes that differ in their first {_INDEX_BYTES} bytes - at {path}")
        known[digest[:_INDEX_BYTES]] = _Known(digest, expires_at, Caller(entry.name, frozenset(entry.scopes)))
    return known


def _presented(authorization: bytes | None, x_api_key: bytes | None) -> bytes:
    """The key in the headers; next to an ``X-Api-Key``, ``Authorization`` belongs to a gateway, whatever its scheme."""
    if x_api_key is not None:
        return x_api_key
    scheme = None if authorization is None else _BEARER_PATTERN.match(authorization)
    if authorization is None or scheme is None:
        raise UnauthorizedError(_MISSING)
    return authorization[scheme.end() :]


def is_loopback(host: str) -> bool:
    """Whether only this machine can reach a server that listens on `host`.

    Every name other than ``localhost`` counts as reachable from elsewhere, regardless of its current address.

    Examples
    --------
    >>> [is_loopback(host) for host in ("127.0.0.1", "127.9.9.9", "::1", "localhost")]
    [True, True, True, True]
    >>> [is_loopback(host) for host in ("0.0.0.0", "::", "", "10.0.0.1", "localhost.example.com")]
    [False, False, False, False, False]
    """
    try:
        address = ipaddress.ip_address(host)
    except ValueError:
        return host.lower() == "localhost"
    if isinstance(address, ipaddress.IPv6Address) and address.ipv4_mapped is not None:
        return address.ipv4_mapped.is_loopback
    return address.is_loopback


def check_binding(host: str, keys_configured: bool, has_tls: bool) -> None:
    """Check that a server that other machines can reach requires keys.

    Raises
    ------
    ContractError
        If `host` is not a loopback address and there are no keys.
    """
    if is_loopback(host):
        return
    if not keys_configured:
        raise ContractError(
            f"Expected API keys, because other machines can reach {host or 'all addresses'}; create one with "
            "`python -m serving.access add NAME --scopes score --file PATH` and set SERVING_API_KEYS=PATH, or set "
            "SERVING_HOST=127.0.0.1"
        )
    if not has_tls:
        logger.warning(
            "API keys and customers' values cross the network in the clear; set SERVING_TLS_CERTIFICATE and "
            "SERVING_TLS_KEY, unless a proxy on this host or pod terminates TLS"
        )
