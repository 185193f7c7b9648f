"""Files that are made once and never replaced: of two writers one wins, and the other is told."""

import os
import secrets
from pathlib import Path

from serving.storage.crash_points import crash_point
from serving.storage.durable import flush_folder, write_flushed


def write_new(path: Path, content: bytes, point: str) -> bool:
    """Make `path` with `content`, whole and flushed to disk; ``False`` where somebody made it before, which stands.

    The content goes to a temporary file beside `path`, which is then hard-linked to its name: unlike a rename, a link
    never replaces what is there. `point` names the crash points ``<point>.written`` and ``<point>.linked``.
    """
    path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    temporary = path.with_name(f".{path.name}.{secrets.token_hex(4)}.tmp")
    try:
        write_flushed(temporary, content)
        crash_point(f"{point}.written")
        try:
            os.link(temporary, path)
        except (FileExistsError, FileNotFoundError):
            # Not found: the winner of this name has tidied our temporary file away (`remove_abandoned`).
            if not path.exists():
                raise
            return False
        crash_point(f"{point}.linked")
    finally:
        temporary.unlink(missing_ok=True)
    flush_folder(path.parent)
    return True


def remove_abandoned(folder: Path, names: set[str]) -> None:
    """Remove the temporary files that writers of `names` left behind when they died."""
    for temporary in folder.glob(".*.tmp"):
        if temporary.name[1:].rsplit(".", 2)[0] in names:
            temporary.unlink(missing_ok=True)
