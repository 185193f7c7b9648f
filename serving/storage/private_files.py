"""Files that only their owner can read: the umask of every program, and the repair of folders made without it."""

import os
import stat
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

_UMASK = 0o077
OTHERS = 0o077
"""Permission bits of everybody but the owner."""


def keep_files_private() -> None:
    """Give every file that this process and its children create mode 0600, and every folder 0700.

    Libraries create most of the files (DuckDB, SQLite, dbt, MLflow), and none of them takes a mode.
    """
    os.umask(_UMASK)


@dataclass(frozen=True)
class Repair:
    """Result of `make_private`."""

    files: int
    folders: int
    failed: tuple[Path, ...]
    """Paths that this user may not change."""


def is_open_to_others(folder: Path) -> bool:
    """Whether others have a permission on the folder or an entry directly in it; ``False`` if it does not exist.

    One listing, cheap enough for every command: a folder that is closed to others protects what is below.
    """
    try:
        with os.scandir(folder) as entries:
            listed = [entry.stat(follow_symlinks=False).st_mode for entry in entries]
        return any(_is_open(mode) for mode in (folder.stat().st_mode, *listed))
    except OSError:
        return False


def make_private(folder: Path, excluded: Path | None = None) -> Repair:
    """Take every permission of others from the folder and all that is in it but `excluded`; links are not followed.

    A path that cannot be changed is reported, not raised: the repair must not stop a command.
    """
    files, folders = 0, 0
    failed: list[Path] = []
    for path in _walk(folder, excluded):
        try:
            mode = path.lstat().st_mode
            if not _is_open(mode):
                continue
            path.chmod(stat.S_IMODE(mode) & ~OTHERS)
        except FileNotFoundError:
            continue  # a temporary file of a running process
        except OSError:
            failed.append(path)
            continue
        folders += stat.S_ISDIR(mode)
        files += not stat.S_ISDIR(mode)
    return Repair(files, folders, tuple(failed))


def _walk(folder: Path, excluded: Path | None) -> Iterator[Path]:
    yield folder
    for parent, folders, names in os.walk(folder):
        folders[:] = [name for name in folders if Path(parent, name) != excluded]
        yield from (Path(parent, name) for name in (*folders, *names))


def _is_open(mode: int) -> bool:
    return not stat.S_ISLNK(mode) and bool(mode & OTHERS)
