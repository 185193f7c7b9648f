"""Private folders for unfinished work, locked while in use; what a killed process left is removed by the next one."""

import secrets
import shutil
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from serving.storage.locks import lock_folder


@contextmanager
def temporary_folder(root: Path) -> Iterator[Path]:
    """A new folder with mode 0700 below `root`, for the block; what the block leaves of it is removed.

    `root` is made if it is missing. A child process that inherits the descriptor of the lock keeps the folder in use.
    """
    root.mkdir(parents=True, exist_ok=True, mode=0o700)
    folder = root / f".{secrets.token_hex(8)}.tmp"
    with lock_folder(root):
        _remove_abandoned(root)
        folder.mkdir(mode=0o700)
        lock = lock_folder(folder)
    with lock:
        try:
            yield folder
        finally:
            shutil.rmtree(folder, ignore_errors=True)


def _remove_abandoned(root: Path) -> None:
    """Remove the temporary folders below `root` that no process locks. Call it under the lock of `root`."""
    for folder in root.glob(".*.tmp/"):
        # BlockingIOError: in use. FileNotFoundError: its process has just removed it.
        with suppress(BlockingIOError, FileNotFoundError), lock_folder(folder, is_waiting=False):
            shutil.rmtree(folder, ignore_errors=True)
