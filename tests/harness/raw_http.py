"""HTTP as bytes on a socket: requests that no client library would send, and their answers."""

import contextlib
import json
import re
import socket
import time
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlsplit

PLANTED = "plAnted4711vaLue"
"""In every fuzzed request in place of a customer's value; must appear in no answer and no log line."""


_CONTINUE = b"HTTP/1.1 100"


@dataclass(frozen=True)
class Answer:
    """One response, read as HTTP/1.1 says."""

    status: int
    headers: dict[str, str]
    body: bytes

    def json(self) -> Any:
        return json.loads(self.body)


class RawConnection:
    """A connection that sends any bytes and reads answers with its own deadline."""

    def __init__(self, base_url: str, seconds: float = 60) -> None:
        address = urlsplit(base_url)
        assert address.hostname is not None
        assert address.port is not None
        self.socket = socket.create_connection((address.hostname, address.port), timeout=seconds)
        self._read = b""

    def __enter__(self) -> "RawConnection":
        return self

    def __exit__(self, *_: object) -> None:
        self.socket.close()

    def send(self, *parts: bytes) -> bool:
        """Send until the server refuses and closes; returns whether everything was sent."""
        with contextlib.suppress(ConnectionError):
            for part in parts:
                self.socket.sendall(part)
            return True
        return False

    def half_close(self) -> None:
        with contextlib.suppress(OSError):
            self.socket.shutdown(socket.SHUT_WR)

    def answer(self) -> Answer | None:
        """The next answer; ``None`` if the server closes without one. Interim answers (100) are passed over."""
        while True:
            head = self._until(b"\r\n\r\n")
            if head is None:
                return None
            first, *lines = head[:-4].decode("latin-1").split("\r\n")
            status = int(first.split(" ")[1])
            if status != 100:
                break
        headers = {name.lower(): value.strip() for name, _, value in (line.partition(":") for line in lines)}
        if headers.get("transfer-encoding") == "chunked":
            return Answer(status, headers, b"".join(self._chunks()))
        return Answer(status, headers, self._exactly(int(headers.get("content-length", "0"))))

    def is_asked_to_continue(self) -> bool:
        """Whether the server sends the interim answer 100 first."""
        while len(self._read) < len(_CONTINUE) and (more := self._more()):
            self._read += more
        is_asked = self._read.startswith(_CONTINUE)
        if is_asked:
            self._read = self._read.removeprefix(_CONTINUE).partition(b"\r\n\r\n")[2]
        return is_asked

    def answers(self) -> list[Answer]:
        """All answers until the server closes."""
        answers = []
        while (answer := self.answer()) is not None:
            answers.append(answer)
        return answers

    def is_closed_by_server(self) -> bool:
        """Whether the server closes within the deadline without sending more."""
        return self._more() == b""

    def _chunks(self) -> Iterable[bytes]:
        while True:
            line = self._until(b"\r\n")
            assert line is not None
            size = int(line, 16)
            yield self._exactly(size)
            self._exactly(2)
            if size == 0:
                return

    def _until(self, end: bytes) -> bytes | None:
        while end not in self._read:
            more = self._more()
            if not more:
                return None
            self._read += more
        head, _, self._read = self._read.partition(end)
        return head + end

    def _exactly(self, count: int) -> bytes:
        while len(self._read) < count:
            more = self._more()
            assert more, "the server closed within an answer"
            self._read += more
        part, self._read = self._read[:count], self._read[count:]
        return part

    def _more(self) -> bytes:
        try:
            return self.socket.recv(65536)
        except ConnectionError:
            return b""


def request(
    path: str, body: bytes = b"", *, method: str = "POST", length: int | None = None, **headers: str | bytes
) -> bytes:
    """A request's bytes; underscores in names of headers become dashes."""
    lines = [f"{method} {path} HTTP/1.1".encode("latin-1"), b"host: test"]
    if method == "POST":
        lines += [b"content-length: %d" % (len(body) if length is None else length)]
    for name, value in headers.items():
        encoded = value if isinstance(value, bytes) else value.encode("latin-1")
        lines.append(name.replace("_", "-").encode() + b": " + encoded)
    return b"\r\n".join(lines) + b"\r\n\r\n" + body


def chunked(path: str, *chunks: bytes, end: bytes = b"0\r\n\r\n", **headers: str) -> bytes:
    """A request whose body comes in chunks."""
    lines = [f"POST {path} HTTP/1.1", "host: test", "transfer-encoding: chunked"]
    lines += [f"{name.replace('_', '-')}: {value}" for name, value in headers.items()]
    body = b"".join(b"%x\r\n%s\r\n" % (len(chunk), chunk) for chunk in chunks)
    return "\r\n".join(lines).encode("latin-1") + b"\r\n\r\n" + body + end


def memory_bytes(pid: int) -> int:
    """Resident memory of a process, in bytes."""
    with open(f"/proc/{pid}/status", encoding="ascii") as file:  # noqa: PTH123
        match = re.search(r"VmRSS:\s+([0-9]+) kB", file.read())
    assert match is not None
    return int(match[1]) * 1024


def settled_memory_bytes(pid: int, below: int, seconds: float = 10) -> int:
    """Resident memory once it is below a bound, or after `seconds` at the latest."""
    deadline = time.monotonic() + seconds
    while (resident := memory_bytes(pid)) > below and time.monotonic() < deadline:
        time.sleep(0.1)
    return resident
