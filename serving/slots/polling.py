"""The thread that polls the release store, and loads and verifies new releases during traffic."""

import logging
import os
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Final

logger = logging.getLogger(__name__)

LOADING_SWITCH_SECONDS: Final = 0.0002
"""How long the loading thread may hold the interpreter while the event loop waits; Python's default of 5 ms is several
times a decision's latency. Set only while a release is polled or loaded, because switching costs time."""

LOADING_NICENESS: Final = 15
"""Without it the system gives the loading thread whole time slices of the event loop's processor. On one core under
full load, with a model of 500 trees, swaps raise the 99th percentile of a decision 2.9 times at niceness 10, 1.8 times
at 15 and 1.3 times at 19, and take 1.9, 5.0 and 9.5 s."""

STOP_SECONDS: Final = 3.0
"""How long `stop` waits for a running poll; the log must still be sealed after it."""


class Polling:
    """Calls `poll` every `poll_seconds` on its own thread until it is stopped; a failed poll does not end it."""

    def __init__(self, poll: Callable[[], None], poll_seconds: float) -> None:
        self._poll = poll
        self._poll_seconds = poll_seconds
        self._is_over = threading.Event()
        self._thread = threading.Thread(target=self._run, name="releases", daemon=True)

    def start(self) -> None:
        """Start; the first poll comes after `poll_seconds`."""
        self._thread.start()

    def stop(self) -> None:
        """Stop after a running poll; blocks until it ends, at most `STOP_SECONDS` if the store hangs."""
        self._is_over.set()
        if self._thread.is_alive():
            self._thread.join(STOP_SECONDS)

    def _run(self) -> None:
        lower_priority()
        while not self._is_over.wait(self._poll_seconds):
            try:
                with switching_often():
                    self._poll()
            except Exception:
                # `Slots` turns load errors into refusals; anything else is a bug here, and serving continues.
                logger.exception("polling for a new release failed, the held releases serve on")


@contextmanager
def switching_often() -> Iterator[None]:
    """Shorten the interpreter's switch interval during the block, so that other threads run soon."""
    previous = sys.getswitchinterval()
    sys.setswitchinterval(min(previous, LOADING_SWITCH_SECONDS))
    try:
        yield
    finally:
        sys.setswitchinterval(previous)


def lower_priority() -> None:
    """Lower the priority of the calling thread; only Linux has priorities per thread."""
    if sys.platform == "linux":
        native = threading.get_native_id()
        niceness = max(LOADING_NICENESS, os.getpriority(os.PRIO_PROCESS, native))
        os.setpriority(os.PRIO_PROCESS, native, niceness)
