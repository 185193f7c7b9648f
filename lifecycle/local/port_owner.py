"""The process that listens on a port of this machine."""

from pathlib import Path

_LISTENING = "0A"
_ADDRESS, _STATE, _INODE = 1, 3, 9


def listener_on(port: int) -> int | None:
    """Number of the process that listens on a TCP port; ``None`` without one, or if it is another user's."""
    inodes = {inode for table in ("tcp", "tcp6") for inode in _listening_inodes(Path("/proc/net") / table, port)}
    wanted = {f"socket:[{inode}]" for inode in inodes}
    for process in Path("/proc").glob("[0-9]*"):
        try:
            if any(str(file.readlink()) in wanted for file in (process / "fd").iterdir()):
                return int(process.name)
        except OSError:
            continue  # it has ended, or belongs to another user
    return None


def _listening_inodes(table: Path, port: int) -> list[str]:
    try:
        rows = [line.split() for line in table.read_text().splitlines()[1:]]
    except OSError:
        return []
    return [
        row[_INODE] for row in rows if row[_STATE] == _LISTENING and int(row[_ADDRESS].rpartition(":")[2], 16) == port
    ]
