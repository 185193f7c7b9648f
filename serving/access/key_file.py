"""The API key file: callers, with the hashes of their keys and their scopes.

One JSON object per line, mode 0600. The file holds the SHA-256 of a key, never the key. That is enough because a key
is 256 random bits from `new_key`. Salt and a slow hash (bcrypt, Argon2) protect passwords that people choose, by making
each guess expensive; among 2**256 equally likely keys guessing is hopeless at any speed, no table can be precomputed,
and no two keys are equal. A slow hash would only let callers without a key keep the server busy.

A revoked key keeps its line: decision records hold its name, which must never denote another caller. A file without
lines is therefore invalid, and an accidentally emptied file is an error instead of a lock-out.
"""

import datetime as dt
import hashlib
import os
import secrets
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Final, Literal, get_args

import msgspec

from serving.contract.documents import ContractError, Struct
from serving.storage.durable import flush_path, replacing, write_flushed
from serving.storage.locks import Lock, lock_folder

Scope = Literal["score", "read", "operate"]
SCOPES: Final[tuple[Scope, ...]] = get_args(Scope)

KEY_PREFIX: Final = "risk_"
"""Lets a scanner for leaked secrets recognise a key."""
KEY_BYTES: Final = 32
KEY_LENGTH: Final = len(KEY_PREFIX) + 43
"""Length of a key as text: 32 bytes are 43 characters of URL-safe base64."""
MAX_FILE_BYTES: Final = 1024 * 1024

_Name = Annotated[str, msgspec.Meta(pattern=r"\A[a-z0-9][a-z0-9._-]{0,63}\Z")]
_Sha256 = Annotated[str, msgspec.Meta(pattern=r"\A[0-9a-f]{64}\Z")]
_Moment = Annotated[dt.datetime, msgspec.Meta(tz=True)]
_NAME_WORDS: Final = "1 to 64 of a-z, 0-9, dot, dash and underscore, the first a letter or digit"


class KeyEntry(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """One line: the hash of a caller's key, its scopes and its period of validity."""

    name: _Name
    key_sha256: _Sha256
    scopes: Annotated[tuple[Scope, ...], msgspec.Meta(min_length=1)]
    created_at: _Moment
    expires_at: _Moment | None = None
    revoked_at: _Moment | None = None

    def state(self, now: dt.datetime) -> Literal["valid", "expired", "revoked"]:
        """The key's state at `now`."""
        if self.revoked_at is not None:
            return "revoked"
        return "expired" if self.expires_at is not None and self.expires_at <= now else "valid"


class Version(msgspec.Struct, frozen=True):
    """The version of a file; includes the change time, because a corrected mode changes nothing else."""

    modified_ns: int
    changed_ns: int
    size: int
    inode: int


_decoder: Final = msgspec.json.Decoder(KeyEntry)
_encoder: Final = msgspec.json.Encoder()


def new_key() -> str:
    """A new key: 256 random bits as text.

    Examples
    --------
    >>> len(new_key()) == KEY_LENGTH
    True
    """
    return KEY_PREFIX + secrets.token_urlsafe(KEY_BYTES)


def key_sha256(key: str) -> str:
    """Hash of a key, as the file holds it."""
    return hashlib.sha256(key.encode()).hexdigest()


def read_key_file(path: Path) -> tuple[tuple[KeyEntry, ...], Version]:
    """Read the file; returns its entries and its version.

    Raises
    ------
    ContractError
        If it cannot be read, users other than its owner can read it, or a line is invalid; the message names the line.
    """
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
        with os.fdopen(descriptor, "rb") as file:
            status = os.fstat(descriptor)
            if status.st_mode & 0o077:
                raise ContractError(f"Expected mode 0600, got {status.st_mode & 0o777:04o}; run chmod 600 - at {path}")
            content = file.read(MAX_FILE_BYTES + 1)
    except OSError as error:
        raise ContractError(f"Expected a readable API key file, got {type(error).__name__} - at {path}") from error
    return parse_keys(content, str(path)), version_of(status)


def version_of(status: os.stat_result) -> Version:
    """The version of a file with this status."""
    return Version(status.st_mtime_ns, status.st_ctime_ns, status.st_size, status.st_ino)


def parse_keys(content: bytes, where: str) -> tuple[KeyEntry, ...]:
    """The entries of all lines, including expired and revoked keys.

    Raises
    ------
    ContractError
        If there is no line, a line is invalid, or two lines have the same name or key; the message quotes no line.
    """
    if len(content) > MAX_FILE_BYTES:
        raise ContractError(f"Expected at most {MAX_FILE_BYTES} bytes of API keys, got more - at {where}")
    entries: list[KeyEntry] = []
    names: set[str] = set()
    hashes: set[str] = set()
    for number, line in enumerate(content.removesuffix(b"\n").split(b"\n"), start=1):
        place = f"{where} line {number}"
        if not content:
            raise ContractError(f"Expected at least one API key, got an empty file - at {place}")
        entry = parse_line(line, place)
        if entry.name in names or entry.key_sha256 in hashes:
            member = "name" if entry.name in names else "key"
            raise ContractError(f"Expected a {member} that no earlier line has, got a duplicate - at {place}")
        names.add(entry.name)
        hashes.add(entry.key_sha256)
        entries.append(entry)
    return tuple(entries)


def parse_line(line: bytes, place: str) -> KeyEntry:
    """The entry of one line; raises `ContractError`, which quotes nothing of the line, if it is invalid."""
    try:
        return _decoder.decode(line)
    except UnicodeDecodeError:
        raise ContractError(f"Expected UTF-8 - at {place}") from None
    except msgspec.DecodeError as error:
        violation, _, path = str(error).partition(" - at ")
        # The parser quotes the line, which may hold a key where its hash belongs.
        if violation.startswith("Invalid enum value"):
            violation = f"Expected one of the scopes {list(SCOPES)}"
        elif violation.startswith("Object contains unknown field"):
            violation = f"Expected only the keys {list(KeyEntry.__struct_fields__)}"
        elif violation.startswith("Expected `str` matching regex"):
            violation = f"Expected {_NAME_WORDS if 'name' in path else 'a SHA-256 in lower-case hex'}"
        raise ContractError(f"{violation} - at {path or '`$`'} of {place}") from None


def lock_keys(path: Path) -> Lock:
    """Lock the key file `path` for writing; the lock is on its folder, because the file itself is replaced.

    Raises
    ------
    ContractError
        If the folder is missing.
    """
    try:
        return lock_folder(path.parent)
    except OSError as error:
        raise ContractError(f"Expected a folder for the API key file, got {error.strerror} - at {path}") from error


def write_key_file(path: Path, entries: Sequence[KeyEntry]) -> None:
    """Replace the file atomically, with mode 0600 and its owner kept; hold `lock_keys` meanwhile.

    Raises
    ------
    ContractError
        If it cannot be written; the old file then stays.
    """
    content = b"".join(_encoder.encode(entry) + b"\n" for entry in entries)
    parse_keys(content, str(path))
    try:
        with replacing(path, is_sole_writer=True) as new:
            write_flushed(new, content)
            if path.exists():
                previous = path.stat()
                if (previous.st_uid, previous.st_gid) != (os.geteuid(), os.getegid()):
                    # An administrator's change must not take the file away from the server that reads it.
                    os.chown(new, previous.st_uid, previous.st_gid)
        flush_path(path.parent)
    except OSError as error:
        raise ContractError(f"Expected to write the API key file, got {error.strerror} - at {path}") from error
