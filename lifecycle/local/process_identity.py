"""Identity of a process: its number is used again after its end, so its start time belongs to it."""

import os
from pathlib import Path

_GROUP_FIELD, _START_FIELD = 1, 18
"""Positions of the process group and the start time after the state in ``/proc/<pid>/stat``, where they are fields 5
and 22 (proc(5))."""


def identity_of(pid: int) -> str | None:
    """The boot and the clock tick at which a process started; ``None`` if it has ended."""
    ticks = _start_ticks(pid)
    return None if ticks is None else f"{_boot()}:{ticks}"


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


def left_in_group(leader: int, identity: str) -> list[int]:
    """Processes of a group whose leader has ended, by the leader's number and identity.

    The kernel gives a number to no other process while a group has it. A group without a leader that began before the
    leader, or in another boot, is another one.
    """
    boot, _, started = identity.rpartition(":")
    if not started.isdecimal() or boot != _boot() or _fields(leader) is not None:
        return []
    members = [
        (int(path.name), fields)
        for path in Path("/proc").iterdir()
        if path.name.isdecimal()
        and (fields := _fields(int(path.name))) is not None
        and int(fields[_GROUP_FIELD]) == leader
    ]
    return [pid for pid, fields in members if int(fields[_START_FIELD]) >= int(started)]


def _boot() -> str:
    return Path("/proc/sys/kernel/random/boot_id").read_text().strip()


def _start_ticks(pid: int) -> int | None:
    fields = _fields(pid)
    return None if fields is None else int(fields[_START_FIELD])


def _fields(pid: int) -> list[str] | None:
    """Fields after the state of a process; ``None`` if it has ended."""
    try:
        text = Path(f"/proc/{pid}/stat").read_text()
    except (FileNotFoundError, ProcessLookupError):
        return None
    # The name is in parentheses and may contain any character.
    state, *fields = text.rpartition(")")[2].split()
    return None if state in {"Z", "X"} else fields
