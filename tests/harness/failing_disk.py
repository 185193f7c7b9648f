"""A disk for a decision log that fails on demand."""

import os
import threading
from collections.abc import Callable, Sequence
from pathlib import Path

from serving.errors import LogUnavailableError
from serving.log.open_segment import Segment
from serving.log.segments import LogRecord


class Disk:
    """A disk whose writes or flushes fail or hang."""

    def __init__(self) -> None:
        self.write_violation: int | None = None
        self.sync_violation: int | None = None
        self.written = -1
        self.can_cut = True
        self.syncs = 0
        self.is_running = threading.Event()
        self.is_running.set()

    def open(self) -> Callable[[Path], Segment]:
        disk = self

        class Segmented(Segment):
            def append(self, content: bytes, records: Sequence[LogRecord]) -> None:
                if disk.write_violation is not None:
                    os.write(self._descriptor, content[: disk.written])
                    raise OSError(disk.write_violation, os.strerror(disk.write_violation))
                super().append(content, records)

            def sync(self) -> None:
                disk.syncs += 1
                disk.is_running.wait()
                if disk.sync_violation is not None:
                    raise OSError(disk.sync_violation, os.strerror(disk.sync_violation))
                super().sync()

            def cut(self, size: int) -> None:
                super().cut(size)
                if not disk.can_cut:
                    os.write(self._descriptor, b'{"torn')
                    self._is_torn = True

        return Segmented


def refused(outcomes: Sequence[object]) -> list[bool]:
    return [isinstance(outcome, LogUnavailableError) for outcome in outcomes]
