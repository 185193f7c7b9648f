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
from serving.storage.durable import replacing
from serving.storage.locks import Lock, lock_file

logger = logging.getLogger(__name__)

FIRST_NOTICE_SECONDS = 1.0
NOTICE_EVERY_SECONDS = 10.0
POLL_SECONDS = 0.05

_locks: dict[Path, "WarehouseLock"] = {}
_locks_guard = threading.Lock()


class WarehouseLock:
    """Re-entrant exclusive lock of one warehouse file.

    While a process writes, DuckDB rejects every other process with an error, readers included; this lock makes them
    wait instead. Obtain it through `lock_of`: two objects for one file would not exclude each other.
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
                    self._release()
        finally:
            self._threads.release()

    def is_held_elsewhere(self) -> bool:
        """Whether another process holds the lock at this moment; does not wait."""
        if self._processes is not None:
            return False
        try:
            lock_file(Path(f"{self.warehouse}.lock"), is_waiting=False).release()
        except BlockingIOError:
            return True
        except OSError as error:
            raise as_lifecycle_error(error, self.warehouse) from error
        return False

    @property
    def descriptor(self) -> int | None:
        """The lock's open file, ``None`` while unlocked; a child that inherits it keeps the lock if its parent dies."""
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
