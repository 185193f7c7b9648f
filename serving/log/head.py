"""The numbers of the oldest and the newest segment that a folder ever had, in a file next to the segments.

Without it, the newest segments and their seals could be removed without a trace, and their numbers would be used again.
"""

from pathlib import Path
from typing import Final

from serving.contract.documents import SCHEMA_VERSION, ContractError, Struct, decode, encode
from serving.storage.durable import write_file

HEAD_FILE: Final = "head.json"


class Head(Struct, frozen=True, kw_only=True):
    """Segments from number `oldest` to `newest` were written to this folder."""

    schema_version: int = SCHEMA_VERSION
    oldest: int
    newest: int


def read_head(folder: Path) -> Head | None:
    """The head of a folder; ``None`` if the file is missing.

    Raises
    ------
    ContractError
        If the file is damaged.
    """
    path = folder / HEAD_FILE
    try:
        content = path.read_bytes()
    except FileNotFoundError:
        return None
    return decode(content, Head, str(path))


def write_head(folder: Path, head: Head) -> None:
    """Store a head; raises `OSError` if the disk fails."""
    write_file(folder / HEAD_FILE, encode(head), is_sole_writer=True)


def known_head(folder: Path) -> Head | None:
    """As `read_head`, but ``None`` for a damaged file: a server must start with it, and `verify_log` reports it."""
    try:
        return read_head(folder)
    except ContractError:
        return None
