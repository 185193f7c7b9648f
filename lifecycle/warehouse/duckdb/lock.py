"""A lock that serialises access to the warehouse file; a waiting process logs the holder's PID."""

import datetime as dt
import json
import logging
import os
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from lifecycle.warehouse.failures import as_lifecycle_error
from serving.storage.durable import replacing
from serving.storage.locks import Lock, lock_file

logger = logging.getLogger(__name__)

FIRST_NOTICE_SECONDS = 1.0
NOTICE_EVERY_SECONDS = 10.0
POLL_SECONDS = 0.05

_locks: dict[Path, "WarehouseLock"] = {}
_locks_guard = threading.Lock()


class WarehouseLock:
    """Exclusive use of one warehouse file; a thread that holds it may take it again.

    DuckDB's writer shuts out every other process, readers too, and answers them with an error at once; this lock
    makes them wait instead. Obtain it through `lock_of`: two objects for one file would not know of each other.
    """

    def __init__(self, warehouse: Path) -> None:
        self.warehouse = warehouse
        self.open_connections = 0
        self._depth = 0
        self._threads = threading.RLock()
        self._processes: Lock | None = None
        self._holder = Path(f"{warehouse}.holder")

    @contextmanager
    def hold(self, purpose: str) -> Iterator[None]:
        """Wait for the warehouse, however long it takes, and keep it for the block.

        After a second of waiting, and every ten from then on, a warning names the holder's process and purpose.
        """
        self._wait_for_threads(purpose)
        try:
            if self._depth == 0:
                self._wait_for_processes(purpose)
            self._depth += 1
            try:
                yield
            finally:
                self._depth -= 1
                if self._depth == 0:
                    self._holder.unlink(missing_ok=True)
                    self._release()
        finally:
            self._threads.release()

    @property
    def descriptor(self) -> int | None:
        """The lock's open file, ``None`` while it is free; a child that inherits it keeps the lock if we are killed."""
        return None if self._processes is None else self._processes.descriptor

    def _wait_for_threads(self, purpose: str) -> None:
        started, pause = time.monotonic(), FIRST_NOTICE_SECONDS
        while not self._threads.acquire(timeout=pause):
            self._notice(purpose, time.monotonic() - started)
            pause = NOTICE_EVERY_SECONDS

    def _wait_for_processes(self, purpose: str) -> None:
        started, notice_after = time.monotonic(), FIRST_NOTICE_SECONDS
        try:
            while self._processes is None:
                try:
                    self._processes = lock_file(Path(f"{self.warehouse}.lock"), is_waiting=False)
                except BlockingIOError:
                    waited = time.monotonic() - started
                    if waited >= notice_after:
                        self._notice(purpose, waited)
                        notice_after = waited + NOTICE_EVERY_SECONDS
                    time.sleep(POLL_SECONDS)
            self._write_holder(purpose)
        except OSError as error:
            self._release()
            raise as_lifecycle_error(error, self.warehouse) from error

    def _release(self) -> None:
        if self._processes is not None:
            self._processes.release()
            self._processes = None

    def _write_holder(self, purpose: str) -> None:
        since = dt.datetime.now(dt.UTC).isoformat(timespec="seconds")
        with replacing(self._holder, is_sole_writer=True) as written:
            written.write_text(json.dumps({"pid": os.getpid(), "purpose": purpose, "since": since}))

    def _notice(self, purpose: str, waited_seconds: float) -> None:
        logger.warning(
            "waiting for the warehouse since %.0f s to go on with %r: held by %s - at %s",
            waited_seconds,
            purpose,
            self._describe_holder(),
            self.warehouse,
        )

    def _describe_holder(self) -> str:
        try:
            holder = json.loads(self._holder.read_text())
            return f"process {holder['pid']} for {holder['purpose']!r} since {holder['since']}"
        except (OSError, ValueError, KeyError):
            return "a process that has not said which"


def lock_of(warehouse: Path) -> WarehouseLock:
    """The one lock of this file in this process."""
    with _locks_guard:
        if warehouse not in _locks:
            _locks[warehouse] = WarehouseLock(warehouse)
        return _locks[warehouse]
