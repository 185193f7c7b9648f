"""The thread that ships the log, and the thread that measures its backlog."""

import datetime as dt
import logging
import threading
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Final, Literal, NamedTuple

from serving.contract.documents import ContractError
from serving.log.shipping.folder import ShippedFolder
from serving.log.shipping.limited_log import LimitedLog
from serving.log.shipping.quarantine import QuarantinedRecord
from serving.log.shipping.sink import CAUSES, Cause, ShippingError, Sink

OverrunPolicy = Literal["refuse", "continue"]

POLL_SECONDS: Final = 0.5
BATCH_BYTES: Final = 1 << 20
LONGEST_PAUSE_SECONDS: Final = 30.0
STALL_SECONDS: Final = 60.0
STOP_SECONDS: Final = 5.0
_SECONDS_A_DAY: Final = 86_400.0

logger = logging.getLogger(__name__)


class Failure(NamedTuple):
    """Why an attempt to ship failed."""

    cause: Cause
    text: str


class Shipper:
    """Delivers every line of the given log folders at least once, from sealed and from open segments.

    The cursor of a folder moves after a delivery, so that a crash at any point repeats lines and loses none. Failures
    are retried with pauses that double up to `LONGEST_PAUSE_SECONDS`; the log gets one line a minute for each cause.

    Parameters
    ----------
    root
        The log's folder, to which segment names are relative.
    folders
        Folders to ship: that of this process, and those that no process writes to.
    sink
        Destination; used only on the shipper's thread.
    max_unshipped_bytes
        A larger backlog is an overrun; ``None`` for no limit. Measured every `poll_seconds`.
    on_overrun
        ``refuse``: `obstruct` is called with the cause, and with ``None`` once it is over; ``continue``: only counted.
    obstruct
        `DecisionLog.obstruct`.
    retention_days
        Delivered segments that were sealed longer ago are deleted, their seals kept; ``None`` keeps all.

    Attributes
    ----------
    lag_bytes
        Backlog in bytes at the last measurement.
    shipped_records, shipped_bytes
        Delivered since the start, including repeats.
    overruns
        How often `max_unshipped_bytes` was exceeded.
    deleted_segments
        Segments deleted by the retention.
    failures
        Failed attempts since the start, by cause.
    """

    def __init__(
        self,
        root: Path,
        folders: Sequence[Path],
        sink: Sink,
        *,
        max_unshipped_bytes: int | None = None,
        on_overrun: OverrunPolicy = "continue",
        obstruct: Callable[[str | None], None] | None = None,
        retention_days: float | None = None,
        poll_seconds: float = POLL_SECONDS,
        batch_bytes: int = BATCH_BYTES,
        stall_seconds: float = STALL_SECONDS,
    ) -> None:
        if on_overrun == "refuse" and obstruct is None:
            raise ValueError("Expected obstruct with on_overrun='refuse', got None")
        self.lag_bytes = self.shipped_records = self.shipped_bytes = self.overruns = self.deleted_segments = 0
        self.failures: dict[str, int] = dict.fromkeys(CAUSES, 0)
        self._folders = [ShippedFolder(root, folder) for folder in folders]
        self._sink = sink
        self._max_unshipped_bytes = max_unshipped_bytes
        self._obstruct = obstruct if on_overrun == "refuse" else None
        self._retention_days = retention_days
        self._poll_seconds = poll_seconds
        self._batch_bytes = batch_bytes
        self._stall_seconds = stall_seconds
        self._failure: str | None = None
        self._failing_since: float | None = None
        self._attempts_failed = 0
        self._log = LimitedLog(logger)
        self._busy_since: float | None = None
        self._is_over = False
        self._stopping = threading.Event()
        self._abandoned = threading.Event()
        self._shipping = threading.Thread(target=self._ship, name="log-shipper", daemon=True)
        self._watching = threading.Thread(target=self._watch, name="log-shipper-watch", daemon=True)

    @property
    def failure(self) -> str | None:
        """Why delivery fails at present; ``None`` while it works."""
        since = self._busy_since
        if since is not None and time.monotonic() - since > self._stall_seconds:
            return f"the destination has not answered for {time.monotonic() - since:.0f} s"
        return self._failure

    @property
    def quarantined(self) -> list[QuarantinedRecord]:
        """Records that the destination refuses because of their size."""
        return [record for folder in self._folders for record in folder.quarantined]

    def open(self) -> None:
        """Lock the folders and read their cursors.

        Raises
        ------
        ContractError
            If another process ships one of them, or one is not writable.
        """
        for index, folder in enumerate(self._folders):
            try:
                folder.open(self._sink.destination)
            except ContractError:
                for opened in self._folders[:index]:
                    opened.close()
                raise

    def start(self) -> None:
        """Open the folders and start the threads; raises as `open`."""
        self.open()
        self.measure()
        self._shipping.start()
        self._watching.start()

    def stop(self, timeout_seconds: float = STOP_SECONDS) -> None:
        """Deliver the rest, within the time limit, and stop. Close the log first, so that its last seal is included."""
        self._stopping.set()
        if self._shipping.is_alive():
            self._shipping.join(timeout_seconds)
            self._abandoned.set()
            self._shipping.join(self._poll_seconds)
        if self._watching.is_alive():
            self._watching.join()
        self.measure()
        if self._obstruct is not None:
            self._obstruct(None)
        if not self._shipping.is_alive():
            self._sink.close()
            for folder in self._folders:
                folder.close()

    def advance(self) -> int:
        """Deliver all complete lines; returns their number. Raises as `ShippedFolder.advance`."""
        lines = 0
        self._busy_since = time.monotonic()
        try:
            for folder in self._folders:
                for batch in folder.advance(self._sink, self._batch_bytes):
                    lines += batch.shipped
                    self.shipped_records += batch.shipped
                    self.shipped_bytes += batch.end - batch.offset
                    self._busy_since = time.monotonic()
                    if self._abandoned.is_set():
                        return lines
                self._delete_old(folder)
        finally:
            self._busy_since = None
        return lines

    def measure(self) -> None:
        """Measure the backlog, and start or end an overrun."""
        try:
            self.lag_bytes = sum(folder.unshipped_bytes() for folder in self._folders)
        except OSError:
            return  # a segment was deleted meanwhile
        limit = self._max_unshipped_bytes
        is_over = limit is not None and self.lag_bytes > limit
        if is_over and not self._is_over:
            self.overruns += 1
            logger.warning("shipping is behind: %d bytes are not delivered", self.lag_bytes)
        if self._obstruct is not None and is_over != self._is_over:
            self._obstruct(f"more than {limit} bytes of the log are not shipped" if is_over else None)
        self._is_over = is_over

    def _ship(self) -> None:
        pause = self._poll_seconds
        while True:
            is_last = self._stopping.is_set()
            failure = self._attempt()
            pause = self._poll_seconds if failure is None else min(pause * 2, LONGEST_PAUSE_SECONDS)
            self._note(failure)
            if is_last:
                return
            self._stopping.wait(pause)

    def _attempt(self) -> Failure | None:
        """Deliver all complete lines; returns the cause of a failure."""
        try:
            self.advance()
        except ShippingError as error:
            return Failure(error.cause, str(error))
        except ContractError as error:
            return Failure("log", str(error))
        except OSError as error:
            return Failure("log", error.strerror or type(error).__name__)
        except Exception as error:  # a sink's bug must not end the thread; its text may hold values
            return Failure("other", f"{type(error).__name__} in {type(self._sink).__name__}")
        return None

    def _note(self, failure: Failure | None) -> None:
        now = time.monotonic()
        if failure is not None:
            self.failures[failure.cause] += 1
            self._attempts_failed += 1
            self._failing_since = now if self._failing_since is None else self._failing_since
            text = f"shipping failed and is retried ({failure.cause}): {failure.text}"
            self._log.write(logging.WARNING, failure.cause, text)
        elif self._failing_since is not None:
            seconds, failed = now - self._failing_since, self._attempts_failed
            # If shipping keeps failing and recovering, the next such line counts on.
            if self._log.write(
                logging.INFO, "recovered", f"shipping works again; in {seconds:.0f} s {failed} attempts failed"
            ):
                self._failing_since, self._attempts_failed = None, 0
        self._failure = None if failure is None else failure.text

    def _watch(self) -> None:
        while not self._stopping.wait(self._poll_seconds):
            self.measure()

    def _delete_old(self, folder: ShippedFolder) -> None:
        if self._retention_days is not None:
            age = dt.timedelta(seconds=self._retention_days * _SECONDS_A_DAY)
            self.deleted_segments += folder.delete_older(dt.datetime.now(dt.UTC) - age)
