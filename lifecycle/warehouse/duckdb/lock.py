"""Serialises access to the warehouse file across processes and threads; a waiting process logs the holder."""

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

logger = logging.getLogger(__name__)

FIRST_NOTICE_SECONDS = 1.0
NOTICE_EVERY_SECONDS = 10.0

_locks: dict[Path, "WarehouseLock"] = {}
_locks_guard = threading.Lock()


class WarehouseLock:
    """Re-entrant exclusive lock of one warehouse file.

    While a process writes, DuckDB rejects every other process with an error, readers included; this lock makes them
    wait instead. Obtain it through `lock_of`: two objects for one file would not exclude each other.
    """

    def __init__(self, warehouse: Path) -> None:
        from filelock import FileLock  # takes 0.1 s

        self.warehouse = warehouse
        self.open_connections = 0
        self._depth = 0
        self._threads = threading.RLock()
        self._processes = FileLock(f"{warehouse}.lock", thread_local=False)
        self._holder = Path(f"{warehouse}.holder")

    @contextmanager
    def hold(self, purpose: str) -> Iterator[None]:
        """Wait without a time limit for the warehouse and hold it for the block.

        After one second, and then every ten seconds, a warning names the holder's process and purpose.
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
                    self._processes.release()
        finally:
            self._threads.release()

    @property
    def descriptor(self) -> int | None:
        """The lock's open file, ``None`` while unlocked; a child that inherits it keeps the lock if its parent dies."""
        # filelock has no public name for the descriptor.
        descriptor: int | None = self._processes._context.lock_file_fd
        return descriptor

    def _wait_for_threads(self, purpose: str) -> None:
        started, pause = time.monotonic(), FIRST_NOTICE_SECONDS
        while not self._threads.acquire(timeout=pause):
            self._notice(purpose, time.monotonic() - started)
            pause = NOTICE_EVERY_SECONDS

    def _wait_for_processes(self, purpose: str) -> None:
        from filelock import Timeout

        started, pause = time.monotonic(), FIRST_NOTICE_SECONDS
        while True:
            try:
                self._processes.acquire(timeout=pause, poll_interval=0.05)
                break
            except Timeout:
                self._notice(purpose, time.monotonic() - started)
                pause = NOTICE_EVERY_SECONDS
            except OSError as error:
                raise as_lifecycle_error(error, self.warehouse) from error
        try:
            self._write_holder(purpose)
        except OSError as error:
            self._processes.release()
            raise as_lifecycle_error(error, self.warehouse) from error

    def _write_holder(self, purpose: str) -> None:
        since = dt.datetime.now(dt.UTC).isoformat(timespec="seconds")
        temporary = self._holder.with_name(f"{self._holder.name}.{os.getpid()}")
        temporary.write_text(json.dumps({"pid": os.getpid(), "purpose": purpose, "since": since}))
        temporary.replace(self._holder)

    def _notice(self, purpose: str, waited_seconds: float) -> None:
        logger.warning(
            "waiting for the warehouse for %.0f s to continue with %r: held by %s - at %s",
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
            return "an unknown process"


def lock_of(warehouse: Path) -> WarehouseLock:
    """This process's lock of the file."""
    with _locks_guard:
        if warehouse not in _locks:
            _locks[warehouse] = WarehouseLock(warehouse)
        return _locks[warehouse]
