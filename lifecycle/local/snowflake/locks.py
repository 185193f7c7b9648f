"""Table locks of UPDATE, DELETE, MERGE and TRUNCATE, which wait in Snowflake and conflict in DuckDB.

Taken before DuckDB's transaction sees its snapshot of the database (at its first statement), a lock lets the second of
two such transactions wait for the first and then go on, as in an account.
"""

import asyncio
import time
from collections.abc import Callable, Iterable
from typing import Protocol

POLL_SECONDS = 0.02


class Holder(Protocol):
    """A session, as far as locks are concerned."""

    @property
    def idle_seconds(self) -> float:
        """How long no statement of it has run."""


class LockTimeout(Exception):  # noqa: N818 - an answer, raised to leave
    """Another session kept the table longer than this one may wait."""


class Locks:
    """Who holds which table."""

    def __init__(self, abandoned_seconds: float, roll_back: Callable[[Holder], None]) -> None:
        self._held: dict[str, Holder] = {}
        self._abandoned_seconds = abandoned_seconds
        self._roll_back = roll_back

    async def acquire(self, table: str, holder: Holder, timeout_seconds: float) -> None:
        """Wait for the table.

        Raises
        ------
        LockTimeout
            If it is not free after `timeout_seconds`.
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
        """Give back everything of a session, at its transaction's end."""
        for table in [table for table, other in self._held.items() if other is holder]:
            del self._held[table]

    def tables(self) -> Iterable[str]:
        """Tables that are held now."""
        return tuple(self._held)
