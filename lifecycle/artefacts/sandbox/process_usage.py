"""Processor time and memory of another process, from the operating system."""

import ctypes
import os
import subprocess
import time
from pathlib import Path

from lifecycle.settings.child_environment import child_environment


def cpu_seconds(pid: int) -> float:
    """Processor time that a process has used, all threads together, in seconds; waiting for a processor is not in it.

    By POSIX's ``clock_getcpuclockid``, in nanoseconds, where ``/proc/PID/stat`` counts hundredths of a second.

    Raises
    ------
    OSError
        If the process has ended, or the system has no such clock.
    """
    clock = ctypes.c_int()
    # A system without the function raises AttributeError.
    get_clock = getattr(ctypes.CDLL(None), "clock_getcpuclockid", None)
    if get_clock is None:
        raise OSError("Expected POSIX's clock_getcpuclockid, this system has none")
    fault = get_clock(ctypes.c_int(pid), ctypes.byref(clock))
    if fault:
        raise OSError(fault, os.strerror(fault))
    return time.clock_gettime(clock.value)


def resident_bytes(pid: int) -> int:
    """Resident memory of a process in bytes.

    Raises
    ------
    OSError
        If the process has ended.
    """
    status = Path(f"/proc/{pid}/status")
    if status.parent.parent.joinpath("self").exists():
        [line] = [line for line in status.read_text().splitlines() if line.startswith("VmRSS:")]
        return int(line.split()[1]) * 1024
    shown = subprocess.run(
        ["ps", "-o", "rss=", "-p", str(pid)], env=child_environment(), capture_output=True, text=True, check=False
    )
    if shown.returncode:
        raise OSError("Expected a running process, got none")
    return int(shown.stdout) * 1024
