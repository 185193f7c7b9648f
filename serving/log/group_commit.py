"""Group commit: one flush makes many records durable and resolves the futures of their callers."""

import asyncio
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Final

from serving.errors import LogUnavailableError

_WATCH_SECONDS: Final = 0.25


@dataclass(slots=True)
class Group:
    """Records that one flush makes durable; `unattended` counts those without a future.

    `since` is when the first of them was written (`time.monotonic`).
    """

    futures: "list[asyncio.Future[None]]" = field(default_factory=list)
    writes: int = 0
    records: int = 0
    bytes: int = 0
    unattended: int = 0
    since: float | None = None

    def add(self, other: "Group") -> None:
        """Add the records of another group."""
        self.futures += other.futures
        self.writes += other.writes
        self.records += other.records
        self.bytes += other.bytes
        self.unattended += other.unattended


class GroupCommit:
    """The current group, and the futures of all records that the disk has not confirmed.

    Parameters
    ----------
    changed
        The log's lock and the condition that its thread waits on.
    stall_seconds
        A future that waits longer fails.
    lost
        Called with the lock held when records are not durable; returns the refusal of their decisions, or ``None`` if
        the decisions are answered and the records counted as lost.
    """

    def __init__(
        self, changed: threading.Condition, stall_seconds: float, lost: Callable[[int], LogUnavailableError | None]
    ) -> None:
        self.group = Group()
        self._changed = changed
        self._stall_seconds = stall_seconds
        self._lost = lost
        self._waiting: dict[asyncio.Future[None], tuple[float, int]] = {}
        self._flushing_since: float | None = None
        self._watch: asyncio.TimerHandle | None = None
        self._is_waking = False

    def __len__(self) -> int:
        return len(self._waiting)

    # With the lock held.

    def lag_seconds(self) -> float:
        """Age of the oldest record that the disk has not confirmed, even if its future has failed already."""
        since = self.group.since if self._flushing_since is None else self._flushing_since
        return 0.0 if since is None else time.monotonic() - since

    def take(self) -> Group:
        """Return the current group, to be flushed, and start another one."""
        group, self.group = self.group, Group()
        if self._flushing_since is None:
            self._flushing_since = group.since
        return group

    def join(self, size: int, records: int) -> "asyncio.Future[None] | None":
        """Return a future that the next flush resolves; ``None`` on a thread without an event loop."""
        group, now = self.group, time.monotonic()
        group.since = now if group.since is None else group.since
        group.writes += 1
        group.records += records
        group.bytes += size
        try:
            loop = asyncio.get_running_loop()
        except RuntimeError:
            group.unattended += records
            self._changed.notify()
            return None
        future = loop.create_future()
        group.futures.append(future)
        self._waiting[future] = (now, records)
        if self._watch is None:
            self._watch = loop.call_later(_WATCH_SECONDS, self._fail_stalled)
        if not self._is_waking:
            # Once per turn of the loop: waking the thread costs more than a score.
            self._is_waking = True
            loop.call_soon(self._wake)
        return future

    # On the log's thread.

    def finish(self, group: Group, is_failed: bool) -> None:
        """Resolve the futures of a group, or fail them."""
        with self._changed:
            self._flushing_since = None
            if is_failed and group.unattended:
                self._lost(group.unattended)
        by_loop: dict[asyncio.AbstractEventLoop, list[asyncio.Future[None]]] = {}
        for future in group.futures:
            by_loop.setdefault(future.get_loop(), []).append(future)
        for loop, futures in by_loop.items():
            try:
                loop.call_soon_threadsafe(self._resolve, futures, is_failed)
            except RuntimeError:  # the loop is closed: the server was torn down hard, and its futures with it
                with self._changed:
                    for future in futures:
                        self._waiting.pop(future, None)

    # On the event loop.

    def _wake(self) -> None:
        with self._changed:
            self._is_waking = False
            self._changed.notify()

    def _fail_stalled(self) -> None:
        """Fail futures that have waited too long; repeats while any future waits."""
        self._watch = None
        until = time.monotonic() - self._stall_seconds
        with self._changed:
            stalled = [future for future, (since, _) in self._waiting.items() if since < until]
            has_more = len(stalled) < len(self._waiting)
        self._resolve(stalled, is_failed=True)
        if has_more:
            self._watch = asyncio.get_running_loop().call_later(_WATCH_SECONDS, self._fail_stalled)

    def _resolve(self, futures: "list[asyncio.Future[None]]", is_failed: bool) -> None:
        refusals: list[LogUnavailableError | None] = []
        with self._changed:
            for future in futures:
                waited = self._waiting.pop(future, None)
                refusals.append(self._lost(waited[1]) if is_failed and waited is not None else None)
        for future, refusal in zip(futures, refusals, strict=True):
            if future.done():
                continue
            if refusal is None:
                future.set_result(None)
            else:
                future.set_exception(refusal)
                # Marks the exception as retrieved: no caller awaits a record without an answer.
                future.exception()
