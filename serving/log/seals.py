"""Seals prove that a segment of the decision log is complete and unchanged: a digest, chained to the previous seal."""

import datetime as dt
import hashlib
from pathlib import Path
from typing import Final, NamedTuple

from serving.contract.documents import SCHEMA_VERSION, ContractError, DecisionRecord, Struct, decode, digest, encode
from serving.log.segments import (
    DamagedLineError,
    LogRecord,
    next_number,
    number_of,
    record_of,
    repair_segment,
    seal_path,
    seal_paths,
    segment_paths,
)
from serving.storage.durable import flush_path, write_file

_READ_BYTES: Final = 1 << 20


class Seal(Struct, frozen=True, kw_only=True):
    """`decisions-<number>.seal.json`; `predecessor` is the SHA-256 of the seal file before it, ``None`` for the first.

    `first_decided_at` and `last_decided_at` come from the first and the last line (for a rejection, `rejected_at`);
    ``None`` if the segment has no line or the line cannot be read.
    """

    schema_version: int
    segment: str
    bytes: int
    records: int
    sha256: str
    first_decided_at: dt.datetime | None
    last_decided_at: dt.datetime | None
    sealed_at: dt.datetime
    predecessor: str | None


class Settled(NamedTuple):
    """Result of `settle`: bytes truncated, number of the next segment, digest of the last seal."""

    cut_bytes: int
    next_number: int
    predecessor: str | None


def write_seal(segment: Path, seal: Seal) -> str:
    """Write the seal of a flushed segment; returns the digest that the next seal names as predecessor."""
    content = encode(seal)
    write_file(seal_path(segment), content, is_sole_writer=True)
    return digest(content)


def read_seal(path: Path) -> Seal:
    """Read a seal; raises `ContractError` if the file is not a seal."""
    return decode(path.read_bytes(), Seal, str(path))


def seal_of_file(segment: Path, predecessor: str | None) -> Seal:
    """The seal of a segment, computed from the file."""
    hashed, size, records = hashlib.sha256(), 0, 0
    first = last = b""
    with segment.open("rb") as file:
        for line in file:
            hashed.update(line)
            size += len(line)
            records += 1
            first, last = first or line, line
    return Seal(
        schema_version=SCHEMA_VERSION,
        segment=segment.name,
        bytes=size,
        records=records,
        sha256=hashed.hexdigest(),
        first_decided_at=_moment_of_line(first),
        last_decided_at=_moment_of_line(last),
        sealed_at=dt.datetime.now(dt.UTC),
        predecessor=predecessor,
    )


def file_digest(path: Path) -> str:
    """SHA-256 of a file, read in chunks."""
    hashed = hashlib.sha256()
    with path.open("rb") as file:
        while chunk := file.read(_READ_BYTES):
            hashed.update(chunk)
    return hashed.hexdigest()


def moment_of(record: LogRecord) -> dt.datetime:
    """Time of a record's decision or rejection."""
    return record.decided_at if isinstance(record, DecisionRecord) else record.rejected_at


def settle(directory: Path) -> Settled:
    """Recover a folder after a crash: truncate torn tails and seal unsealed segments. Only its writer may call this.

    A segment without a seal before a sealed one stays as it is, for `verify_log` to report: a new seal would hide that
    the old one is missing.
    """
    seals = seal_paths(directory)
    predecessor = digest(seals[-1].read_bytes()) if seals else None
    sealed_until = number_of(seals[-1]) if seals else 0
    cut = 0
    for path in segment_paths(directory):
        if number_of(path) > sealed_until:
            cut += repair_segment(path)
            flush_path(path)
            predecessor = write_seal(path, seal_of_file(path, predecessor))
    return Settled(cut, next_number(directory), predecessor)


def _moment_of_line(line: bytes) -> dt.datetime | None:
    try:
        return moment_of(record_of(line)) if line else None
    except (DamagedLineError, ContractError):
        return None
