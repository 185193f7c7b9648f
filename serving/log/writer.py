"""The decision log's writer: a decision is recorded before it is answered.

`record` writes on the caller's thread, so that a record survives the death of the process (``written``). With
``fsync`` a thread flushes all records that arrived while the disk was busy at once (group commit), and their answers
wait for it. If the disk is full, broken or stuck, decisions are refused, or answered and counted (`on_failure`);
`failure` names the cause until a write succeeds. The thread also ends old segments and seals ended ones.

Once a second the thread looks whether something else has removed, moved, replaced or truncated a segment
(`serving.log.guard`). Its records count as unrecorded, its seal is written from what was written, so that `verify_log`
reports the loss, and the next record begins another segment. While the folder cannot be used, `on_failure` applies.
"""

import asyncio
import contextlib
import logging
import threading
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Final, Literal

from serving.contract.documents import ContractError
from serving.errors import LogUnavailableError
from serving.log.group_commit import Group, GroupCommit
from serving.log.guard import LogFolder, SealedSegments
from serving.log.open_segment import Segment
from serving.log.seals import settle, write_seal
from serving.log.segments import LogRecord, line_of, segment_name
from serving.storage.durable import flush_file

Durability = Literal["written", "fsync"]
FailurePolicy = Literal["refuse", "continue"]

SEGMENT_BYTES: Final = 64 * 1024 * 1024
SEGMENT_SECONDS: Final = 3600.0
STALL_SECONDS: Final = 2.0
MAX_PENDING: Final = 10_000
_PROBE_BYTES: Final = 64 * 1024
_PROBE_SECONDS: Final = 1.0
_CLOSED: Final = "the log is not open"

logger = logging.getLogger(__name__)


class DecisionLog:
    """An append-only log in a folder that only this process writes to.

    Parameters
    ----------
    directory
        Folder of the segments, made with mode 0700; the files have mode 0600.
    durability
        ``written``: a record survives the death of this process; ``fsync``: that of the machine as well.
    on_failure
        Whether a decision that cannot be recorded is refused, or answered and counted in `unrecorded`.
    segment_bytes, segment_seconds
        A segment ends once it is larger or older.
    stall_seconds
        A record that the disk has not confirmed after this time counts as failed (``fsync`` only).
    max_pending
        Calls of `record` that may wait for the disk; further ones fail at once (``fsync`` only).
    open_segment
        Opens a new segment; tests pass one whose disk fails.

    Attributes
    ----------
    writes, records, bytes
        Successful writes, and their records and bytes; with ``fsync`` counted once the disk has them.
    write_failures
        Writes and flushes that failed.
    unrecorded
        Records of decisions that were answered without being recorded.
    lost_segments
        Segments that something else removed, replaced or truncated; what they held also counts as unrecorded if it was
        written to the segment that was open.
    seal_failures
        Seals that could not be written; they are retried.
    cut_bytes
        Bytes truncated from the log's end at the start.
    """

    def __init__(
        self,
        directory: Path,
        *,
        durability: Durability = "written",
        on_failure: FailurePolicy = "refuse",
        segment_bytes: int = SEGMENT_BYTES,
        segment_seconds: float = SEGMENT_SECONDS,
        stall_seconds: float = STALL_SECONDS,
        max_pending: int = MAX_PENDING,
        open_segment: Callable[[Path], Segment] = Segment,
    ) -> None:
        self.directory = directory
        self.writes = self.records = self.bytes = 0
        self.write_failures = self.unrecorded = self.lost_segments = self.seal_failures = self.cut_bytes = 0
        self._is_flushing = durability == "fsync"
        self._is_refusing = on_failure == "refuse"
        self._segment_bytes = segment_bytes
        self._segment_seconds = segment_seconds
        self._stall_seconds = stall_seconds
        self._max_pending = max_pending
        self._open_segment = open_segment
        self._lock = threading.Lock()
        self._changed = threading.Condition(self._lock)
        self._is_closing = False
        self._is_settled = False
        self._failure: str | None = _CLOSED
        self._obstruction: str | None = None
        self._segment: Segment | None = None
        self._ended: list[Segment] = []
        self._next_number = 1
        self._sealed = SealedSegments(directory)
        self._predecessor: str | None = None
        self._retry_seal_at = 0.0
        self._commit = GroupCommit(self._changed, stall_seconds, self._lost)
        self._folder = LogFolder(directory)
        self._thread = threading.Thread(target=self._run, name="decision-log", daemon=True)

    def open(self) -> int:
        """Lock the folder, truncate torn tails, seal unsealed segments; returns the bytes truncated.

        A full disk is not an error: `failure` reports it, and the log begins once the disk has room.

        Raises
        ------
        ContractError
            If another process writes to this folder, or it cannot be created or locked.
        """
        try:
            self._folder.take()
        except BlockingIOError:
            raise ContractError(
                f"Expected a decision log of its own, got one that another server writes to; "
                f"set another SERVING_LOG_DIR - at {self.directory}"
            ) from None
        except OSError as error:
            raise ContractError(f"Expected a writable folder, got {error.strerror} - at {self.directory}") from error
        try:
            self._settle()
            self._failure = None
        except OSError as error:
            self._failure = _reason(error)
        self._thread.start()
        return self.cut_bytes

    @property
    def failure(self) -> str | None:
        """Why records cannot be written at present; ``None`` while they can."""
        if self._failure is None and self._obstruction is None and self.lag_seconds > self._stall_seconds:
            return f"the disk has not answered for {self.lag_seconds:.0f} s"
        return self._failure or self._obstruction

    @property
    def refusal(self) -> str | None:
        """Why decisions are refused at present; ``None`` also while they are answered and counted as unrecorded."""
        return self.failure if self._is_refusing or self._obstruction is not None else None

    @property
    def lag_seconds(self) -> float:
        """Age of the oldest record that waits for the disk."""
        with self._lock:
            return self._commit.lag_seconds()

    def obstruct(self, reason: str | None) -> None:
        """Refuse all records, regardless of `on_failure`, until called with ``None``: back-pressure of the shipper."""
        self._obstruction = reason

    def record(self, records: Sequence[LogRecord]) -> "asyncio.Future[None] | None":
        """Write records, all or none; on any thread.

        Returns
        -------
        asyncio.Future or None
            ``None`` if they are written, or cannot be and the policy is to continue. With ``fsync`` a future of the
            running event loop that resolves once the disk has them; on a thread without a loop ``None``, at once.

        Raises
        ------
        LogUnavailableError
            At once or from the future, if the policy is to refuse and they cannot be recorded or the disk does not
            answer in time (then they may still appear in the log).
        """
        if not records:
            return None
        content = line_of(records[0]) if len(records) == 1 else b"".join(map(line_of, records))
        with self._lock:
            if self._failure is not None or self._obstruction is not None:
                self._not_recorded(len(records))
                return None
            if self._is_flushing and (
                len(self._commit) >= self._max_pending or self._commit.lag_seconds() > self._stall_seconds
            ):
                self._not_recorded(len(records))
                return None
            segment = self._segment
            try:
                if segment is None:
                    segment = self._begin()
                segment.append(content, records)
            except OSError as error:
                self._give_up(error)
                self._not_recorded(len(records))
                return None
            if segment.size >= self._segment_bytes:
                self._end_segment()
            if self._is_flushing:
                return self._commit.join(len(content), len(records))
            self.writes += 1
            self.records += len(records)
            self.bytes += len(content)
            return None

    def close(self) -> None:
        """Flush, seal and unlock the folder; must not be called on the event loop's thread."""
        with self._changed:
            self._is_closing = True
            self._failure = _CLOSED
            self._changed.notify()
        if self._thread.is_alive():
            self._thread.join()
        self._folder.release()

    # With the lock held.

    def _lost(self, records: int) -> LogUnavailableError | None:
        if self._is_refusing or self._obstruction is not None:
            return LogUnavailableError("Expected to record the decision, but the decision log cannot be written")
        self.unrecorded += records
        return None

    def _not_recorded(self, records: int) -> None:
        """Raise the refusal, unless the policy is to continue."""
        refusal = self._lost(records)
        if refusal is not None:
            raise refusal

    def _begin(self) -> Segment:
        self._segment = self._open_segment(self.directory / segment_name(self._next_number))
        self._next_number += 1
        return self._segment

    def _end_segment(self) -> None:
        if self._segment is not None:
            self._ended.append(self._segment)
            self._segment = None
            self._changed.notify()

    def _give_up(self, error: OSError) -> None:
        """After a failed write: truncate the partial line, and end the segment."""
        self.write_failures += 1
        self._failure = _reason(error)
        if self._segment is not None:
            self._segment.cut(self._segment.size)
        self._end_segment()

    # On the log's own thread.

    def _run(self) -> None:
        try:
            while not self._is_closing:
                self._wait_for_work()
                self._turn()
            self._turn()
        except BaseException as error:
            self._failure = f"the log's thread ended: {type(error).__name__}"
            logger.critical("the decision log's thread ended, restart this server: %r", type(error))
            raise

    def _wait_for_work(self) -> None:
        with self._changed:
            self._changed.wait_for(
                lambda: (
                    self._is_closing
                    or self._commit.group.records > 0
                    or (self._ended and time.monotonic() >= self._retry_seal_at)
                ),
                timeout=min(_PROBE_SECONDS, self._segment_seconds),
            )

    def _turn(self) -> None:
        self._flush_group()
        self._check_files()
        with self._lock:
            segment = self._segment
            if segment is not None and (
                self._is_closing or time.monotonic() - segment.began_at >= self._segment_seconds
            ):
                self._end_segment()
        self._seal_ended()
        if self._failure is not None and not self._is_closing:
            self._probe()

    def _check_files(self) -> None:
        """Look for files that something else changed, and store the number of the newest segment."""
        try:
            self._folder.retake()
        except OSError as error:
            with self._lock:
                self._failure = _reason(error)
        segment = self._segment
        if segment is not None and segment.displacement() is not None:
            with self._lock:
                if self._segment is segment and segment.displacement() is not None:
                    self._end_segment()
        if losses := self._sealed.lost():
            self._note_losses(losses, 0)
        with contextlib.suppress(OSError):
            self._folder.keep_head(self._next_number - 1)

    def _note_losses(self, losses: Sequence[str], records: int) -> None:
        with self._lock:
            self.lost_segments += len(losses)
            self.unrecorded += records
        logger.critical("%d segments of the decision log are lost: %s", len(losses), ", ".join(losses[:3]))

    def _flush_group(self) -> None:
        with self._lock:
            group = self._commit.take()
            dirty = [*self._ended, *([] if self._segment is None else [self._segment])]
        if not group.records:
            return
        try:
            for segment in dirty:
                segment.sync()
        except OSError as error:
            self._lose_unsynced(group, error)
            self._commit.finish(group, is_failed=True)
        else:
            with self._lock:
                self.writes += group.writes
                self.records += group.records
                self.bytes += group.bytes
            self._commit.finish(group, is_failed=False)

    def _lose_unsynced(self, group: Group, error: OSError) -> None:
        """After a failed flush the state of the unsynced pages is unknown: truncate them, including later appends."""
        with self._lock:
            self.write_failures += 1
            if not self._is_closing:
                self._failure = _reason(error)
            self._end_segment()
            for segment in self._ended:
                if segment.size > segment.synced_size:
                    segment.cut(segment.synced_size)
            group.add(self._commit.take())

    def _seal_ended(self) -> None:
        while self._ended and (self._is_closing or time.monotonic() >= self._retry_seal_at):
            segment = self._ended[0]
            displacement = segment.displacement()
            try:
                # The digest of a cut segment is computed from its file, which a displaced one has no more.
                if displacement is None or not segment.is_cut:
                    self._predecessor = write_seal(segment.path, segment.seal(self._predecessor))
            except OSError as error:
                self.seal_failures += 1
                self._retry_seal_at = time.monotonic() + _PROBE_SECONDS
                logger.warning("%s could not be sealed and is retried: %s", segment.path.name, _reason(error))
                if self._is_closing:
                    break
                continue
            if displacement is None:
                self._sealed.add(segment.path.name, segment.size)
            else:
                self._note_losses([f"{segment.path.name} {displacement}"], segment.lost_records())
            segment.close()
            with self._lock:
                self._ended.pop(0)

    def _settle(self) -> None:
        if not self._is_settled:
            settled = settle(self.directory)
            self.cut_bytes, self._next_number, self._predecessor = settled
            self._sealed.begin()
            self._is_settled = True

    def _probe(self) -> None:
        """Test whether the disk takes bytes again: a server that is not ready gets no requests that would show it."""
        path = self.directory / ".probe"
        try:
            self._folder.retake()
            with path.open("wb") as probe:
                probe.write(bytes(_PROBE_BYTES))
                flush_file(probe)
            self._settle()
            failure = None
        except OSError as error:
            failure = _reason(error)
        finally:
            with contextlib.suppress(OSError):
                path.unlink()
        with self._lock:
            if not self._is_closing:
                self._failure = failure


def _reason(error: OSError) -> str:
    return error.strerror or type(error).__name__
