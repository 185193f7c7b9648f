"""JSON answers of the hot route: head and body leave in one write.

ASGI sends them as two messages, which uvicorn writes to the socket one by one: two system calls, two packets, and a
caller that wakes up twice. Where uvicorn's own `send` is at hand, the answer is put together here instead; else it goes
by ASGI's messages.
"""

from typing import Any, Final

from uvicorn.protocols.http.httptools_impl import STATUS_LINE, RequestResponseCycle

_HEADERS: Final = ((b"content-type", b"application/json"), (b"x-content-type-options", b"nosniff"))
_HEADER_LINES: Final = b"".join(b"%b: %b\r\n" % header for header in _HEADERS)


async def respond(send: Any, status: int, content: bytes, headers: dict[str, str] | None = None) -> None:
    """Send a JSON response.

    Parameters
    ----------
    send
        ASGI's channel.
    headers
        More headers than the usual ones; their names and values are ours, never a caller's.
    """
    cycle = getattr(send, "__self__", None)
    if type(cycle) is RequestResponseCycle and cycle.scope["method"] == "POST" and not cycle.response_started:
        if cycle.flow.write_paused and not cycle.disconnected:
            await cycle.flow.drain()
        respond_at_once(cycle, status, content, headers)
        return
    sent = [*_HEADERS, (b"content-length", b"%d" % len(content))]
    sent += [(name.encode(), value.encode()) for name, value in (headers or {}).items()]
    await send({"type": "http.response.start", "status": status, "headers": sent})
    await send({"type": "http.response.body", "body": content})


def respond_at_once(cycle: Any, status: int, content: bytes, headers: dict[str, str] | None = None) -> None:
    """Send a JSON response to a POST by uvicorn's request `cycle`; nothing if its caller has gone.

    Does what `RequestResponseCycle.send` does with both messages of a response whose length is known.
    """
    if cycle.disconnected:
        return
    cycle.response_started = True
    cycle.waiting_for_100_continue = False
    parts = [STATUS_LINE[status]]
    for name, value in cycle.default_headers:
        parts += [name, b": ", value, b"\r\n"]
    parts.append(_HEADER_LINES)
    if headers:
        parts += [f"{name}: {value}\r\n".encode() for name, value in headers.items()]
    if not cycle.keep_alive:
        parts.append(b"connection: close\r\n")
    parts += [b"content-length: %d\r\n\r\n" % len(content), content]
    cycle.transport.write(b"".join(parts))
    cycle.response_complete = True
    cycle.message_event.set()
    if not cycle.keep_alive:
        cycle.transport.close()
    cycle.on_response()
    # As uvicorn does after a request: the connection and its last request refer to each other else.
    cycle.on_response = _nothing


def _nothing() -> None:
    """What is left to do after an answer."""
