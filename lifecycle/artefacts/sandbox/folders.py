"""Folders of sandboxes below ``LIFECYCLE_HOME/sandboxes``: private, locked while in use, then removed."""

import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from serving.storage.locks import lock_folder


@contextmanager
def sandbox_folder(root: Path) -> Iterator[Path]:
    """A new folder below `root` with mode 0700; it is removed at the end of the block.

    The folder holds holdout rows in the log of its server, hence not in a folder that others share. Folders that no
    process locks are removed first: their process was killed together with the child that removes them.
    """
    root.mkdir(parents=True, exist_ok=True, mode=0o700)
    with lock_folder(root):
        _remove_abandoned(root)
        folder = Path(tempfile.mkdtemp(dir=root))
        lock = lock_folder(folder)
    with lock:
        try:
            yield folder
        finally:
            shutil.rmtree(folder, ignore_errors=True)


def _remove_abandoned(root: Path) -> None:
    for folder in root.iterdir():
        try:
            lock = lock_folder(folder, is_waiting=False)
        except OSError:  # in use, or removed meanwhile
            continue
        with lock:
            shutil.rmtree(folder, ignore_errors=True)
