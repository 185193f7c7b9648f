"""JSON answers of the hot route: head and body leave in one write.

ASGI sends them as two messages, which uvicorn writes to the socket one by one: two system calls, two packets, and a
caller that wakes up twice. Where uvicorn's own `send` is at hand, the answer is put together here instead; else it goes
by ASGI's messages.
"""

from collections.abc import Mapping, Sequence
from typing import Any, Final

from uvicorn.protocols.http.httptools_impl import STATUS_LINE, RequestResponseCycle

from serving.wire.headers import Header

_HEADERS: Final = ((b"content-type", b"application/json"), (b"x-content-type-options", b"nosniff"))


class _Beginning:
    """What responses begin with; made anew when uvicorn gives other headers, once a second because of the date."""

    def __init__(self) -> None:
        self._made_of: Sequence[Header] | None = None
        self._lines: dict[int, bytes] = {}

    def of(self, status: int, default_headers: Sequence[Header]) -> bytes:
        if default_headers is not self._made_of:
            self._made_of, self._lines = default_headers, {}
        lines = self._lines.get(status)
        if lines is None:
            headers = b"".join(b"%b: %b\r\n" % header for header in (*default_headers, *_HEADERS))
            lines = self._lines[status] = STATUS_LINE[status] + headers
        return lines


_beginning = _Beginning()


def response(
    status: int,
    content: bytes,
    default_headers: Sequence[Header],
    headers: Mapping[str, str] | None = None,
    *,
    is_last: bool = False,
) -> bytes:
    """Head and body of a JSON response.

    Parameters
    ----------
    default_headers
        uvicorn's.
    headers
        More headers; their names and values are ours, never a caller's.
    is_last
        Whether the connection is closed after it.
    """
    others = "" if not headers else "".join(f"{name}: {value}\r\n" for name, value in headers.items())
    return b"%b%b%bcontent-length: %d\r\n\r\n%b" % (
        _beginning.of(status, default_headers),
        others.encode(),
        b"connection: close\r\n" if is_last else b"",
        len(content),
        content,
    )


async def respond(send: Any, status: int, content: bytes, headers: Mapping[str, str] | None = None) -> None:
    """Send a JSON response by ASGI's channel `send`; `headers` as in `response`."""
    cycle = getattr(send, "__self__", None)
    if type(cycle) is RequestResponseCycle and cycle.scope["method"] == "POST" and not cycle.response_started:
        if cycle.flow.write_paused and not cycle.disconnected:
            await cycle.flow.drain()
        answer_cycle(cycle, status, content, headers)
        return
    sent = [*_HEADERS, (b"content-length", b"%d" % len(content))]
    sent += [(name.encode(), value.encode()) for name, value in (headers or {}).items()]
    await send({"type": "http.response.start", "status": status, "headers": sent})
    await send({"type": "http.response.body", "body": content})


def answer_cycle(cycle: Any, status: int, content: bytes, headers: Mapping[str, str] | None = None) -> None:
    """Send a JSON response to a POST by uvicorn's request `cycle`; nothing if its caller has gone.

    Does what `RequestResponseCycle.send` does with both messages of a response whose length is known.
    """
    if cycle.disconnected:
        cycle.on_response = _nothing
        return
    cycle.response_started = True
    cycle.waiting_for_100_continue = False
    is_last = not cycle.keep_alive
    cycle.transport.write(response(status, content, cycle.default_headers, headers, is_last=is_last))
    cycle.response_complete = True
    cycle.message_event.set()
    if is_last:
        cycle.transport.close()
    cycle.on_response()
    # As uvicorn does after a request: the connection and its last request refer to each other else.
    cycle.on_response = _nothing


def _nothing() -> None:
    """What is left to do after an answer."""
