"""The one thread that polls the release store, and loads and verifies what is new beside the traffic."""

import logging
import os
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Final

logger = logging.getLogger(__name__)

LOADING_SWITCH_SECONDS: Final = 0.0002
"""How long the loading thread may hold the interpreter while the event loop waits for it; Python's own 5 ms would be
several times a decision's latency. Only while something is polled or loaded, since switching costs."""

LOADING_NICENESS: Final = 15
"""Without it the system gives the loading thread whole time slices of the processor that the event loop runs on. One
core under full load, a model of 500 trees: swaps raise the 99th percentile of a decision 2.9 times at 10, 1.8 times at
15 and 1.3 times at 19, and take 1.9, 5.0 and 9.5 s."""

STOP_SECONDS: Final = 3.0
"""How long a look that is under way is waited for at the end; the log must be sealed while there is time."""


class Polling:
    """Calls `look` every `poll_seconds` on a thread of its own until it is stopped, also after a turn that failed."""

    def __init__(self, look: Callable[[], None], poll_seconds: float) -> None:
        self._look = look
        self._poll_seconds = poll_seconds
        self._is_over = threading.Event()
        self._thread = threading.Thread(target=self._run, name="releases", daemon=True)

    def start(self) -> None:
        """Begin; the first turn comes after `poll_seconds`."""
        self._thread.start()

    def stop(self) -> None:
        """End after the turn that is under way; blocks until then, but no longer than a store may hang."""
        self._is_over.set()
        if self._thread.is_alive():
            self._thread.join(STOP_SECONDS)

    def _run(self) -> None:
        lower_priority()
        while not self._is_over.wait(self._poll_seconds):
            try:
                with switching_often():
                    self._look()
            except Exception:
                # What a load may raise is refused in `Slots`; this is a fault of ours, and serving goes on.
                logger.exception("looking for a new release failed, what is held serves on")


@contextmanager
def switching_often() -> Iterator[None]:
    """Let the other threads run soon, while this one works."""
    before = sys.getswitchinterval()
    sys.setswitchinterval(min(before, LOADING_SWITCH_SECONDS))
    try:
        yield
    finally:
        sys.setswitchinterval(before)


def lower_priority() -> None:
    """Let the calling thread run behind the others; only Linux knows priorities of threads."""
    if sys.platform == "linux":
        native = threading.get_native_id()
        niceness = max(LOADING_NICENESS, os.getpriority(os.PRIO_PROCESS, native))
        os.setpriority(os.PRIO_PROCESS, native, niceness)
