"""A log with at most one line a minute for each cause, so that a long outage does not fill it."""

import logging
import time
from typing import Final

INTERVAL_SECONDS: Final = 60.0
LONGEST: Final = 100
"""Causes that are remembered; beyond it the oldest is forgotten, and its next line is written at once."""


class LimitedLog:
    """Writes the first line of a cause at once and counts the others of the next minute in the line after it.

    Parameters
    ----------
    interval_seconds
        Shortest time between two lines of one cause.
    """

    def __init__(self, logger: logging.Logger, *, interval_seconds: float = INTERVAL_SECONDS) -> None:
        self._logger = logger
        self._interval_seconds = interval_seconds
        self._written_at: dict[str, float] = {}
        self._left_out: dict[str, int] = {}

    def write(self, level: int, cause: str, text: str) -> bool:
        """Write a line, or count it; returns whether it was written."""
        now = time.monotonic()
        before = self._written_at.get(cause)
        if before is not None and now - before < self._interval_seconds:
            self._left_out[cause] = self._left_out.get(cause, 0) + 1
            return False
        left_out = self._left_out.pop(cause, 0)
        if left_out and before is not None:
            text = f"{text} ({left_out} more in the {now - before:.0f} s before)"
        self._written_at.pop(cause, None)
        self._written_at[cause] = now
        if len(self._written_at) > LONGEST:
            oldest = next(iter(self._written_at))
            del self._written_at[oldest]
            self._left_out.pop(oldest, None)
        self._logger.log(level, "%s", text)
        return True
