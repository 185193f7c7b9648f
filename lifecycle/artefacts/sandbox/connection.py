"""One HTTP/1.1 connection to the sandbox's server: single requests, and many of them one behind the other.

A client library costs several times what the server does for a decision, which would make the probe slow and its
latencies those of the client.
"""

import socket
import time
from collections.abc import Iterator, Sequence
from typing import NamedTuple

IN_FLIGHT = 64
"""Requests on their way; half of what a worker of the server admits by default."""
_CHUNK = 1 << 16


class Reply(NamedTuple):
    """Status and body of an answer."""

    status: int
    body: bytes


class Connection:
    """A connection to a port on loopback.

    Parameters
    ----------
    seconds
        Longest time to wait for an answer.

    Raises
    ------
    OSError
        In every method, if the server does not answer in time, or closes the connection.
    """

    def __init__(self, port: int, seconds: float) -> None:
        self._socket = socket.create_connection(("127.0.0.1", port), timeout=seconds)
        self._socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self._read = b""

    def close(self) -> None:
        """Close the connection."""
        self._socket.close()

    def ask(self, request: bytes) -> Reply:
        """The answer to one request, made by `get` or `post`."""
        self._socket.sendall(request)
        return self._reply()

    def ask_all(self, requests: Sequence[bytes], deadline: float) -> Iterator[Reply]:
        """The answers in the requests' order; no further request is sent after `deadline` (`time.monotonic`)."""
        sent = 0
        for answered in range(len(requests)):
            if sent - answered <= IN_FLIGHT // 2 and sent < len(requests) and time.monotonic() < deadline:
                following = requests[sent : answered + IN_FLIGHT]
                self._socket.sendall(b"".join(following))
                sent += len(following)
            if sent == answered:
                return
            yield self._reply()

    def _reply(self) -> Reply:
        head = self._until(b"\r\n\r\n")
        length = head.lower().index(b"content-length:") + len(b"content-length:")
        size = int(head[length : head.find(b"\r\n", length)])
        while len(self._read) < size:
            self._more()
        body, self._read = self._read[:size], self._read[size:]
        return Reply(int(head[9:12]), body)

    def _until(self, end: bytes) -> bytes:
        while (place := self._read.find(end)) < 0:
            self._more()
        head, self._read = self._read[: place + 2], self._read[place + len(end) :]
        return head

    def _more(self) -> None:
        received = self._socket.recv(_CHUNK)
        if not received:
            raise ConnectionError("Expected an answer, the server closed the connection")
        self._read += received


def get(path: str) -> bytes:
    """A GET request."""
    return f"GET {path} HTTP/1.1\r\nHost: sandbox\r\n\r\n".encode()


def post(path: str, body: bytes = b"", headers: str = "") -> bytes:
    """A POST request with JSON; each of the further `headers` ends with CRLF."""
    head = f"POST {path} HTTP/1.1\r\nHost: sandbox\r\nContent-Type: application/json\r\n{headers}"
    return f"{head}Content-Length: {len(body)}\r\n\r\n".encode() + body
