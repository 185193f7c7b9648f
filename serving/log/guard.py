"""Notices within a second that something else removed, moved, replaced or truncated files of a log."""

import os
from pathlib import Path
from typing import Final

from serving.log.head import Head, known_head, write_head
from serving.log.segments import number_of, seal_paths, segment_paths
from serving.log.shipping.cursor import finished_through
from serving.storage.locks import Lock, lock_file

MEASURED_SEGMENTS: Final = 64
"""Newest sealed segments whose length is compared each second; of all others only the presence is."""


LOCK_FILE: Final = ".lock"


class LogFolder:
    """A log's folder, made with mode 0700 and locked by its writer."""

    def __init__(self, directory: Path) -> None:
        self._directory = directory
        self._lock: Lock | None = None
        self._oldest: int | None = None
        self._newest = 0

    def take(self) -> None:
        """Make and lock the folder.

        Raises
        ------
        BlockingIOError
            If another process holds the lock.
        OSError
            If the folder cannot be made.
        """
        self._directory.mkdir(parents=True, exist_ok=True, mode=0o700)
        lock = lock_file(self._directory / LOCK_FILE, is_waiting=False)
        self.release()
        self._lock, self._newest = lock, 0
        if self._oldest is None:
            head = known_head(self._directory)
            numbers = map(number_of, (*segment_paths(self._directory)[:1], *seal_paths(self._directory)[:1]))
            self._oldest = min(numbers, default=1) if head is None else head.oldest

    def retake(self) -> None:
        """Make and lock the folder again if something else has removed or moved it; raises as `take`."""
        if self._lock is None:
            return
        own = os.fstat(self._lock.descriptor)
        try:
            found = (self._directory / LOCK_FILE).stat()
        except FileNotFoundError:
            self.take()
        else:
            if (found.st_dev, found.st_ino) != (own.st_dev, own.st_ino):
                self.take()

    def keep_head(self, newest: int) -> None:
        """Store the number of the newest segment where it has changed; raises `OSError` if the disk fails."""
        if newest > self._newest and self._oldest is not None:
            write_head(self._directory, Head(oldest=self._oldest, newest=newest))
            self._newest = newest

    def release(self) -> None:
        """Unlock the folder."""
        if self._lock is not None:
            self._lock.release()
            self._lock = None


class SealedSegments:
    """The sealed segments of a folder as their writer left them."""

    def __init__(self, directory: Path) -> None:
        self._directory = directory
        self._sizes: dict[str, int] = {}
        self._listed_at: int | None = None

    def begin(self) -> None:
        """Take over the segments that are in the folder."""
        self._sizes = {path.name: path.stat().st_size for path in segment_paths(self._directory)}

    def add(self, name: str, size: int) -> None:
        """Take over a segment that was sealed."""
        self._sizes[name] = size

    def lost(self) -> list[str]:
        """What happened since the last call, as ``<segment> was removed``; each loss is reported once.

        A segment that was shipped with its seal may be deleted.
        """
        return [*self._removed(), *self._changed()]

    def _removed(self) -> list[str]:
        try:
            changed_at = self._directory.stat().st_mtime_ns
        except OSError:
            changed_at = None
        if changed_at is not None and changed_at == self._listed_at:
            return []
        self._listed_at = changed_at
        present = {path.name for path in segment_paths(self._directory)}
        gone = [name for name in self._sizes if name not in present]
        for name in gone:
            del self._sizes[name]
        shipped = finished_through(self._directory) if gone else 0
        return [f"{name} was removed" for name in gone if number_of(Path(name)) > shipped]

    def _changed(self) -> list[str]:
        changed = []
        for name in list(self._sizes)[-MEASURED_SEGMENTS:]:
            try:
                size = (self._directory / name).stat().st_size
            except OSError:
                continue  # the next listing tells
            if size != self._sizes[name]:
                self._sizes[name] = size
                changed.append(f"{name} was changed")
        return changed
