"""Named places between two writes where a test may kill the process.

A test sets ``LIFECYCLE_CRASH_AT=<name>`` (``<name>:<n>`` for the n-th passage) in the environment of a child process,
which then ends itself there with SIGKILL: nothing is flushed, no `finally` runs. ``LIFECYCLE_CRASH_TRACE=<file>``
instead appends the name of each point that is passed, so that a test can hold its list of points against the code.
Without either variable a point is a call that returns at once, and nothing in this process can arm it later.
"""

import os
import signal
from pathlib import Path

CRASH_AT_VARIABLE = "LIFECYCLE_CRASH_AT"
TRACE_VARIABLE = "LIFECYCLE_CRASH_TRACE"

_crash_at = os.environ.get(CRASH_AT_VARIABLE)
_trace = os.environ.get(TRACE_VARIABLE)
_is_inert = not _crash_at and not _trace
_passages: dict[str, int] = {}


def crash_point(name: str) -> None:
    """Go on, unless the environment that this process was started with says to die at `name`."""
    if _is_inert:
        return
    _passages[name] = _passages.get(name, 0) + 1
    if _trace:
        with Path(_trace).open("a") as trace:
            trace.write(f"{name}\n")
    wanted, _, passage = (_crash_at or "").partition(":")
    if wanted == name and _passages[name] == int(passage or 1):
        os.kill(os.getpid(), signal.SIGKILL)
