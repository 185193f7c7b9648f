"""Ships to another folder, for example a mounted share: an exact copy of the log, with its seals."""

import os
from collections.abc import Sequence
from pathlib import Path
from typing import Final

from serving.contract.documents import ContractError, decode
from serving.log.seals import Seal, file_digest
from serving.log.segments import seal_path
from serving.log.shipping.sink import OversizedLine, ShippingError
from serving.storage.durable import flush_file, flush_path, rename_flushed, write_file

_PART: Final = ".part"


class DirectorySink:
    """Copies segments to a folder of the same layout.

    Lines are written to ``<segment>.part`` and flushed before they count as delivered. Once the segment is sealed, its
    copy is checked against the seal, renamed atomically, and the seal is written next to it: a file with a segment's
    name is complete. Shipping the same lines again is idempotent.
    """

    def __init__(self, directory: Path) -> None:
        self.directory = directory

    @property
    def destination(self) -> str:
        """The folder."""
        return f"directory:{self.directory}"

    def ship(self, segment_name: str, offset: int, lines: Sequence[bytes]) -> Sequence[OversizedLine]:
        """Write lines at their offset in the segment's copy and flush it; a folder has no limit of a line's size."""
        content = b"".join(lines)
        try:
            copy = self._folder_of(segment_name) / Path(segment_name).name
            if copy.exists():
                _expect_same(copy, offset, content)
            else:
                _write_at(_part(copy), offset, content)
        except OSError as error:
            raise ShippingError(_violation(segment_name, error), cause="destination") from error
        return ()

    def finish(self, segment_name: str, seal: bytes) -> None:
        """Rename the copy of a sealed segment, if it matches the seal."""
        try:
            copy = self._folder_of(segment_name) / Path(segment_name).name
            if not copy.exists():
                _finish_part(copy, decode(seal, Seal, f"the seal of {segment_name}"))
            write_file(seal_path(copy), seal, is_sole_writer=True)
        except OSError as error:
            raise ShippingError(_violation(segment_name, error), cause="destination") from error
        except ContractError as error:
            raise ShippingError(str(error), cause="log") from error

    def close(self) -> None:
        """Do nothing: no file stays open between calls."""

    def _folder_of(self, segment_name: str) -> Path:
        folder = (self.directory / segment_name).parent
        folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        return folder


def _part(copy: Path) -> Path:
    return copy.with_name(copy.name + _PART)


def _write_at(part: Path, offset: int, content: bytes) -> None:
    descriptor = os.open(part, os.O_RDWR | os.O_CREAT, 0o600)
    with os.fdopen(descriptor, "r+b") as file:
        size = os.fstat(descriptor).st_size
        if size < offset:
            raise ShippingError(
                f"Expected {offset} bytes in the copy, got {size}; the segment is shipped again - at {part}",
                cause="destination",
                is_lost=True,
            )
        file.seek(offset)
        file.write(content)
        flush_file(file)
    if offset == 0:
        flush_path(part.parent)


def _expect_same(copy: Path, offset: int, content: bytes) -> None:
    with copy.open("rb") as file:
        file.seek(offset)
        if file.read(len(content)) != content:
            raise ShippingError(
                f"Expected the lines shipped before, got others at byte {offset} - at {copy}", cause="destination"
            )


def _finish_part(copy: Path, seal: Seal) -> None:
    part = _part(copy)
    if not seal.bytes and not part.exists():
        _write_at(part, 0, b"")
    # A failed flush truncates lines that may have been shipped already.
    if part.exists() and part.stat().st_size > seal.bytes:
        os.truncate(part, seal.bytes)
    if not part.exists() or file_digest(part) != seal.sha256:
        part.unlink(missing_ok=True)
        raise ShippingError(
            f"Expected a copy that matches its seal, got a different one; the segment is shipped again - at {part}",
            cause="destination",
            is_lost=True,
        )
    flush_path(part)
    rename_flushed(part, copy)


def _violation(segment_name: str, error: OSError) -> str:
    return f"Expected to copy {segment_name}, got {error.strerror or type(error).__name__}"
