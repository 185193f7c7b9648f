"""Counts the alerts of ``alerts.jsonl``; each scrape reads only the lines that were added since."""

import os
from collections import Counter
from pathlib import Path

import msgspec

from lifecycle.monitoring.alerts import AlertKind


class _Counted(msgspec.Struct, frozen=True):
    kind: AlertKind
    model: str | None = None


class AlertCounts:
    """Alerts by kind and model; an alert of the platform has the model ``""``.

    A file that was replaced or truncated is counted from its start: the counters then restart, as Prometheus expects of
    a process that restarts.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._inode: int | None = None
        self._offset = 0
        self.counts: Counter[tuple[str, str]] = Counter()
        self.unreadable_lines = 0

    def refresh(self) -> None:
        """Count the lines that were added; raises `OSError` if the file is there and cannot be read."""
        try:
            file = self._path.open("rb")
        except FileNotFoundError:
            self._restart(None)
            return
        with file:
            state = os.fstat(file.fileno())
            if state.st_ino != self._inode or state.st_size < self._offset:
                self._restart(state.st_ino)
            file.seek(self._offset)
            for line in file:
                if not line.endswith(b"\n"):
                    break  # still being written, or torn: the next alert ends it
                self._offset += len(line)
                self._count(line)

    def of(self, kind: AlertKind, model: str) -> int:
        """Number of alerts of a kind on a model."""
        return self.counts[kind, model]

    def _restart(self, inode: int | None) -> None:
        self._inode, self._offset, self.unreadable_lines = inode, 0, 0
        self.counts.clear()

    def _count(self, line: bytes) -> None:
        try:
            alert = msgspec.json.decode(line, type=_Counted)
        except msgspec.DecodeError:
            self.unreadable_lines += 1
            return
        self.counts[alert.kind, alert.model or ""] += 1
