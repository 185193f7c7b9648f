"""Failures of the disk and of the database, told as something a person can mend."""

import errno
from pathlib import Path

from lifecycle.errors import LifecycleError

_FULL = ("no space left", "disk quota", "file too large", "max_temp_directory_size")
_HELD = ("could not set lock", "conflicting lock")
_FORBIDDEN = ("permission denied", "read-only file system", "operation not permitted")
_BROKEN = ("not a valid duckdb", "corrupt", "checksum", "different version", "newer version of duckdb")


def as_lifecycle_error(error: Exception, warehouse: Path) -> LifecycleError:
    """The same failure with what was expected, what came, where, and the remedy.

    Takes what the operating system or DuckDB raises for input and output; the text of theirs is kept only where it
    speaks of files, so that no value of a row is repeated.
    """
    number = error.errno if isinstance(error, OSError) else None
    text = str(error).lower()
    if number in (errno.ENOSPC, errno.EDQUOT, errno.EFBIG) or any(sign in text for sign in _FULL):
        return LifecycleError(
            f"Expected room to write, got a full disk or a reached quota - at {warehouse.parent}. "
            "Make room, then run the same command again: what was done is known and not done twice."
        )
    if number in (errno.EACCES, errno.EPERM, errno.EROFS) or any(sign in text for sign in _FORBIDDEN):
        return LifecycleError(
            f"Expected leave to read and write, got permission denied - at {warehouse}. "
            "Give this user the folder, or set LIFECYCLE_HOME to one that is theirs."
        )
    if any(sign in text for sign in _HELD):
        return LifecycleError(
            "Expected the warehouse to be free, got one opened by a program that does not take its lock "
            f"- at {warehouse}. Close that program (a DuckDB shell, a notebook), then run the same command again."
        )
    if "out of memory" in text or "failed to allocate" in text:
        return LifecycleError(
            f"Expected the step to fit into the memory limit, got out of memory - at {warehouse}. "
            "Raise LIFECYCLE_DUCKDB_MEMORY_LIMIT, or lower LIFECYCLE_DUCKDB_THREADS."
        )
    if any(sign in text for sign in _BROKEN):
        return LifecycleError(
            f"Expected a DuckDB file that this version reads, got one it cannot - at {warehouse}. "
            "Restore it from a backup, or move it away and load again."
        )
    return LifecycleError(f"Expected a usable warehouse, got {type(error).__name__}: {error} - at {warehouse}")
