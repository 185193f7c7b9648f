"""The decision log's writer: a decision is on the disk before it is answered.

Appends are collected while the disk is busy with the ones before (group commit), written by one thread with one
`fdatasync` a batch, and only then resolved. If the disk is full, broken or stuck, the waiting requests are refused and
`failure` says so, until a write goes through again: nothing is answered that is not recorded.
"""

import asyncio
import contextlib
import fcntl
import os
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import msgspec

from serving.contract import ContractError, DecisionRecord
from serving.durable import flush_folder
from serving.errors import LogUnavailableError
from serving.segments import mend_tail, next_number, segment_name

SEGMENT_BYTES: Final = 64 * 1024 * 1024
SEGMENT_SECONDS: Final = 3600.0
STALL_SECONDS: Final = 2.0
MAX_PENDING: Final = 10_000
_PROBE_BYTES: Final = 64 * 1024
_PROBE_SECONDS: Final = 1.0
_WATCH_SECONDS: Final = 0.25


class Segment:
    """An open segment; `size` counts what is known to be on the disk."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.size = 0
        self.began_at = time.monotonic()
        self._descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_APPEND, 0o600)
        flush_folder(path.parent)

    def append(self, content: bytes) -> None:
        """Write `content` and wait until the disk has it; raises `OSError` if either fails."""
        rest = memoryview(content)
        while rest:
            rest = rest[os.write(self._descriptor, rest) :]
        # The file's length is synced too where it changed: fdatasync leaves out only what reading does not need.
        os.fdatasync(self._descriptor)
        self.size += len(content)

    def abandon(self) -> None:
        """Cut what came after the last successful append, as far as the disk allows, and close."""
        with contextlib.suppress(OSError):
            os.ftruncate(self._descriptor, self.size)
        self.close()

    def close(self) -> None:
        """Close the file."""
        with contextlib.suppress(OSError):
            os.close(self._descriptor)


@dataclass(frozen=True, slots=True)
class _Append:
    line: bytes
    answered: "asyncio.Future[None]"
    loop: asyncio.AbstractEventLoop


class DecisionLog:
    """An append-only log in a folder that this process alone writes to.

    Parameters
    ----------
    directory
        Folder of the segments, made with mode 0700; the files have mode 0600.
    segment_bytes, segment_seconds
        A segment is sealed when it is larger or older.
    stall_seconds
        An append that the disk has not confirmed after this time is refused.
    max_pending
        Appends that may wait; one more is refused at once.
    open_segment
        Opens a new segment; tests give one whose disk fails.
    """

    def __init__(
        self,
        directory: Path,
        *,
        segment_bytes: int = SEGMENT_BYTES,
        segment_seconds: float = SEGMENT_SECONDS,
        stall_seconds: float = STALL_SECONDS,
        max_pending: int = MAX_PENDING,
        open_segment: Callable[[Path], Segment] = Segment,
    ) -> None:
        self.directory = directory
        self._limits = (segment_bytes, segment_seconds)
        self._stall_seconds = stall_seconds
        self._max_pending = max_pending
        self._open_segment = open_segment
        self._encoder = msgspec.json.Encoder()
        self._gathered: list[_Append] = []
        self._pending: list[_Append] = []
        self._changed = threading.Condition()
        self._is_closing = False
        self._failure: str | None = None
        self._segment: Segment | None = None
        self._unanswered: dict[asyncio.Future[None], float] = {}
        self._lock_descriptor: int | None = None
        self._thread = threading.Thread(target=self._write_batches, name="decision-log", daemon=True)
        self._watch: asyncio.TimerHandle | None = None

    def open(self) -> int:
        """Take the folder, cut a torn tail and start to write; returns the bytes that were cut.

        Raises
        ------
        ContractError
            If another process writes to this folder, or it cannot be written to.
        """
        try:
            self.directory.mkdir(parents=True, exist_ok=True, mode=0o700)
            self._lock_descriptor = os.open(self.directory / ".lock", os.O_RDWR | os.O_CREAT, 0o600)
            fcntl.flock(self._lock_descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise ContractError(
                f"Expected a decision log of its own, but another server writes to it; give this one another "
                f"SERVING_LOG_DIR - at {self.directory}"
            ) from None
        except OSError as error:
            raise ContractError(
                f"Expected a folder that can be written to, got {error.strerror} - at {self.directory}"
            ) from error
        cut = mend_tail(self.directory)
        self._thread.start()
        return cut

    @property
    def failure(self) -> str | None:
        """Why appends are refused at present, ``None`` while they are not."""
        if self._failure is None and self.lag_seconds > self._stall_seconds:
            return f"the disk has not answered for {self.lag_seconds:.0f} s"
        if self._failure is None and not self._thread.is_alive():
            return "the log is not open"
        return self._failure

    @property
    def lag_seconds(self) -> float:
        """Age of the oldest append that the disk has not confirmed."""
        oldest = next(iter(self._unanswered.values()), None)
        return 0.0 if oldest is None else time.monotonic() - oldest

    async def append(self, record: DecisionRecord) -> None:
        """Return once the record is on the disk.

        Raises
        ------
        LogUnavailableError
            If it could not be written, or the disk did not answer in time (it may then still appear in the log).
        """
        if self._failure is not None or len(self._unanswered) >= self._max_pending or not self._thread.is_alive():
            raise LogUnavailableError("Expected to record the decision, but the decision log cannot be written")
        loop = asyncio.get_running_loop()
        answered = loop.create_future()
        self._unanswered[answered] = time.monotonic()
        if self._watch is None:
            self._watch = loop.call_later(_WATCH_SECONDS, self._refuse_stalled)
        if not self._gathered:
            # Handed over once for all that the loop takes in this turn: waking the writer costs more than a score.
            loop.call_soon(self._hand_over)
        self._gathered.append(_Append(self._encoder.encode(record) + b"\n", answered, loop))
        try:
            await answered
        finally:
            self._unanswered.pop(answered, None)

    def close(self) -> None:
        """Write what is pending, seal, and give the folder up; call it off the event loop's thread."""
        self._hand_over()
        with self._changed:
            self._is_closing = True
            self._changed.notify()
        if self._thread.is_alive():
            self._thread.join()
        if self._lock_descriptor is not None:
            os.close(self._lock_descriptor)
            self._lock_descriptor = None

    def _hand_over(self) -> None:
        gathered, self._gathered = self._gathered, []
        with self._changed:
            self._pending += gathered
            self._changed.notify()

    def _refuse_stalled(self) -> None:
        """Refuse, on the event loop, the appends that have waited too long; again while any waits."""
        self._watch = None
        now = time.monotonic()
        for answered, since in list(self._unanswered.items()):
            if now - since < self._stall_seconds:
                break
            _resolve([answered], LogUnavailableError("Expected to record the decision, but the disk does not answer"))
        if self._unanswered:
            self._watch = asyncio.get_running_loop().call_later(_WATCH_SECONDS, self._refuse_stalled)

    def _write_batches(self) -> None:
        while True:
            batch = self._next_batch()
            if batch:
                self._write(batch)
            elif self._is_closing:
                break
            elif self._failure is not None:
                self._probe()
            self._rotate_if_due()
        if self._segment is not None:
            self._segment.close()

    def _next_batch(self) -> list[_Append]:
        with self._changed:
            self._changed.wait_for(lambda: self._pending or self._is_closing, timeout=_PROBE_SECONDS)
            batch, self._pending = self._pending, []
        return batch

    def _write(self, batch: list[_Append]) -> None:
        refusal = None
        try:
            if self._segment is None:
                self._segment = self._new_segment()
            self._segment.append(b"".join(append.line for append in batch))
            self._failure = None
        except OSError as error:
            self._abandon_segment(error)
            refusal = LogUnavailableError("Expected to record the decision, but the decision log cannot be written")
        # All appends of a batch come from the one loop that serves; it is closed if the server was torn down hard.
        with contextlib.suppress(RuntimeError):
            batch[0].loop.call_soon_threadsafe(_resolve, [append.answered for append in batch], refusal)

    def _abandon_segment(self, error: OSError) -> None:
        """After a failed write or sync nothing is known of the pages behind it: go on in a new segment."""
        self._failure = f"{error.strerror or type(error).__name__}"
        if self._segment is not None:
            self._segment.abandon()
        self._segment = None

    def _probe(self) -> None:
        """See whether the disk takes bytes again, since no request comes to a server that is not ready."""
        path = self.directory / ".probe"
        try:
            with path.open("wb") as probe:
                probe.write(bytes(_PROBE_BYTES))
                probe.flush()
                os.fsync(probe.fileno())
            self._failure = None
        except OSError as error:
            self._failure = f"{error.strerror or type(error).__name__}"
        finally:
            with contextlib.suppress(OSError):
                path.unlink()

    def _rotate_if_due(self) -> None:
        segment_bytes, segment_seconds = self._limits
        segment = self._segment
        if segment is None or segment.size == 0:
            return
        if segment.size >= segment_bytes or time.monotonic() - segment.began_at >= segment_seconds:
            segment.close()
            self._segment = None
            try:
                self._segment = self._new_segment()
            except OSError as error:
                self._abandon_segment(error)

    def _new_segment(self) -> Segment:
        return self._open_segment(self.directory / segment_name(next_number(self.directory)))


def _resolve(answered: list["asyncio.Future[None]"], refusal: LogUnavailableError | None) -> None:
    for future in answered:
        if future.done():
            continue
        if refusal is None:
            future.set_result(None)
        else:
            future.set_exception(refusal)
