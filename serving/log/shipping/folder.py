"""Shipping of one log folder: the next batch, the delivered position, the segments that may be deleted."""

import datetime as dt
import logging
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Final, NamedTuple

import msgspec

from serving.contract.documents import SCHEMA_VERSION, ContractError
from serving.log.seals import read_seal
from serving.log.segments import DamagedLineError, check_line, number_of, seal_path, segment_paths
from serving.log.shipping.cursor import Cursor, read_cursor, write_cursor
from serving.log.shipping.quarantine import MAX_RECORDS, QuarantinedRecord, quarantine_path, release, set_aside
from serving.log.shipping.sink import OversizedLine, ShippingError, Sink
from serving.storage.locks import Lock, lock_file

LOCK_FILE: Final = ".shipping.lock"
RETRY_SECONDS: Final = 3600.0
"""Time between two tries of the quarantined records; the first one follows the server's start."""

logger = logging.getLogger(__name__)


class Batch(NamedTuple):
    """Complete lines of a segment, from `offset`; `refused` of them are over the destination's limit."""

    lines: list[bytes]
    offset: int
    refused: int = 0

    @property
    def end(self) -> int:
        """Where the next batch begins."""
        return self.offset + sum(map(len, self.lines))

    @property
    def shipped(self) -> int:
        """Number of lines that the destination has."""
        return len(self.lines) - self.refused


class ShippedFolder:
    """A folder of segments with its cursor.

    Parameters
    ----------
    root
        The log's folder, to which segment names are relative.
    folder
        The root, or the folder of a worker below it.
    """

    def __init__(self, root: Path, folder: Path) -> None:
        self._root = root
        self.folder = folder
        self._cursor = Cursor(schema_version=SCHEMA_VERSION, destination="", offsets={})
        self._lock: Lock | None = None
        self._retry_at = 0.0

    @property
    def quarantined(self) -> tuple[QuarantinedRecord, ...]:
        """Records that the destination refuses because of their size; callable on any thread."""
        return self._cursor.quarantined

    def open(self, destination: str) -> None:
        """Lock the folder and read its cursor.

        Raises
        ------
        ContractError
            If another process ships this folder, or it is not writable.
        """
        try:
            self.folder.mkdir(parents=True, exist_ok=True, mode=0o700)
            self._lock = lock_file(self.folder / LOCK_FILE, is_waiting=False)
        except BlockingIOError:
            raise ContractError(
                f"Expected a log that no other server ships, got one that another server ships; stop one of the two "
                f"- at {self.folder}"
            ) from None
        except OSError as error:
            raise ContractError(f"Expected a writable folder, got {error.strerror} - at {self.folder}") from error
        self._cursor = read_cursor(self.folder, destination)

    def close(self) -> None:
        """Unlock the folder."""
        if self._lock is not None:
            self._lock.release()
            self._lock = None

    def unshipped_bytes(self) -> int:
        """Bytes that are not delivered yet; callable on any thread."""
        cursor = self._cursor
        unshipped = 0
        for path in segment_paths(self.folder):
            if number_of(path) > cursor.finished_through:
                unshipped += max(path.stat().st_size - cursor.offsets.get(path.name, 0), 0)
        return unshipped

    def advance(self, sink: Sink, batch_bytes: int) -> Iterator[Batch]:
        """Deliver all complete lines, then the seals; yields each batch once the cursor is on the disk.

        Raises
        ------
        ShippingError
            If the sink refuses a batch or a seal.
        ContractError
            If a line was damaged; the lines after it are not shipped.
        OSError
            If this folder's disk fails.
        """
        # Listed before they are read: a segment that has a successor gets no more lines, which keeps the order.
        for path in segment_paths(self.folder):
            if number_of(path) > self._cursor.finished_through:
                while (batch := next_batch(path, self._cursor.offsets.get(path.name, 0), batch_bytes)) is not None:
                    yield self._deliver(sink, path, batch)
        self._finish(sink)
        self._retry_quarantined(sink)

    def delete_older(self, than: dt.datetime) -> int:
        """Delete the oldest delivered segments that were sealed before `than`; the seals stay."""
        deleted = 0
        for path in segment_paths(self.folder):
            if number_of(path) > self._cursor.finished_through or read_seal(seal_path(path)).sealed_at >= than:
                break
            path.unlink()
            deleted += 1
        return deleted

    def _deliver(self, sink: Sink, path: Path, batch: Batch) -> Batch:
        try:
            oversized = sink.ship(self._name(path), batch.offset, batch.lines)
        except ShippingError as error:
            self._start_again_if_lost(path, error)
            raise
        quarantined = self._quarantine(sink, path, batch, oversized)
        self._keep(offsets={**self._cursor.offsets, path.name: batch.end}, quarantined=quarantined)
        return batch._replace(refused=len(oversized))

    def _quarantine(
        self, sink: Sink, path: Path, batch: Batch, oversized: Sequence[OversizedLine]
    ) -> tuple[QuarantinedRecord, ...]:
        """Set lines aside that the destination refuses; returns all records in quarantine."""
        quarantined = {(record.segment, record.byte): record for record in self._cursor.quarantined}
        for index, limit_bytes in oversized:
            line = batch.lines[index]
            record = QuarantinedRecord(
                segment=self._name(path),
                byte=batch.offset + sum(map(len, batch.lines[:index])),
                bytes=len(line),
                limit_bytes=limit_bytes,
                destination=sink.destination,
                refused_at=dt.datetime.now(dt.UTC),
            )
            quarantined[record.segment, record.byte] = record
            if len(quarantined) > MAX_RECORDS:
                raise ShippingError(
                    f"{record}; {MAX_RECORDS} records are in quarantine already, so shipping stops here; raise the "
                    "destination's limit",
                    cause="record_size",
                )
            set_aside(self.folder, record, line)
            logger.error("a record is not shipped but set aside: %s; raise the destination's limit", record)
        return tuple(quarantined.values())

    def _retry_quarantined(self, sink: Sink) -> None:
        """Offer the quarantined records again, once an hour: the destination's limit may have been raised."""
        if not self._cursor.quarantined or time.monotonic() < self._retry_at:
            return
        self._retry_at = time.monotonic() + RETRY_SECONDS
        for record in self._cursor.quarantined:
            path = quarantine_path(self.folder, record)
            if record.destination != sink.destination or not path.exists():
                continue
            if not sink.ship(record.segment, record.byte, [path.read_bytes()]):
                self._keep(quarantined=tuple(each for each in self._cursor.quarantined if each != record))
                release(self.folder, record)
                logger.info("a record that was set aside is shipped - at %s, byte %d", record.segment, record.byte)

    def _finish(self, sink: Sink) -> None:
        """Deliver the seals in order; a segment without a seal blocks those after it."""
        for path in segment_paths(self.folder):
            if number_of(path) <= self._cursor.finished_through:
                continue
            if (
                not seal_path(path).exists()
                or self._cursor.offsets.get(path.name, 0) < read_seal(seal_path(path)).bytes
            ):
                return
            try:
                sink.finish(self._name(path), seal_path(path).read_bytes())
            except ShippingError as error:
                self._start_again_if_lost(path, error)
                raise
            offsets = {name: offset for name, offset in self._cursor.offsets.items() if name != path.name}
            self._keep(offsets=offsets, finished_through=number_of(path))

    def _start_again_if_lost(self, path: Path, error: ShippingError) -> None:
        if error.is_lost:
            self._keep(offsets={**self._cursor.offsets, path.name: 0})

    def _keep(self, **changes: object) -> None:
        cursor = msgspec.structs.replace(self._cursor, **changes)
        write_cursor(self.folder, cursor)
        self._cursor = cursor

    def _name(self, path: Path) -> str:
        return path.relative_to(self._root).as_posix()


def next_batch(path: Path, offset: int, batch_bytes: int) -> Batch | None:
    """Complete lines of a segment from `offset`, about `batch_bytes`; ``None`` if there are no complete lines yet.

    Raises
    ------
    ContractError
        If the first line is damaged; a later damaged line ends the batch.
    """
    with path.open("rb") as segment:
        segment.seek(offset)
        content = segment.read(batch_bytes)
        if b"\n" not in content:
            content += segment.readline()
    lines = content[: content.rfind(b"\n") + 1].splitlines(keepends=True)
    for index, line in enumerate(lines):
        try:
            check_line(line)
        except DamagedLineError as error:
            if index:
                return Batch(lines[:index], offset)
            raise ContractError(
                f"Expected a record to ship, got {error}; the segment was damaged after it was written "
                f"- at {path}, byte {offset}"
            ) from None
    return Batch(lines, offset) if lines else None
