"""The shipping cursor of a folder: a small file next to the segments, replaced atomically after each delivery."""

import logging
from pathlib import Path
from typing import Final

import msgspec

from serving.contract.documents import SCHEMA_VERSION, ContractError, Struct, decode, encode
from serving.log.shipping.quarantine import QuarantinedRecord, still_missing
from serving.storage.durable import write_file

CURSOR_FILE: Final = "shipped.json"

logger = logging.getLogger(__name__)


class Cursor(Struct, frozen=True, kw_only=True):
    """Segments up to `finished_through` are delivered with their seals, later ones up to their byte in `offsets`.

    The records in `quarantined` are not: the destination refused them because of their size.
    """

    schema_version: int
    destination: str
    finished_through: int = 0
    offsets: dict[str, int]
    quarantined: tuple[QuarantinedRecord, ...] = ()


def read_cursor(folder: Path, destination: str) -> Cursor:
    """The cursor of a folder for this destination.

    If the file is missing, unreadable or of another destination, shipping starts from the beginning: it repeats
    delivered lines and loses no line. Quarantined records of deleted segments stay in quarantine.
    """
    path = folder / CURSOR_FILE
    start = Cursor(schema_version=SCHEMA_VERSION, destination=destination, offsets={})
    if not path.exists():
        return start
    try:
        cursor = decode(path.read_bytes(), Cursor, str(path))
    except ContractError as error:
        logger.warning("shipping restarts from the beginning of the log: %s", error)
        return start
    if cursor.destination != destination:
        logger.warning("shipping restarts from the beginning of the log: it was shipped to another destination before")
        return msgspec.structs.replace(start, quarantined=still_missing(cursor.quarantined, folder))
    return cursor


def delivered(folder: Path) -> Cursor:
    """What any destination has confirmed of a folder; nothing if the file is missing or damaged."""
    try:
        return decode((folder / CURSOR_FILE).read_bytes(), Cursor, str(folder / CURSOR_FILE))
    except (OSError, ContractError):
        return Cursor(schema_version=SCHEMA_VERSION, destination="", offsets={})


def finished_through(folder: Path) -> int:
    """Number of the newest segment that was delivered with its seal; 0 before the first."""
    return delivered(folder).finished_through


def write_cursor(folder: Path, cursor: Cursor) -> None:
    """Write a cursor; raises `OSError` if the disk fails."""
    write_file(folder / CURSOR_FILE, encode(cursor), is_sole_writer=True)
