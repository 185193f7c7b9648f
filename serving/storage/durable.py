"""Atomic and durable files and folders: complete or absent after a crash at any point.

=================  ===================================================================================
`write_file`       replace a file's content
`write_folder`     create a folder that is named by its content
`create_once`      create a file that is never replaced; of several concurrent writers one wins
`replacing`        the rename alone, for content that a library writes to a path
=================  ===================================================================================

Files have mode 0600 from the moment they are created.
"""

import os
import secrets
import shutil
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import IO

from serving.storage.crash_points import crash_point


@contextmanager
def replacing(path: Path, *, is_sole_writer: bool = False) -> Iterator[Path]:
    """Yield a temporary path in the same folder, and rename it to `path` unless the block raises.

    Nothing is flushed, and the caller creates the temporary file.

    Parameters
    ----------
    is_sole_writer
        No other process writes `path` at the same time. The temporary name is then fixed, so that the next write
        removes what a killed process left.
    """
    temporary = path.with_name(f".{path.name}.tmp") if is_sole_writer else _temporary(path)
    temporary.unlink(missing_ok=True)
    try:
        yield temporary
        temporary.replace(path)
    finally:
        temporary.unlink(missing_ok=True)


def write_file(path: Path, content: bytes, *, is_sole_writer: bool = False) -> None:
    """Replace the content of `path` atomically and durably; `is_sole_writer` as in `replacing`."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with replacing(path, is_sole_writer=is_sole_writer) as temporary:
        write_flushed(temporary, content)
        crash_point("file.written")
    flush_path(path.parent)


def write_folder(path: Path, files: Mapping[str, bytes], *, is_replacing: bool = False) -> None:
    """Create the folder `path` with `files`; by default a folder that exists stays as it is.

    For folders that are named by their content: a second writer has the same content.
    """
    if path.exists() and not is_replacing:
        return
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = _temporary(path)
    temporary.mkdir(mode=0o700)
    try:
        for name, content in files.items():
            write_flushed(temporary / name, content)
        flush_path(temporary)
        crash_point("folder.written")
        if is_replacing:
            shutil.rmtree(path, ignore_errors=True)
        try:
            temporary.rename(path)
        except OSError:
            if not path.exists():
                raise
    finally:
        shutil.rmtree(temporary, ignore_errors=True)
    flush_path(path.parent)


def create_once(path: Path, content: bytes, point: str) -> bool:
    """Create `path` with `content` atomically and durably; ``False`` if it exists, which changes nothing.

    A hard link gives the temporary file its name: unlike a rename, it never replaces an existing file. `point` prefixes
    the crash points ``<point>.written`` and ``<point>.linked``.
    """
    path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    temporary = _temporary(path)
    try:
        write_flushed(temporary, content)
        crash_point(f"{point}.written")
        try:
            os.link(temporary, path)
        except (FileExistsError, FileNotFoundError):
            # Not found: the winner of this name has removed our temporary file (`remove_abandoned`).
            if not path.exists():
                raise
            return False
        crash_point(f"{point}.linked")
    finally:
        temporary.unlink(missing_ok=True)
    flush_path(path.parent)
    return True


def remove_abandoned(folder: Path, names: set[str]) -> None:
    """Remove the temporary files that killed writers of `names` left in `folder`."""
    for temporary in folder.glob(".*.tmp"):
        if temporary.name[1:].rsplit(".", 2)[0] in names:
            temporary.unlink(missing_ok=True)


def rename_flushed(source: Path, path: Path) -> None:
    """Rename a file or folder whose content is on the disk, and flush the new name."""
    source.rename(path)
    flush_path(path.parent)


def write_flushed(path: Path, content: bytes) -> None:
    """Create the file `path` with mode 0600 and flush it; raises `FileExistsError` if it exists. Not atomic."""
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with os.fdopen(descriptor, "wb") as file:
        file.write(content)
        flush_file(file)


def flush_file(file: IO[bytes]) -> None:
    """Return once the disk has all that was written to an open file."""
    file.flush()
    os.fsync(file.fileno())


def flush_content(descriptor: int) -> None:
    """Return once the disk has a file's content and length; cheaper than `flush_file`, which adds its times."""
    os.fdatasync(descriptor)


def flush_path(path: Path) -> None:
    """Return once the disk has a file's content, or the names in a folder."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _temporary(path: Path) -> Path:
    return path.with_name(f".{path.name}.{secrets.token_hex(4)}.tmp")
