"""How far a folder's segments were delivered: a small file beside them, replaced whole after each delivery."""

import logging
from pathlib import Path
from typing import Final

from serving.contract.documents import SCHEMA_VERSION, ContractError, Struct, decode, encode
from serving.storage.durable import write_file

CURSOR_FILE: Final = "shipped.json"

logger = logging.getLogger(__name__)


class Cursor(Struct, frozen=True, kw_only=True):
    """Segments up to number `finished_through` are delivered with their seals, later ones up to a byte in `offsets`."""

    schema_version: int
    destination: str
    finished_through: int = 0
    offsets: dict[str, int]


def read_cursor(folder: Path, destination: str) -> Cursor:
    """The cursor of a folder for this destination.

    One that is missing, cannot be read, or is another destination's begins anew: what was delivered comes again, and
    nothing is left out.
    """
    path = folder / CURSOR_FILE
    anew = Cursor(schema_version=SCHEMA_VERSION, destination=destination, offsets={})
    if not path.exists():
        return anew
    try:
        cursor = decode(path.read_bytes(), Cursor, str(path))
    except ContractError as error:
        logger.warning("the log is shipped from its beginning: %s", error)
        return anew
    if cursor.destination != destination:
        logger.warning("the log is shipped from its beginning: it went to another destination before")
        return anew
    return cursor


def write_cursor(folder: Path, cursor: Cursor) -> None:
    """Keep a cursor; raises `OSError` if the disk fails."""
    write_file(folder / CURSOR_FILE, encode(cursor), is_sole_writer=True)
