"""Checks that the warehouse file can be opened and written."""

import os
from dataclasses import asdict, dataclass
from typing import Any

from lifecycle.errors import LifecycleError
from lifecycle.settings.platform import Settings
from lifecycle.warehouse import open_warehouse


@dataclass(frozen=True)
class FileCheck:
    """Path and size of the file; `size_bytes` is ``None`` if it does not exist yet."""

    path: str
    size_bytes: int | None

    def as_document(self) -> dict[str, Any]:
        """Plain JSON types."""
        return asdict(self) | {"is_ready": True}


def check_file(settings: Settings) -> FileCheck:
    """Write to the file in a transaction that is rolled back; does not create the file.

    Raises
    ------
    LifecycleError
        If the file, or the folder of a missing file, cannot be written.
    """
    path = settings.warehouse_path
    if not path.exists():
        folder = next(parent for parent in path.parents if parent.exists())
        if not (folder.is_dir() and os.access(folder, os.W_OK | os.X_OK)):
            raise LifecycleError(
                f"Expected a writable folder, got one without write permission - at {folder}. "
                "Grant this user write access, or set LIFECYCLE_HOME to another folder."
            )
        return FileCheck(str(path), None)
    if not os.access(path, os.W_OK):
        raise LifecycleError(
            f"Expected a writable file, got one without write permission - at {path}. Grant this user write access."
        )
    with open_warehouse(settings).session("checking the warehouse") as session:
        session.execute("begin transaction")
        session.execute("create table raw.written_by_check (moment timestamp)")
        session.execute("rollback")
    return FileCheck(str(path), path.stat().st_size)
