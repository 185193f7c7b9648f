"""Ends a child process as soon as its parent has ended, however it ended."""

import os
import signal
import threading
import time
from collections.abc import Callable

WATCH_EVERY_SECONDS = 0.1


def end_with_parent(parent: int | None = None, before: Callable[[], None] | None = None) -> None:
    """Kill this process as soon as its parent has ended; a thread polls the parent's id.

    Parameters
    ----------
    parent
        Process id of the parent as it gave it itself, so that a parent that ends before this call is noticed, too;
        by default the parent at this moment.
    before
        Called before the process is killed, to remove what the parent can no longer remove.
    """
    awaited = os.getppid() if parent is None else parent

    def watch() -> None:
        while os.getppid() == awaited:
            time.sleep(WATCH_EVERY_SECONDS)
        try:
            if before is not None:
                before()
        finally:
            os.kill(os.getpid(), signal.SIGKILL)

    threading.Thread(target=watch, name="parent", daemon=True).start()
