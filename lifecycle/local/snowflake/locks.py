"""Table locks of UPDATE, DELETE, MERGE and TRUNCATE: Snowflake waits for them, DuckDB raises a conflict.

A lock is acquired before DuckDB's transaction takes its snapshot of the database (at its first statement). The second
of two such transactions therefore waits for the first and then continues, as in an account.
"""

import asyncio
import time
from collections.abc import Callable
from typing import Protocol

POLL_SECONDS = 0.02


class Holder(Protocol):
    """A session that holds locks."""

    @property
    def idle_seconds(self) -> float:
        """Seconds since its last statement ended; 0 while one runs."""


class LockTimeout(Exception):  # noqa: N818 - a response, raised to leave
    """Another session held the table longer than this one may wait."""


class Locks:
    """Locked tables and their holders."""

    def __init__(self, abandoned_seconds: float, roll_back: Callable[[Holder], None]) -> None:
        self._held: dict[str, Holder] = {}
        self._abandoned_seconds = abandoned_seconds
        self._roll_back = roll_back

    async def acquire(self, table: str, holder: Holder, timeout_seconds: float) -> None:
        """Wait for the table.

        Raises
        ------
        LockTimeout
            If the table is still locked after `timeout_seconds`.
        """
        end = time.monotonic() + timeout_seconds
        while (other := self._held.get(table)) is not None and other is not holder:
            if other.idle_seconds >= self._abandoned_seconds:
                self._roll_back(other)
                self.release(other)
            elif time.monotonic() >= end:
                raise LockTimeout(table)
            else:
                await asyncio.sleep(POLL_SECONDS)
        self._held[table] = holder

    def release(self, holder: Holder) -> None:
        """Release all locks of a session, at the end of its transaction."""
        for table in [table for table, other in self._held.items() if other is holder]:
            del self._held[table]
