"""JSON answers of the scoring routes: head and body leave in one write.

ASGI sends a response as two messages, and uvicorn writes each of them to the socket: two system calls, two packets, and
a caller that wakes up twice. Under this server's own protocol an answer is written at once instead; elsewhere it is
sent as ASGI messages.
"""

from collections.abc import Awaitable, Callable, Mapping, Sequence
from http import HTTPStatus
from typing import Any, Final, NamedTuple

from serving.wire.headers import Header

_HEADERS: Final = ((b"content-type", b"application/json"), (b"x-content-type-options", b"nosniff"))


class Answer(NamedTuple):
    """A JSON response; `headers` are further ones, whose names and values never come from a caller."""

    status: int
    content: bytes
    headers: Mapping[str, str] | None = None


WRITE_ANSWER: Final = "serving.write_answer"
"""Key of an ASGI scope that holds an `AnswerWriter`."""
AnswerWriter = Callable[[Any, Answer], Awaitable[bool]]
"""Writes an answer at once, given ASGI's `send`; returns whether it could."""


class _ResponseStart:
    """Status line and constant headers by status; cached until uvicorn changes its headers (each second: the date)."""

    def __init__(self) -> None:
        self._default_headers: Sequence[Header] | None = None
        self._starts: dict[int, bytes] = {}

    def of(self, status: int, default_headers: Sequence[Header]) -> bytes:
        if default_headers is not self._default_headers:
            self._default_headers, self._starts = default_headers, {}
        start = self._starts.get(status)
        if start is None:
            status_line = f"HTTP/1.1 {status} {HTTPStatus(status).phrase}\r\n".encode()
            start = status_line + b"".join(b"%b: %b\r\n" % header for header in (*default_headers, *_HEADERS))
            self._starts[status] = start
        return start


_response_start = _ResponseStart()


def response(answer: Answer, default_headers: Sequence[Header], *, is_last: bool) -> bytes:
    """Head and body of an answer.

    Parameters
    ----------
    default_headers
        uvicorn's.
    is_last
        Whether the connection is closed afterwards.
    """
    status, content, headers = answer
    start = _response_start.of(status, default_headers)
    if headers:
        start += "".join(f"{name}: {value}\r\n" for name, value in headers.items()).encode()
    if is_last:
        start += b"connection: close\r\n"
    return b"%bcontent-length: %d\r\n\r\n%b" % (start, len(content), content)


async def respond(scope: Any, send: Any, answer: Answer) -> None:
    """Answer the request of an ASGI scope."""
    write: AnswerWriter | None = scope.get(WRITE_ANSWER)
    if write is not None and await write(send, answer):
        return
    headers = [*_HEADERS, (b"content-length", b"%d" % len(answer.content))]
    headers += [(name.encode(), value.encode()) for name, value in (answer.headers or {}).items()]
    await send({"type": "http.response.start", "status": answer.status, "headers": headers})
    await send({"type": "http.response.body", "body": answer.content})
