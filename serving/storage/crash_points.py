"""Named places between two writes where a test may kill the process.

A test sets ``LIFECYCLE_CRASH_AT=<name>`` (``<name>:<n>`` for the n-th time) in the environment of a child process,
which kills itself at that point with SIGKILL: nothing is flushed, no `finally` runs. ``LIFECYCLE_CRASH_TRACE=<file>``
appends the name of each point that is reached, so that a test can compare its list of points with the code. Without
either variable a point returns at once. The variables are read at import: nothing can arm a point later.
"""

import os
import signal
from pathlib import Path

CRASH_AT_VARIABLE = "LIFECYCLE_CRASH_AT"
TRACE_VARIABLE = "LIFECYCLE_CRASH_TRACE"

_crash_at = os.environ.get(CRASH_AT_VARIABLE)
_trace = os.environ.get(TRACE_VARIABLE)
_is_inert = not _crash_at and not _trace
_times: dict[str, int] = {}


def crash_point(name: str) -> None:
    """Return, unless this process was started with an environment that kills it at `name`."""
    if _is_inert:
        return
    _times[name] = _times.get(name, 0) + 1
    if _trace:
        with Path(_trace).open("a") as trace:
            trace.write(f"{name}\n")
    wanted, _, time = (_crash_at or "").partition(":")
    if wanted == name and _times[name] == int(time or 1):
        os.kill(os.getpid(), signal.SIGKILL)
