"""What a record of the ledger holds, and its bytes.

A record names what happened by digests, numbers and verdicts. It holds no free text and nothing of a customer, so that
the erasure of a person never touches the ledger: reasons are in the signed documents that a record names.
"""

import datetime as dt
import hashlib
from typing import Any, Literal, TypeVar

import msgspec

from lifecycle.errors import LifecycleError
from lifecycle.releases.ledger.merkle import leaf_hash
from serving.contract.documents import Struct, readable_versions

RECORD_VERSION = 1
FIRST_PREVIOUS = "0" * 64
"""`previous` of the first record."""
_EVENT_PREFIX = b"lifecycle ledger event 1\n"

Kind = Literal[
    "genesis",
    "configuration",
    "training",
    "gates",
    "approval",
    "waiver",
    "registration",
    "release",
    "rollback",
    "released",
    "resume",
    "freeze",
    "unfreeze",
    "alarm",
    "erasure",
]
"""``genesis`` begins a ledger and takes in the releases made without one. ``release`` and ``rollback`` are recorded
before their file is written, ``released`` after it. ``configuration`` is a model's file with another content than
before."""
ActorKind = Literal["person", "run", "policy", "platform"]


class LedgerError(LifecycleError):
    """The ledger is damaged, missing, or cannot be written."""


class Actor(Struct, frozen=True, kw_only=True):
    """Who caused an event: a person by the user's name, a Dagster run by its id, a policy, or the platform itself."""

    kind: ActorKind
    name: str


class Event(Struct, frozen=True, kw_only=True):
    """Something to record.

    `subjects` are SHA-256 digests by the name of what they digest. `facts` are JSON values. `occasion` tells events of
    the same kind, model and subjects apart: a run, or a release's number; the same event is recorded once.
    """

    kind: Kind
    model: str | None
    actor: Actor
    subjects: dict[str, str] = msgspec.field(default_factory=dict)
    facts: dict[str, Any] = msgspec.field(default_factory=dict)
    occasion: str

    @property
    def event_id(self) -> str:
        """Digest of what makes it the same event when it is recorded again."""
        identity = [self.kind, self.model, self.subjects, self.occasion]
        return hashlib.sha256(_EVENT_PREFIX + msgspec.json.encode(identity, order="sorted")).hexdigest()


class Record(Struct, frozen=True, kw_only=True):
    """One record; `sequence` counts from 1, and `previous` is the hash of the record before it."""

    version: int
    sequence: int
    recorded_at: dt.datetime
    kind: Kind
    model: str | None
    actor: Actor
    subjects: dict[str, str]
    facts: dict[str, Any]
    event_id: str
    previous: str


class Link(msgspec.Struct, frozen=True, kw_only=True):
    """The part of a record that continuing the ledger needs; its facts are not read, which takes most of the time."""

    version: int
    sequence: int
    kind: Kind
    model: str | None
    subjects: dict[str, str]
    event_id: str
    previous: str


def record_of(event: Event, sequence: int, recorded_at: dt.datetime, previous: str) -> Record:
    """The record of an event at its place in the ledger."""
    return Record(
        version=RECORD_VERSION,
        sequence=sequence,
        recorded_at=recorded_at.astimezone(dt.UTC),
        kind=event.kind,
        model=event.model,
        actor=event.actor,
        subjects=event.subjects,
        facts=event.facts,
        event_id=event.event_id,
        previous=previous,
    )


def content_of(record: Record) -> bytes:
    """A record's bytes: JSON without spaces, keys sorted; every hash is of these bytes as they were written."""
    return msgspec.json.encode(record, order="sorted")


def line_of(content: bytes) -> bytes:
    """The line of a record: the RFC 6962 leaf hash of its bytes in hex, a space, the bytes, a line break."""
    return leaf_hash(content).hex().encode() + b" " + content + b"\n"


def split_line(line: bytes) -> tuple[bytes, bytes]:
    """Hash and bytes of a record's line, its line break removed.

    Raises
    ------
    LedgerError
        If it has another form, or the hash is not that of the bytes.
    """
    written, _, content = line.partition(b" ")
    actual = leaf_hash(content)
    if written != actual.hex().encode():
        raise LedgerError("its bytes do not have the hash that was written with them")
    return actual, content


def read_record(content: bytes) -> Record:
    """The record that bytes hold; raises `LedgerError` for other bytes, and for a version of a newer platform."""
    return _decoded(content, Record)


def read_link(content: bytes) -> Link:
    """The link that bytes hold; raises as `read_record`."""
    return _decoded(content, Link)


_Decoded = TypeVar("_Decoded", Record, Link)


def _decoded(content: bytes, decoded_type: type[_Decoded]) -> _Decoded:
    try:
        record = msgspec.json.decode(content, type=decoded_type)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise LedgerError(f"it is no record: {error}") from error
    if record.version not in readable_versions(RECORD_VERSION):
        raise LedgerError(f"it is of version {record.version}, written by a newer version of the platform")
    return record
