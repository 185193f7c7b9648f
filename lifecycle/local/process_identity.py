"""Identity of a process: its number is used again after its end, so its start time belongs to it."""

import os
from pathlib import Path

_START_FIELD = 18
"""Position of the start time after the state in ``/proc/<pid>/stat``, where it is field 22 (proc(5))."""


def identity_of(pid: int) -> str | None:
    """The boot and the clock tick at which a process started; ``None`` if it has ended."""
    ticks = _start_ticks(pid)
    boot = Path("/proc/sys/kernel/random/boot_id").read_text().strip()
    return None if ticks is None else f"{boot}:{ticks}"


def started_at(pid: int) -> float | None:
    """Unix time at which a process started, to about a second; ``None`` if it has ended."""
    ticks = _start_ticks(pid)
    if ticks is None:
        return None
    boot_line = next(line for line in Path("/proc/stat").read_text().splitlines() if line.startswith("btime "))
    return int(boot_line.split()[1]) + ticks / os.sysconf("SC_CLK_TCK")


def name_of(pid: int) -> str:
    """The command line of a process, shortened; its number if it cannot be read."""
    try:
        words = Path(f"/proc/{pid}/cmdline").read_bytes().decode(errors="replace").split("\0")
    except OSError:
        return f"process {pid}"
    return f"process {pid} ({' '.join(words).strip()[:120]})"


def _start_ticks(pid: int) -> int | None:
    try:
        text = Path(f"/proc/{pid}/stat").read_text()
    except (FileNotFoundError, ProcessLookupError):
        return None
    # The name is in parentheses and may contain any character.
    state, *fields = text.rpartition(")")[2].split()
    return None if state in {"Z", "X"} else int(fields[_START_FIELD])
