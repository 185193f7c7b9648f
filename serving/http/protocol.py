"""uvicorn's HTTP/1.1 protocol with what a server under load must know: when a request came, and how many before it.

A request for one decision goes to the fast lane (`serving.http.fast_path.turns`), and does so past the parser if its
connection has sent its head before (`serving.http.fast_path.head_templates`).
"""

import resource
import time
from collections.abc import Mapping
from typing import Any, Final

import httptools
import uvicorn
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol, RequestResponseCycle

from serving.http.answers import response
from serving.http.arrival import ARRIVAL, BODY_IS_WHOLE, Arrival
from serving.http.fast_path.head_templates import KnownHead, learn
from serving.http.fast_path.whole_requests import ParsedRequest, UnparsedRequest

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
MOST_LESSONS: Final = 8
"""Heads that a connection learns: a caller whose heads are never alike pays for learning only so often."""
_LATELY: Final = 0.0


class ServingProtocol(HttpToolsProtocol):
    """One connection; stamps each request's scope, and bounds what a caller may make it keep and wait for."""

    max_connections = max(resource.getrlimit(resource.RLIMIT_NOFILE)[0] - SPARE_DESCRIPTORS, SPARE_DESCRIPTORS)
    head_since: float | None = None
    """When the head that is awaited began (`time.monotonic`, seconds); ``None`` while a request is in flight."""
    _stray_bytes = 0
    _earlier: tuple[RequestResponseCycle, ...] = ()
    _stuck_since: float | None = None
    _quiet_since: float | None = None
    """When the fast lane's last answer left and nothing came since (`time.monotonic`); `_LATELY` until looked at."""
    _is_between = True
    """Whether the parser awaits the first byte of a request."""
    _is_ending = False
    _lessons = MOST_LESSONS
    _known: tuple[str, KnownHead] | None = None
    _unparsed: UnparsedRequest | None = None
    _parsed: tuple[str, RequestResponseCycle] | None = None
    _arrival: Arrival | None = None

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
        if self._unparsed is not None:
            self._unparsed.is_gone = True
            self._unparsed = None
        for cycle in self._earlier:
            cycle.disconnected = not cycle.response_complete
        super().connection_lost(exc)

    def shutdown(self) -> None:
        """Close the connection, after the answer to a request in flight."""
        if self._unparsed is None:
            super().shutdown()
        else:
            self._is_ending = True

    def data_received(self, data: bytes) -> None:
        """Take what came; what is no HTTP, or makes a head or a chunk's frame too long, ends the connection."""
        if self.timeout_keep_alive_task is not None:
            self._unset_keepalive_if_required()
        self._quiet_since = None
        if self._unparsed is not None:
            # Answers leave in the order of the requests: uvicorn sees to it for all that it knows of.
            self._lane.withdraw(self._unparsed)
            self._unparsed.fall_back_to_asgi()
        elif self._known is not None and self._is_between and self._is_free():
            model, head = self._known
            found = head.match(data)
            if found is not None:
                self.head_since = None
                self._stray_bytes = 0
                request = UnparsedRequest(model, found.headers, self._arrived(), found.body, data, self)
                self._unparsed = request
                self._lane.add(request)
                return
        self._feed(data)

    def _arrived(self) -> Arrival:
        # Requests that were read in the same turn of the loop have not begun: they count.
        return time.perf_counter(), len(self.tasks) + (0 if self._lane is None else self._lane.waiting)

    def _feed(self, data: bytes) -> None:
        """Have the parser read what came."""
        is_between, self._parsed = self._is_between, None
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
        elif self._parsed is not None and is_between and self._is_between and self._lessons:
            self._learn(data, *self._parsed)

    def _learn(self, data: bytes, model: str, cycle: RequestResponseCycle) -> None:
        if cycle.keep_alive:
            self._lessons -= 1
            head = learn(data, cycle.scope["headers"], bytes(cycle.body))  # type: ignore[arg-type]
            self._known = None if head is None else (model, head)

    def answer(self, status: int, content: bytes, headers: Mapping[str, str] | None) -> None:
        """Answer the request that the parser has not seen."""
        self._unparsed = None
        self._quiet_since = _LATELY
        self.server_state.total_requests += 1
        default_headers = self.server_state.default_headers
        self.transport.write(response(status, content, default_headers, headers, is_last=self._is_ending))
        if self._is_ending:
            self.transport.close()

    def parse(self, data: bytes, arrival: Arrival) -> None:
        """Have the parser read a request after all, for a task to answer."""
        self._unparsed = None
        self._arrival = arrival
        try:
            self._feed(data)
        finally:
            self._arrival = None
        if self._is_ending and self.cycle is not None:
            self.cycle.keep_alive = False

    def start_task(self, cycle: Any, app: Any) -> None:
        """Answer a request by a task of its own."""
        self._held = None
        super()._start_asgi_task(cycle, app)

    def _start_asgi_task(self, cycle: Any, app: Any) -> None:
        """Answer a request by the fast lane if it may become one for it, else by a task."""
        is_lane_shut = self._lane is None or self._arrival is not None or self.flow.write_paused
        model = None if is_lane_shut else self._lane.model_of(cycle.scope)
        if model is None:
            super()._start_asgi_task(cycle, app)
        elif cycle.more_body:
            self._held = (cycle, app, model)
        else:
            self._add(model, cycle, app)

    def _add(self, model: str, cycle: Any, app: Any) -> None:
        self._parsed = model, cycle
        self._lane.add(ParsedRequest(model, cycle.scope[ARRIVAL], cycle, app, self))

    def on_message_begin(self) -> None:
        """Wait for the rest of a head."""
        super().on_message_begin()
        self._is_between = False
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
        self.scope[ARRIVAL] = self._arrival or self._arrived()  # type: ignore[typeddict-unknown-key]
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
        self._is_between = True
        self.cycle.scope[BODY_IS_WHOLE] = True  # type: ignore[typeddict-unknown-key]
        super().on_message_complete()
        if self._held is not None and self._held[0] is self.cycle:
            cycle, app, model = self._held
            self._held = None
            self._add(model, cycle, app)

    def close_if_silent(self, now: float) -> None:
        """Close a connection that keeps this server waiting: for a head, or by not reading an answer."""
        if self._quiet_since is not None:
            self._quiet_since = self._quiet_since or now
            if now - self._quiet_since > self.timeout_keep_alive:
                self.transport.close()
        elif self.head_since is not None:
            if now - self.head_since > HEAD_SECONDS:
                self.transport.close()
        elif self._unparsed is None and self._is_answered() and self.timeout_keep_alive_task is None:
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
        """Whether the parser's last request has its answer, and nothing waits behind it."""
        return self.cycle is not None and self.cycle.response_complete and not self.pipeline

    def _is_free(self) -> bool:
        """Whether the answer to another request may leave at once."""
        return self._is_answered() and not self.flow.write_paused and not self.transport.is_closing()

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
        self._feed(b"\r\n".join(lines) + b"\r\n\r\n" + rest)

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
