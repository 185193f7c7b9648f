"""Standard error that never blocks: a bounded queue, and a thread that writes it.

A pipe whose reader has gone or stopped becomes full, and a write to it blocks for ever. With a plain stream that
thread holds logging's lock, and one after the other the poller, the event loop and the shutdown stop. Here every
writer only appends to the queue. While the queue is full, lines are dropped and counted; their number is written once
the pipe is read again.
"""

import io
import logging
import os
import select
import sys
import threading
import time
from collections import deque
from typing import Final, TextIO, cast

MOST_CHARACTERS: Final = 1 << 20
"""Text that waits at most; about 8,000 lines."""
EXIT_SECONDS: Final = 1.0
"""Longest time that the end of the process waits for the queue to be written."""


class QueuedStream(io.TextIOBase):
    """A text stream whose `write` never waits for the descriptor.

    Attributes
    ----------
    dropped
        Lines that did not fit into the queue, or that nothing could read.
    """

    def __init__(self, descriptor: int, most_characters: int = MOST_CHARACTERS) -> None:
        super().__init__()
        self.dropped = 0
        self._descriptor = descriptor
        self._most_characters = most_characters
        self._texts: deque[str] = deque()
        self._characters = 0
        self._is_writing = False
        self._unreported = 0
        # A lock that its own thread may take again: a signal or the collector may write within a write.
        self._changed = threading.Condition(threading.RLock())
        threading.Thread(target=self._run, name="standard-error", daemon=True).start()

    def writable(self) -> bool:
        """Whether the stream can be written to: always."""
        return True

    def fileno(self) -> int:
        """The descriptor, for child processes."""
        return self._descriptor

    def isatty(self) -> bool:
        """Whether the descriptor is a terminal."""
        return os.isatty(self._descriptor)

    def write(self, text: str) -> int:
        """Queue a text; drops it if the queue is full."""
        with self._changed:
            if self._characters + len(text) > self._most_characters:
                self._drop(text)
            else:
                self._texts.append(text)
                self._characters += len(text)
                self._changed.notify_all()
        return len(text)

    def drain(self, seconds: float = EXIT_SECONDS) -> bool:
        """Wait until everything is written, at most `seconds`; returns whether it is."""
        with self._changed:
            return self._changed.wait_for(lambda: not self._texts and not self._is_writing, seconds)

    def _drop(self, text: str) -> None:
        lines = text.count("\n")
        self.dropped += lines
        self._unreported += lines

    def _run(self) -> None:
        while True:
            with self._changed:
                self._is_writing = False
                self._changed.notify_all()
                self._changed.wait_for(lambda: self._texts)
                texts, self._characters, self._is_writing = "".join(self._texts), 0, True
                self._texts.clear()
            is_written = self._write(texts)
            with self._changed:
                if not is_written:
                    self._drop(texts)
                elif self._unreported:
                    note = f"{_now()} WARNING serving: {self._unreported} lines were dropped while nothing read them\n"
                    self._unreported = 0
                    self._texts.appendleft(note)
                    self._characters += len(note)

    def _write(self, texts: str) -> bool:
        content = texts.encode(errors="backslashreplace")
        try:
            while content:
                try:
                    content = content[os.write(self._descriptor, content) :]
                except BlockingIOError:  # another process has made the shared pipe non-blocking
                    select.select([], [self._descriptor], [])
        except OSError:
            return False
        return True


class QueuedHandler(logging.Handler):
    """Writes log records to a `QueuedStream`; `flush`, which logging calls at exit, waits a bounded time."""

    def __init__(self, stream: QueuedStream) -> None:
        super().__init__()
        self._stream = stream

    def emit(self, record: logging.LogRecord) -> None:
        """Queue a record."""
        try:
            self._stream.write(self.format(record) + "\n")
        except Exception:
            self.handleError(record)

    def flush(self) -> None:
        """Wait until the queue is written, at most `EXIT_SECONDS`."""
        self._stream.drain()


def take_over_stderr() -> QueuedStream:
    """Replace ``sys.stderr``, so that tracebacks and warnings of any thread use the queue too."""
    stream = QueuedStream(sys.stderr.fileno())
    sys.stderr = cast("TextIO", stream)
    return stream


def dropped_lines() -> int:
    """Lines of standard error that this process has dropped."""
    stream: object = sys.stderr
    return stream.dropped if isinstance(stream, QueuedStream) else 0


def _now() -> str:
    return time.strftime("%Y-%m-%d %H:%M:%S,000")
