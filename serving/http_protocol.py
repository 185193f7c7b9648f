"""uvicorn's HTTP/1.1 protocol with what a server under load must know: when a request came, and how many before it."""

import resource
import time
from typing import Any, Final

import httptools
import uvicorn
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol, RequestResponseCycle

ARRIVAL: Final = "serving.arrival"
"""Key of an ASGI scope that holds an `Arrival`."""

BODY_IS_WHOLE: Final = "serving.body_is_whole"
"""Key of an ASGI scope that is there once the last byte of the body has come."""

MAX_HEAD_BYTES: Final = 32 * 1024
"""Longest request line and headers together; eight times what a request with a key and a trace needs."""
HEAD_SECONDS: Final = 10.0
"""Longest time for the head of a request; a connection that sends none is closed, too."""
MAX_STRAY_BYTES: Final = 1024 * 1024
"""Most bytes that belong to a body and are none of it: sizes and extensions of chunks, headers behind the last one."""
UNREAD_SECONDS: Final = 10.0
"""Longest time that a caller may let an answer lie, or go on with a body that was answered already."""
MAX_PIPELINED: Final = 100
"""Requests that may wait on one connection for the answer to the one before."""
SPARE_DESCRIPTORS: Final = 128
"""What connections leave for the log, the store and the cache."""

Arrival = tuple[float, int]
"""When the request's head was read (`time.perf_counter`, seconds), and how many requests were in flight then."""


class ServingProtocol(HttpToolsProtocol):
    """One connection; stamps each request's scope, and bounds what a caller may make it keep and wait for."""

    max_connections = max(resource.getrlimit(resource.RLIMIT_NOFILE)[0] - SPARE_DESCRIPTORS, SPARE_DESCRIPTORS)
    head_since: float | None = None
    """When the head that is awaited began (`time.monotonic`, seconds); ``None`` while a request is in flight."""
    _stray_bytes = 0
    _earlier: tuple[RequestResponseCycle, ...] = ()
    _stuck_since: float | None = None

    def __init__(self, *arguments: Any, **named: Any) -> None:
        super().__init__(*arguments, **named)
        self._lane: Any = getattr(self.app, "lane", None)
        self._held: tuple[RequestResponseCycle, Any, str] | None = None

    def connection_made(self, transport: Any) -> None:
        """Wait for the first head."""
        super().connection_made(transport)
        self.head_since = time.monotonic()
        if len(self.connections) > self.max_connections:
            transport.abort()

    def connection_lost(self, exc: Exception | None) -> None:
        """Tell all requests in flight; uvicorn tells the one that came last."""
        for cycle in self._earlier:
            cycle.disconnected = not cycle.response_complete
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        """Take what came; what is no HTTP, or makes a head or a chunk's frame too long, ends the connection."""
        self._unset_keepalive_if_required()
        # Counted here and not header by header, which would cost each request 2 us; the parser keeps an unfinished one.
        self._stray_bytes += len(data)
        try:
            self.parser.feed_data(data)
        except httptools.HttpParserUpgrade as upgrade:
            self._ignore_upgrade(data[upgrade.args[0] :])
        except httptools.HttpParserError:
            self._refuse()
        else:
            limit = MAX_STRAY_BYTES if self.head_since is None else MAX_HEAD_BYTES
            if self._stray_bytes > limit and not self.transport.is_closing():
                self._refuse()
        if self._held is not None:
            # The rest of its body is still to come.
            cycle, app, _ = self._held
            self.start_task(cycle, app)

    def start_task(self, cycle: Any, app: Any) -> None:
        """Answer a request by a task of its own."""
        self._held = None
        super()._start_asgi_task(cycle, app)

    def _start_asgi_task(self, cycle: Any, app: Any) -> None:
        """Answer a request by the fast lane if it may become one for it, else by a task."""
        model = None if self._lane is None or self.flow.write_paused else self._lane.model_of(cycle.scope)
        if model is None:
            super()._start_asgi_task(cycle, app)
        elif cycle.more_body:
            self._held = (cycle, app, model)
        else:
            self._lane.add(model, cycle, app, self)

    def on_message_begin(self) -> None:
        """Wait for the rest of a head."""
        super().on_message_begin()
        self.head_since = time.monotonic()
        self._stray_bytes = 0

    def on_headers_complete(self) -> None:
        """Stamp the scope and start the request."""
        if self.parser.should_upgrade():
            return
        if len(self.pipeline) >= MAX_PIPELINED:
            raise ValueError(f"Expected at most {MAX_PIPELINED} requests that wait for answers")
        self.head_since = None
        self._stray_bytes = 0
        # Requests that were read in the same turn of the loop have not begun: they count.
        before = len(self.tasks) + (0 if self._lane is None else self._lane.waiting)
        self.scope[ARRIVAL] = (time.perf_counter(), before)  # type: ignore[typeddict-unknown-key]
        last = self.cycle
        super().on_headers_complete()
        if self.pipeline:
            self._earlier = tuple(each for each in (*self._earlier, last) if not each.response_complete)
        # Headers that come behind a chunked body are no one's: who checks the head on the way does not see them.
        self.headers = []

    def on_body(self, body: bytes) -> None:
        """Take a part of the body."""
        self._stray_bytes = 0
        super().on_body(body)

    def on_message_complete(self) -> None:
        """Note that the body is whole."""
        if self.parser.should_upgrade():
            return
        self._stray_bytes = 0
        self.cycle.scope[BODY_IS_WHOLE] = True  # type: ignore[typeddict-unknown-key]
        super().on_message_complete()
        if self._held is not None and self._held[0] is self.cycle:
            cycle, app, model = self._held
            self._held = None
            self._lane.add(model, cycle, app, self)

    def close_if_silent(self, now: float) -> None:
        """Close a connection that keeps this server waiting: for a head, or by not reading an answer."""
        if self.head_since is not None:
            if now - self.head_since > HEAD_SECONDS:
                self.transport.close()
        elif self._is_answered() and self.timeout_keep_alive_task is None:
            # Answered before its body was whole, or only line ends came since: no timer of uvicorn's is running.
            self.head_since = now
        if not self.flow.write_paused and not self.transport.is_closing():
            self._stuck_since = None
        elif self._stuck_since is None:
            self._stuck_since = now
        elif now - self._stuck_since > UNREAD_SECONDS:
            # Closing would wait until all is read.
            self.transport.abort()

    def _is_answered(self) -> bool:
        return self.cycle is not None and self.cycle.response_complete and not self.pipeline

    def _ignore_upgrade(self, rest: bytes) -> None:
        """Read a request that offers another protocol as if it did not; Java's client offers HTTP/2 by default.

        The parser leaves the body of such a request unread, and so it is given the head once more.
        """
        method = self.parser.get_method()
        if method == b"CONNECT":
            self._refuse()
            return
        lines = [b"%s %s HTTP/%s" % (method, self.url, self.parser.get_http_version().encode())]
        lines += [b"%s: %s" % header for header in self.headers if header[0] != b"upgrade"]
        self.parser = httptools.HttpRequestParser(self)
        self.parser.set_dangerous_leniencies(lenient_data_after_close=True)
        self.data_received(b"\r\n".join(lines) + b"\r\n\r\n" + rest)

    def _refuse(self) -> None:
        """End the connection, with a 400 unless a caller would take it for the answer to a request before."""
        cycle = self.cycle
        if self.transport.is_closing():
            return
        if self.pipeline:
            self.transport.close()
        elif cycle is None or cycle.response_complete or cycle.more_body:
            self.send_400_response("Expected a request in HTTP/1.1")
        else:
            cycle.keep_alive = False
            self.flow.pause_reading()


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
