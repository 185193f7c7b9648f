"""The open segment: one long-lived descriptor, with size and digest tracked in memory."""

import contextlib
import datetime as dt
import errno
import hashlib
import os
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Final

from serving.contract.documents import SCHEMA_VERSION
from serving.log.seals import Seal, moment_of, seal_of_file
from serving.log.segments import LogRecord
from serving.storage.durable import flush_content, flush_path

HASHED_TOGETHER_BYTES: Final = 128 * 1024
"""Appends are hashed together once they have this length. Hashing them one by one costs each decision several
microseconds instead of half a one, because the hash's code has left the processor's caches in between."""


class Segment:
    """An open segment.

    `size` counts complete appends, `synced_size` those that the disk has confirmed. Call `append` and `cut` with the
    log's lock held, `sync` without it.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self.size = 0
        self.synced_size = 0
        self.records = 0
        self.began_at = time.monotonic()
        self._first: LogRecord | None = None
        self._last: LogRecord | None = None
        self._hashed = hashlib.sha256()
        self._unhashed: list[bytes] = []
        self._unhashed_bytes = 0
        self._is_cut = False
        self._is_torn = False
        self._is_named = False
        self._descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_APPEND, 0o600)

    def append(self, content: bytes, records: Sequence[LogRecord]) -> None:
        """Write `content`, the lines of `records`, to the operating system; raises `OSError` unless it takes all."""
        written = os.write(self._descriptor, content)
        if written != len(content):
            self._append_rest(content[written:])
        self._unhashed.append(content)
        self._unhashed_bytes += len(content)
        if self._unhashed_bytes >= HASHED_TOGETHER_BYTES:
            self._hash()
        self.size += len(content)
        self.records += len(records)
        if self._first is None:
            self._first = records[0]
        self._last = records[-1]

    def sync(self) -> None:
        """Return once the disk has all appends made before the call; raises `OSError` if it fails."""
        size = self.size
        if not self._is_named:
            flush_path(self.path.parent)
            self._is_named = True
        if size > self.synced_size:
            flush_content(self._descriptor)
            self.synced_size = size

    @property
    def is_cut(self) -> bool:
        """Whether appends were truncated: the digest then has to be computed from the file."""
        return self._is_cut

    def displacement(self) -> str | None:
        """What something else did to the file, as ``was removed``; ``None`` if it is in its place, as long as written.

        Call it with the log's lock held, or repeat it so: `size` may change meanwhile.
        """
        size, own = self.size, os.fstat(self._descriptor)
        try:
            found = self.path.stat()
        except (FileNotFoundError, NotADirectoryError):
            return "was removed"
        except OSError:
            return None  # the disk fails, which the next write reports
        if (found.st_dev, found.st_ino) != (own.st_dev, own.st_ino):
            return "was replaced"
        return "was truncated" if own.st_size < size else None

    def lost_records(self) -> int:
        """Records of a displaced segment that are no longer in its place."""
        try:
            left = self.path.read_bytes().count(b"\n") if self.path.is_file() else 0
        except OSError:
            left = 0
        return max(self.records - left, 0)

    def cut(self, size: int) -> None:
        """Truncate to `size`; if the disk refuses, `seal` retries."""
        self._is_cut = self._is_cut or size < self.size
        self.size = size
        try:
            os.ftruncate(self._descriptor, size)
            self._is_torn = False
        except OSError:
            self._is_torn = True

    def seal(self, predecessor: str | None) -> Seal:
        """Flush this segment and return its seal; raises `OSError` if the disk fails."""
        if self._is_torn:
            os.ftruncate(self._descriptor, self.size)
            self._is_torn = False
        self.sync()
        if self._is_cut:
            return seal_of_file(self.path, predecessor)
        self._hash()
        return Seal(
            schema_version=SCHEMA_VERSION,
            segment=self.path.name,
            bytes=self.size,
            records=self.records,
            sha256=self._hashed.hexdigest(),
            first_decided_at=None if self._first is None else moment_of(self._first),
            last_decided_at=None if self._last is None else moment_of(self._last),
            sealed_at=dt.datetime.now(dt.UTC),
            predecessor=predecessor,
        )

    def _hash(self) -> None:
        self._hashed.update(b"".join(self._unhashed))
        self._unhashed.clear()
        self._unhashed_bytes = 0

    def close(self) -> None:
        """Close the file."""
        with contextlib.suppress(OSError):
            os.close(self._descriptor)

    def _append_rest(self, rest: bytes) -> None:
        """Write the rest after a short write, which usually means a full disk: the next write then fails."""
        while rest:
            written = os.write(self._descriptor, rest)
            if written == 0:
                raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
            rest = rest[written:]
