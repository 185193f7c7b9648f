"""The two files of a ledger: complete lines are read, appends are flushed, an unsigned end is set aside.

``records.jsonl`` has a line for each record, ``checkpoints.jsonl`` one for each checkpoint: the note as a JSON text.
Checkpoint n covers the first n records. A record counts once its checkpoint is on the disk.
"""

import os
from dataclasses import dataclass
from pathlib import Path

import msgspec

from lifecycle.releases.ledger.notes import NoteError
from serving.storage.crash_points import crash_point
from serving.storage.durable import flush_content, flush_path, write_file

LEDGER_FOLDER = "ledger"
RECORDS_FILE, CHECKPOINTS_FILE = "records.jsonl", "checkpoints.jsonl"
SET_ASIDE_FOLDER = "unsigned"


@dataclass(frozen=True, slots=True)
class Lines:
    """Complete lines without their line breaks, and the bytes after the last one."""

    lines: list[bytes]
    torn: bytes


def read_lines(path: Path, offset: int = 0) -> Lines:
    """The lines of a file from a byte on; none if it is missing."""
    try:
        with path.open("rb") as file:
            file.seek(offset)
            *lines, torn = file.read().split(b"\n")
    except FileNotFoundError:
        return Lines([], b"")
    return Lines(lines, torn)


def append_line(path: Path, line: bytes, point: str) -> None:
    """Append a line durably; ``<point>.written`` is a crash point after it. Raises `OSError`."""
    is_new = not path.exists()
    descriptor = os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600)
    try:
        remaining = line
        while remaining:
            remaining = remaining[os.write(descriptor, remaining) :]
        crash_point(f"{point}.written")
        flush_content(descriptor)
    finally:
        os.close(descriptor)
    if is_new:
        flush_path(path.parent)
    crash_point(f"{point}.flushed")


def cut(path: Path, size: int) -> None:
    """Shorten a file to `size` bytes; what is cut is kept in ``unsigned/``, so that a person can look at it."""
    content = path.read_bytes()[size:]
    if not content:
        return
    write_file(path.parent / SET_ASIDE_FOLDER / f"{path.stem}-{size}-{os.getpid()}.bytes", content)
    crash_point("ledger.set_aside")
    descriptor = os.open(path, os.O_WRONLY)
    try:
        os.ftruncate(descriptor, size)
        flush_content(descriptor)
    finally:
        os.close(descriptor)
    crash_point("ledger.cut")


def is_end_of_killed_writer(unsigned: int, torn_record: bytes, torn_checkpoint: bytes) -> bool:
    """Whether a writer that was killed can leave this end: its record is torn, or it is whole and not signed yet.

    Examples
    --------
    >>> is_end_of_killed_writer(1, b"", b"torn"), is_end_of_killed_writer(2, b"", b"")
    (True, False)
    """
    if unsigned == 0:
        return not torn_checkpoint
    return unsigned == 1 and not torn_record


def note_line(note: str) -> bytes:
    """The line of a checkpoint."""
    return msgspec.json.encode(note) + b"\n"


def note_of(line: bytes) -> str:
    """The note of a line; raises `NoteError`."""
    try:
        return msgspec.json.decode(line, type=str)
    except (msgspec.DecodeError, UnicodeDecodeError):
        raise NoteError("Expected a note as a JSON text, got other bytes") from None
