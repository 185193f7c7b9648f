"""Files that are on the disk when the call returns."""

import os
from pathlib import Path


def write_flushed(path: Path, content: bytes) -> None:
    """Make the new file `path`, mode 0600, and flush it; raises `OSError` if it is there or the disk fails."""
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with os.fdopen(descriptor, "wb") as file:
        file.write(content)
        file.flush()
        os.fsync(file.fileno())


def replace_flushed(path: Path, content: bytes) -> None:
    """Make `path` hold `content`, mode 0600, whole or not at all, whenever the machine stops; one writer at a time."""
    temporary = path.with_name(f".{path.name}.tmp")
    temporary.unlink(missing_ok=True)
    write_flushed(temporary, content)
    temporary.replace(path)
    flush_folder(path.parent)


def flush_folder(folder: Path) -> None:
    """Make the names in `folder` durable."""
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
