"""Translates disk and DuckDB errors into errors with a remedy."""

import errno
from pathlib import Path

from lifecycle.errors import LifecycleError

_FULL = ("no space left", "disk quota", "file too large", "max_temp_directory_size")
_LOCKED = ("could not set lock", "conflicting lock")
_FORBIDDEN = ("permission denied", "read-only file system", "operation not permitted")
_BROKEN = ("not a valid duckdb", "corrupt", "checksum", "different version", "newer version of duckdb")


def as_lifecycle_error(error: Exception, warehouse: Path) -> LifecycleError:
    """The failure with the expectation, the cause, the path and the remedy.

    Accepts input and output errors of the operating system and of DuckDB. Their text is kept only if it describes
    files, so that the message contains no value of a row.
    """
    number = error.errno if isinstance(error, OSError) else None
    text = str(error).lower()
    if number in (errno.ENOSPC, errno.EDQUOT, errno.EFBIG) or any(sign in text for sign in _FULL):
        return LifecycleError(
            f"Expected free disk space, got a full disk or an exceeded quota - at {warehouse.parent}. "
            "Free some space, then run the same command again: completed work is not repeated."
        )
    if number in (errno.EACCES, errno.EPERM, errno.EROFS) or any(sign in text for sign in _FORBIDDEN):
        return LifecycleError(
            f"Expected read and write permission, got permission denied - at {warehouse}. "
            "Grant this user access to the folder, or set LIFECYCLE_HOME to another one."
        )
    if any(sign in text for sign in _LOCKED):
        return LifecycleError(
            "Expected an unlocked warehouse, got one opened by a program that does not use its lock file "
            f"- at {warehouse}. Close that program (a DuckDB shell, a notebook), then run the same command again."
        )
    if "out of memory" in text or "failed to allocate" in text:
        return LifecycleError(
            f"Expected the step to fit into the memory limit, got an out-of-memory error - at {warehouse}. "
            "Raise LIFECYCLE_DUCKDB_MEMORY_LIMIT, or lower LIFECYCLE_DUCKDB_THREADS."
        )
    if any(sign in text for sign in _BROKEN):
        return LifecycleError(
            f"Expected a DuckDB file that this version can read, got an unreadable one - at {warehouse}. "
            "Restore it from a backup, or move it away and load again."
        )
    return LifecycleError(f"Expected a usable warehouse, got {type(error).__name__}: {error} - at {warehouse}")
