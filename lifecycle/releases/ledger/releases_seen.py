"""Releases that a ledger holds, and those that a release store has."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import msgspec

from lifecycle.releases.ledger.records import Record
from serving.contract.documents import digest

KINDS_WITH_RELEASES = frozenset({"genesis", "released"})
"""Kinds of records that name releases' files."""
_SWITCHES = ("freezes", "resumes")


class ReleasesSeen:
    """Numbers of the releases whose files the records name by digest, by model."""

    def __init__(self) -> None:
        self._numbers: dict[str, set[int]] = {}

    def add(self, record: Record) -> None:
        """Add those of a record."""
        for model, digests in recorded_digests(record).items():
            self._numbers.setdefault(model, set()).update(digests)

    def has(self, model: str, number: int) -> bool:
        """Whether a record names a release's file."""
        return number in self._numbers.get(model, ())


def recorded_digests(record: Record) -> Mapping[str, Mapping[int, str]]:
    """Digests of the releases' files that a record names, by model and number."""
    if record.kind == "genesis":
        releases = record.facts["releases"].items()
        return {model: {int(number): name for number, name in digests.items()} for model, digests in releases}
    if record.kind == "released" and record.model is not None:
        return {record.model: {int(record.facts["number"]): record.subjects["release"]}}
    return {}


@dataclass(frozen=True, slots=True)
class ReleasedFiles:
    """What a release store holds beside the ledger: digests of the files.

    `digests` are those of releases by model and number, `switches` those of freezes and resumes by path. `named_head`
    is the first release that names a ledger's head, in words.
    """

    digests: Mapping[str, Mapping[str, str]]
    switches: Mapping[str, str]
    named_head: str | None


def released_files(store: Path) -> ReleasedFiles:
    """Read the files of a release store; nothing is verified. Raises `OSError`."""
    digests: dict[str, dict[str, str]] = {}
    named_head = None
    for path in sorted((store / "releases").glob("*/[0-9]*.json")):
        content, model, number = path.read_bytes(), path.parent.name, int(path.stem)
        digests.setdefault(model, {})[str(number)] = digest(content)
        if named_head is None and head_in(content) is not None:
            named_head = f"release {number} of {model}"
    switches = {
        str(path.relative_to(store)): digest(path.read_bytes())
        for folder in _SWITCHES
        for path in sorted((store / folder).rglob("[0-9]*.json"))
    }
    return ReleasedFiles(digests, switches, named_head)


def head_in(release: bytes) -> str | None:
    """The ledger's head in a release's file, its signature not verified; ``None`` without one."""
    try:
        payload = msgspec.json.decode(release, type=_Envelope).payload
        return msgspec.json.decode(payload.encode(), type=_Payload).ledger_head
    except (msgspec.DecodeError, UnicodeDecodeError):
        return None


class _Envelope(msgspec.Struct, frozen=True):
    payload: str


class _Payload(msgspec.Struct, frozen=True):
    ledger_head: str | None = None
