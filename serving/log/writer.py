"""The decision log's writer: a decision is recorded before it is answered.

`record` writes on the caller's thread, so that what it took survives the process (``written``). With ``fsync`` a
thread flushes once for all that came while the disk was busy (group commit), and the answers wait for that. If the
disk is full, broken or stuck, decisions are refused or given and counted, as `on_failure` says; `failure` names the
cause until a write goes through again. The thread also ends segments that are old, and seals those that have ended.
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
from serving.log.open_segment import Segment
from serving.log.seals import settle, write_seal
from serving.log.segments import LogRecord, line_of, segment_name
from serving.storage.durable import flush_file
from serving.storage.locks import Lock, lock_file

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
    """An append-only log in a folder that this process alone writes to.

    Parameters
    ----------
    directory
        Folder of the segments, made with mode 0700; the files have mode 0600.
    durability
        ``written``: a record survives the death of this process; ``fsync``: that of the machine as well.
    on_failure
        Whether a decision that cannot be recorded is refused, or given and counted as `unrecorded`.
    segment_bytes, segment_seconds
        A segment ends when it is larger or older.
    stall_seconds
        A record that the disk has not confirmed after this time counts as failed (``fsync`` only).
    max_pending
        Calls of `record` that may wait for the disk; one more counts as failed at once (``fsync`` only).
    open_segment
        Opens a new segment; tests give one whose disk fails.

    Attributes
    ----------
    writes, records, bytes
        Successful writes, and what they held; with ``fsync`` once the disk has it.
    write_failures
        Writes and flushes that failed.
    unrecorded
        Records of decisions that were given though they could not be recorded.
    seal_failures
        Seals that could not be written; they are tried again.
    cut_bytes
        What was cut from the log's end at the start.
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
        self.write_failures = self.unrecorded = self.seal_failures = self.cut_bytes = 0
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
        self._predecessor: str | None = None
        self._retry_seal_at = 0.0
        self._commit = GroupCommit(self._changed, stall_seconds, self._lost)
        self._folder_lock: Lock | None = None
        self._thread = threading.Thread(target=self._run, name="decision-log", daemon=True)

    def open(self) -> int:
        """Take the folder, cut a torn tail, seal what was left unsealed; returns the bytes that were cut.

        A disk that is full now is no error: the log says so by `failure` and begins once it has room.

        Raises
        ------
        ContractError
            If another process writes to this folder, or it cannot be made or locked.
        """
        try:
            self.directory.mkdir(parents=True, exist_ok=True, mode=0o700)
            self._folder_lock = lock_file(self.directory / ".lock", is_waiting=False)
        except BlockingIOError:
            raise ContractError(
                f"Expected a decision log of its own, but another server writes to it; give this one another "
                f"SERVING_LOG_DIR - at {self.directory}"
            ) from None
        except OSError as error:
            raise ContractError(
                f"Expected a folder that can be written to, got {error.strerror} - at {self.directory}"
            ) from error
        try:
            self._settle()
            self._failure = None
        except OSError as error:
            self._failure = _reason(error)
        self._thread.start()
        return self.cut_bytes

    @property
    def failure(self) -> str | None:
        """Why nothing can be recorded at present, ``None`` while it can."""
        if self._failure is None and self._obstruction is None and self.lag_seconds > self._stall_seconds:
            return f"the disk has not answered for {self.lag_seconds:.0f} s"
        return self._failure or self._obstruction

    @property
    def refusal(self) -> str | None:
        """Why decisions are refused at present; ``None`` too while they are given and counted as unrecorded."""
        return self.failure if self._is_refusing or self._obstruction is not None else None

    @property
    def lag_seconds(self) -> float:
        """Age of the oldest record that waits for the disk."""
        with self._lock:
            return self._commit.lag_seconds()

    def obstruct(self, reason: str | None) -> None:
        """Refuse all records, whatever the policy on failures, until called with ``None``: the shipper is behind."""
        self._obstruction = reason

    def record(self, records: Sequence[LogRecord]) -> "asyncio.Future[None] | None":
        """Write records, all or none; on any thread.

        Returns
        -------
        asyncio.Future or None
            ``None`` if they are written, or could not be and the policy is to continue. With ``fsync`` a future of the
            running event loop that is resolved once the disk has them; on a thread without one ``None``, at once.

        Raises
        ------
        LogUnavailableError
            At once or by the future, if the policy is to refuse and they cannot be recorded, or the disk did not
            answer in time (they may then still appear in the log).
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
        """Flush what waits, seal, and give the folder up; call it off the event loop's thread."""
        with self._changed:
            self._is_closing = True
            self._failure = _CLOSED
            self._changed.notify()
        if self._thread.is_alive():
            self._thread.join()
        if self._folder_lock is not None:
            self._folder_lock.release()
            self._folder_lock = None

    # With the lock held.

    def _lost(self, records: int) -> LogUnavailableError | None:
        if self._is_refusing or self._obstruction is not None:
            return LogUnavailableError("Expected to record the decision, but the decision log cannot be written")
        self.unrecorded += records
        return None

    def _not_recorded(self, records: int) -> None:
        """Raises the refusal, if it is one."""
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
        """After a failed write: cut what it left, and go on in a new segment once the disk takes bytes again."""
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
            self._failure = f"the log's thread has ended: {type(error).__name__}"
            logger.critical("the decision log has ended, restart this server: %r", type(error))
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
        with self._lock:
            segment = self._segment
            if segment is not None and (
                self._is_closing or time.monotonic() - segment.began_at >= self._segment_seconds
            ):
                self._end_segment()
        self._seal_ended()
        if self._failure is not None and not self._is_closing:
            self._probe()

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
        """After a failed flush nothing is known of the pages behind it: cut them, also those of who came since."""
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
            try:
                self._predecessor = write_seal(segment.path, segment.seal(self._predecessor))
            except OSError as error:
                self.seal_failures += 1
                self._retry_seal_at = time.monotonic() + _PROBE_SECONDS
                logger.warning("%s is not sealed yet: %s", segment.path.name, _reason(error))
                if self._is_closing:
                    break
                continue
            segment.close()
            with self._lock:
                self._ended.pop(0)

    def _settle(self) -> None:
        if not self._is_settled:
            settled = settle(self.directory)
            self.cut_bytes, self._next_number, self._predecessor = settled
            self._is_settled = True

    def _probe(self) -> None:
        """See whether the disk takes bytes again, since no request comes to a server that is not ready."""
        path = self.directory / ".probe"
        try:
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
