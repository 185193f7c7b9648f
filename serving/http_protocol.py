"""uvicorn's HTTP/1.1 protocol with what a server under load must know: when a request came, and how many before it."""

import time
from typing import Any, Final

import uvicorn
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

ARRIVAL: Final = "serving.arrival"
"""Key of an ASGI scope that holds an `Arrival`."""

BODY_IS_WHOLE: Final = "serving.body_is_whole"
"""Key of an ASGI scope that is there once the last byte of the body has come."""

MAX_HEAD_BYTES: Final = 32 * 1024
"""Longest request line and headers together; eight times what a request with a key and a trace needs."""
HEAD_SECONDS: Final = 10.0
"""Longest time for the head of a request; a connection that sends none is closed, too."""

Arrival = tuple[float, int]
"""When the request's head was read (`time.perf_counter`, seconds), and how many requests were in flight then."""


class ServingProtocol(HttpToolsProtocol):
    """One connection; stamps each request's scope, and bounds its head in length and time."""

    head_since: float | None = None
    """When the head that is awaited began (`time.monotonic`, seconds); ``None`` while a request is in flight."""
    _head_bytes = 0

    def connection_made(self, transport: Any) -> None:
        """Wait for the first head."""
        super().connection_made(transport)
        self.head_since = time.monotonic()

    def data_received(self, data: bytes) -> None:
        """Take what came; a head that is too long ends the connection."""
        super().data_received(data)
        if self.head_since is not None and self.transport is not None:
            # Counted here and not header by header, which would cost each request 2 us.
            self._head_bytes += len(data)
            if self._head_bytes > MAX_HEAD_BYTES and not self.transport.is_closing():
                self.send_400_response(f"Expected a head of at most {MAX_HEAD_BYTES} bytes")

    def on_message_begin(self) -> None:
        """Wait for the rest of a head."""
        super().on_message_begin()
        self.head_since = time.monotonic()
        self._head_bytes = 0

    def on_headers_complete(self) -> None:
        """Stamp the scope and start the request."""
        self.head_since = None
        # Requests that were read in the same turn of the loop are tasks that have not begun: they count.
        self.scope[ARRIVAL] = (time.perf_counter(), len(self.tasks))  # type: ignore[typeddict-unknown-key]
        super().on_headers_complete()

    def on_message_complete(self) -> None:
        """Note that the body is whole."""
        self.cycle.scope[BODY_IS_WHOLE] = True  # type: ignore[typeddict-unknown-key]
        super().on_message_complete()

    def close_if_silent(self, now: float) -> None:
        """Close a connection whose head has not come in time."""
        if self.head_since is not None and now - self.head_since > HEAD_SECONDS:
            # One that answered before has a timer of its own for the pause between two requests.
            self.transport.close()


class ServingServer(uvicorn.Server):
    """uvicorn's server, which also closes connections that send nothing."""

    async def on_tick(self, counter: int) -> bool:
        """Look at the connections each second; called ten times a second."""
        if counter % 10 == 0:
            now = time.monotonic()
            for connection in list(self.server_state.connections):
                if isinstance(connection, ServingProtocol):
                    connection.close_if_silent(now)
        return await super().on_tick(counter)
