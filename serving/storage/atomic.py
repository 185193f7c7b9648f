"""Files and folders that appear whole or not at all, also when the process dies in between."""

import secrets
import shutil
from collections.abc import Mapping
from pathlib import Path

from serving.storage.crash_points import crash_point
from serving.storage.durable import flush_folder, write_flushed


def write_file(path: Path, content: bytes) -> None:
    """Replace `path` by `content`: a temporary file beside it, flushed to disk, then renamed."""
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f".{path.name}.{secrets.token_hex(4)}.tmp")
    try:
        write_flushed(temporary, content)
        crash_point("file.written")
        temporary.replace(path)
    finally:
        temporary.unlink(missing_ok=True)
    flush_folder(path.parent)


def write_folder(path: Path, files: Mapping[str, bytes]) -> None:
    """Make the folder `path` with `files`; nothing happens where it is there already.

    For folders that are named by their content: whoever comes second has the same content.
    """
    if path.exists():
        return
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f".{path.name}.{secrets.token_hex(4)}.tmp")
    temporary.mkdir(mode=0o700)
    try:
        for name, content in files.items():
            write_flushed(temporary / name, content)
        flush_folder(temporary)
        crash_point("folder.written")
        try:
            temporary.rename(path)
        except OSError:
            if not path.exists():
                raise
    finally:
        shutil.rmtree(temporary, ignore_errors=True)
    flush_folder(path.parent)
