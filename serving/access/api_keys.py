"""Who calls: API keys, re-read while the server runs, and what each may do.

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

_MISSING: Final = "Expected one API key, as `Authorization: Bearer <key>` or as `X-Api-Key: <key>`"
_UNKNOWN: Final = "Expected a valid API key, got one that is unknown, expired or revoked"
_BEARER: Final = b"Bearer "
_BEARER_LENGTH: Final = len(_BEARER)
_BEARER_PATTERN: Final = re.compile(rb"bearer +", re.IGNORECASE)
_INDEX_BYTES: Final = 8


@dataclass(frozen=True, slots=True)
class Caller:
    """Who sent a request, and what they may do; `name` is ``None`` where the server has no keys."""

    name: str | None
    scopes: frozenset[Scope]

    def require(self, scope: Scope) -> None:
        """Return if this caller may do what needs `scope`.

        Raises
        ------
        ForbiddenError
            If not.
        """
        if scope not in self.scopes:
            raise ForbiddenError(f"Expected an API key with the scope `{scope}`")


ANONYMOUS: Final = Caller(None, frozenset(SCOPES))
"""Whoever calls a server without keys, which listens on loopback only."""


class _Known(NamedTuple):
    digest: bytes
    expires_at: float
    caller: Caller


_NOBODY: Final = _Known(bytes(32), -math.inf, Caller(None, frozenset()))


class ApiKeys:
    """The keys of a file, as they stood at the last read that went well.

    Parameters
    ----------
    path
        The file; ``None`` for a server without keys, where everybody is `ANONYMOUS`.
    clock
        Seconds since 1970; tests give another one.

    Raises
    ------
    ContractError
        If the file cannot be read, others can read it, or a line is malformed.
    """

    def __init__(self, path: Path | None, clock: Callable[[], float] = time.time) -> None:
        self.path = path
        self.failure: str | None = None
        """Why the file as it now stands is not in force, ``None`` if it is."""
        self._clock = clock
        self._known: Mapping[bytes, _Known] = {}
        self._version: Version | None = None
        if path is not None:
            self._read(path)

    @property
    def is_configured(self) -> bool:
        """Whether callers need a key. A file in which every key is revoked lets nobody in; it does not let all in."""
        return self.path is not None

    def refresh(self) -> bool:
        """Read the file again if it changed; returns whether other keys came into force. For one thread at a time.

        A file that is gone or malformed changes nothing: the keys from before stay in force, and `failure` says why.
        """
        if self.path is None:
            return False
        try:
            if version_of(self.path.stat()) == self._version:
                # Also after a bad version was put back to what it was, with its times.
                self._report(None)
                return False
            self._read(self.path)
        except OSError as error:
            self._report(f"Expected a file of API keys, got {type(error).__name__} - at {self.path}")
            return False
        except ContractError as error:
            self._report(str(error))
            return False
        self._report(None)
        return True

    def authenticate(self, authorization: bytes | None, x_api_key: bytes | None) -> Caller:
        """The caller that a request's headers name; below a microsecond, whatever the number of keys.

        Parameters
        ----------
        authorization, x_api_key
            Values of the two headers, ``None`` where the request has none.

        Raises
        ------
        UnauthorizedError
            If there is no key, two of them, or none that is valid; what is not said is why a key is not.
        """
        if self.path is None:
            return ANONYMOUS
        if x_api_key is None and authorization is not None and authorization.startswith(_BEARER):
            key = authorization[_BEARER_LENGTH:]
        else:
            key = _presented(authorization, x_api_key)
        if len(key) != KEY_LENGTH:
            # Before hashing, so that a long header costs nothing. How long a key is stands in the documentation.
            raise UnauthorizedError(_UNKNOWN)
        digest = sha256(key).digest()
        # What the look-up's time tells is whether some key's hash begins with the same eight bytes. A caller chooses
        # the key and not its hash, and even the whole hash of a key would not lead back to 256 random bits. Whether
        # the hashes are the same is then decided in constant time, for a key that nobody has, too. (Comparing with
        # each of 100 keys takes 4.5 us in place of 0.1. Remembering headers that were right would save the hash's
        # 0.3 us and keep callers' keys in memory.)
        known_digest, expires_at, caller = self._known.get(digest[:_INDEX_BYTES], _NOBODY)
        if not compare_digest(known_digest, digest) or expires_at <= self._clock():
            raise UnauthorizedError(_UNKNOWN)
        return caller

    def _read(self, path: Path) -> None:
        entries, version = read_key_file(path)
        # One assignment: a request sees all of the old keys or all of the new ones.
        self._known = _index(entries, path)
        self._version = version
        valid = sum(known.expires_at > self._clock() for known in self._known.values())
        logger.log(
            logging.INFO if valid else logging.WARNING, "%d valid API keys of %d in the file", valid, len(entries)
        )

    def _report(self, failure: str | None) -> None:
        if failure is not None and failure != self.failure:
            logger.error("the API keys from before stay in force: %s", failure)
        elif failure is None and self.failure is not None:
            logger.info("the file of API keys is in force again")
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
    """The one key that the headers hold; another scheme in ``Authorization`` belongs to a proxy on the way."""
    scheme = None if authorization is None else _BEARER_PATTERN.match(authorization)
    if x_api_key is None:
        if authorization is None or scheme is None:
            raise UnauthorizedError(_MISSING)
        return authorization[scheme.end() :]
    if scheme is not None:
        raise UnauthorizedError(_MISSING)
    return x_api_key


def is_loopback(host: str) -> bool:
    """Whether only this machine reaches what listens on `host`.

    A name other than ``localhost`` counts as not, whatever it resolves to at present.

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
    """Let a server listen beyond its own machine only if callers need a key.

    Raises
    ------
    ContractError
        If `host` is not a loopback address and there are no keys.
    """
    if is_loopback(host):
        return
    if not keys_configured:
        raise ContractError(
            f"Expected API keys, because others than this machine reach {host or 'all addresses'}; make one with "
            "`python -m serving.access add NAME --scopes score --file PATH` and set SERVING_API_KEYS=PATH, or set "
            "SERVING_HOST=127.0.0.1"
        )
    if not has_tls:
        logger.warning(
            "API keys and customers' values cross the network in the clear; set SERVING_TLS_CERTIFICATE and "
            "SERVING_TLS_KEY, unless a proxy on this host or pod ends TLS"
        )
