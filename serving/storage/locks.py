"""Exclusive locks between processes and threads, by ``flock``; the system releases them when their process ends."""

import fcntl
import os
from pathlib import Path
from types import TracebackType
from typing import Self


class Lock:
    """A lock that is held until `release`, or until the ``with`` block ends.

    A child process that inherits `descriptor` keeps the lock if this process is killed.
    """

    def __init__(self, descriptor: int, is_waiting: bool) -> None:
        self.descriptor = descriptor
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX if is_waiting else fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BaseException:
            os.close(descriptor)
            raise

    def release(self) -> None:
        """Release the lock; call it once."""
        os.close(self.descriptor)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.release()


def lock_file(path: Path, *, is_waiting: bool = True) -> Lock:
    """Lock a file, which is created if it is missing, with mode 0600.

    Raises
    ------
    BlockingIOError
        If another process or thread holds the lock and this call does not wait.
    """
    return Lock(os.open(path, os.O_RDWR | os.O_CREAT, 0o600), is_waiting)


def lock_folder(folder: Path, *, is_waiting: bool = True) -> Lock:
    """Lock a folder that exists; raises as `lock_file`."""
    return Lock(os.open(folder, os.O_RDONLY | os.O_DIRECTORY), is_waiting)
