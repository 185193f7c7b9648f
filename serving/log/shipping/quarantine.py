"""Records over the destination's limit: set aside, so that they hold up nothing, and tried again later.

The line is copied to a file of its own before the cursor passes it, and the cursor lists it until the destination has
accepted it. A segment may thus be deleted after its time, and its quarantined records stay.
"""

import datetime as dt
from collections.abc import Sequence
from pathlib import Path
from typing import Final

from serving.contract.documents import Struct
from serving.log.segments import DamagedLineError, check_line
from serving.storage.durable import write_file

FOLDER: Final = "quarantine"
MAX_RECORDS: Final = 100
"""Records in quarantine beyond which shipping stops: so many are not exceptions, the destination's limit is too low."""


class QuarantinedRecord(Struct, frozen=True, kw_only=True):
    """A record that a destination refused because of its size; `limit_bytes` is ``None`` if it is not known."""

    segment: str
    byte: int
    bytes: int
    limit_bytes: int | None
    destination: str
    refused_at: dt.datetime

    def __str__(self) -> str:
        limit = "fewer" if self.limit_bytes is None else f"at most {self.limit_bytes}"
        return (
            f"Expected {limit} bytes, key and headers included, got a record of {self.bytes} bytes "
            f"- at {self.segment}, byte {self.byte}"
        )


def quarantine_path(folder: Path, record: QuarantinedRecord) -> Path:
    """File of a quarantined line below its log folder."""
    return folder / FOLDER / f"{Path(record.segment).stem}-byte-{record.byte:012d}.jsonl"


def set_aside(folder: Path, record: QuarantinedRecord, line: bytes) -> None:
    """Keep a line; idempotent. Raises `OSError` if the disk fails."""
    path = quarantine_path(folder, record)
    path.parent.mkdir(mode=0o700, exist_ok=True)
    write_file(path, line, is_sole_writer=True)


def release(folder: Path, record: QuarantinedRecord) -> None:
    """Remove the file of a record that was delivered, after the cursor has dropped it."""
    quarantine_path(folder, record).unlink(missing_ok=True)


def damage_of(folder: Path, record: QuarantinedRecord) -> str | None:
    """What is wrong with the file of a quarantined record; ``None`` if it holds the line."""
    path = quarantine_path(folder, record)
    try:
        line = path.read_bytes()
        check_line(line)
    except FileNotFoundError:
        return "the record is in quarantine, and its file is missing"
    except DamagedLineError as error:
        return f"the record is in quarantine, and its file is damaged: {error}"
    return None if len(line) == record.bytes else f"Expected {record.bytes} bytes in quarantine, got {len(line)}"


def still_missing(records: Sequence[QuarantinedRecord], folder: Path) -> tuple[QuarantinedRecord, ...]:
    """The records whose segments were deleted: shipping from the beginning does not reach them."""
    return tuple(record for record in records if not (folder / Path(record.segment).name).exists())
