"""Whether the warehouse's file can be opened and written."""

import os
from dataclasses import asdict, dataclass
from typing import Any

from lifecycle.errors import LifecycleError
from lifecycle.settings.platform import Settings
from lifecycle.warehouse import open_warehouse


@dataclass(frozen=True)
class FileCheck:
    """Where the file is; `size_bytes` is ``None`` where it is made at first use."""

    path: str
    size_bytes: int | None

    def as_document(self) -> dict[str, Any]:
        """Plain JSON types."""
        return asdict(self) | {"is_ready": True}


def check_file(settings: Settings) -> FileCheck:
    """Open the file for writing and write into it, in a transaction that is rolled back; makes no file.

    Raises
    ------
    LifecycleError
        If the file, or the folder that it will be made in, cannot be opened or written.
    """
    path = settings.warehouse_path
    if not path.exists():
        folder = next(parent for parent in path.parents if parent.exists())
        if not (folder.is_dir() and os.access(folder, os.W_OK | os.X_OK)):
            raise LifecycleError(
                f"Expected a folder that can be written, got one that cannot - at {folder}. "
                "Give it to the user that runs this, or set LIFECYCLE_HOME to another place."
            )
        return FileCheck(str(path), None)
    if not os.access(path, os.W_OK):
        raise LifecycleError(
            f"Expected a file that can be written, got one that cannot - at {path}. Give it to the user that runs this."
        )
    with open_warehouse(settings).session("checking the warehouse") as session:
        session.execute("begin transaction")
        session.execute("create table raw.written_by_check (moment timestamp)")
        session.execute("rollback")
    return FileCheck(str(path), path.stat().st_size)
