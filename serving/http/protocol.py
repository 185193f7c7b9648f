"""The HTTP/1.1 state machine of a connection: uvicorn's, with limits, arrival stamps and the fast path added.

Theory of operation
===================

uvicorn makes one `HttpToolsProtocol` per connection. The event loop calls `data_received` with the bytes of one read;
httptools parses them and calls ``on_message_begin``, ``on_url``, ``on_header``, ``on_headers_complete``, ``on_body``
and ``on_message_complete``, for several requests where one read holds several. Once a head is complete, uvicorn makes a
`RequestResponseCycle` (one request and its response; ``cycle`` is the latest). It starts the cycle by
``_start_asgi_task`` or, while an earlier request is unanswered, puts it into ``pipeline``. A cycle that has sent its
response calls ``on_response_complete``, which starts the next cycle of the pipeline or waits for the next request.
Responses therefore leave in the order of the requests, and at most one request of a connection is started at a time.

Only this module and `serving.http.listener` know uvicorn. `ServingProtocol` adds:

- *Arrival stamps.* ``on_headers_complete`` stamps the scope with the time and the number of requests in flight, which
  admission judges by. A request that waits in the pipeline keeps the stamp of its arrival.
- *The fast path.* ``_start_asgi_task`` is overridden. A request for one decision whose body arrives in the same read is
  submitted to the application's ``batcher`` as a `WholeRequest`; the batcher replies with an answer, or with ``None``
  if the request belongs in a task after all. All other requests go to an ASGI task. uvicorn has the hook since 0.45;
  without it every request would silently take the task, so a test asserts that the batcher decides.
- *Back-pressure.* While the transport's write buffer is full, requests go to a task, where the response awaits its
  draining. uvicorn pauses reading while requests wait in the pipeline.
- *Limits* on what a caller may make the server keep and wait for. httptools bounds neither a head nor the frames of
  chunks, and keeps an unfinished one in memory; bytes that belong to no body are therefore counted.
- *Waiting without a timer.* uvicorn sets a timer after each answer and cancels it at the next request. Here
  ``on_response_complete`` keeps the time instead, which `close_if_silent` compares.
- *Upgrades are ignored.* A request that offers another protocol is answered in HTTP/1.1 (see `_ignore_upgrade`).

States of a connection; `close_if_silent` applies the time limits each second:

=======  ============================================  ================================  ==============================
state    holds while                                   left by                           limits
=======  ============================================  ================================  ==============================
HEAD     ``head_since`` is set: newly connected, or    head complete -> BUSY             `HEAD_SECONDS`: close
         a request has begun                           no HTTP -> CLOSED (400)           `MAX_HEAD_BYTES`: 400
BUSY     a request is unanswered; further ones wait    answered -> IDLE, or CLOSED       request's deadline: 408, 503
         in ``pipeline``                                if it was the last               `MAX_PIPELINED`: refused
                                                       no HTTP -> CLOSED (`_refuse`)     `MAX_STRAY_BYTES`: refused
IDLE     everything is answered;                       a request begins -> HEAD          `keep_alive_seconds`: close
         ``_idle_since`` is set                        other bytes -> HEAD at the next
                                                        look (line ends, or the rest of
                                                        a body that is answered already)
CLOSED   the transport is closing; what was written    everything sent                   `UNREAD_SECONDS`: abort
         is still sent
=======  ============================================  ================================  ==============================

In any state a transport that cannot write for `UNREAD_SECONDS` is aborted. While the server drains, each answer closes
its connection. At shutdown a BUSY connection closes after the answers that are due, all others at once.

States of a request:

=========  ===========================================================  ===============================================
state      holds while                                                  left by
=========  ===========================================================  ===============================================
QUEUED     it waits in ``pipeline`` behind an earlier request           its turn -> CANDIDATE, BATCHED or TASK
CANDIDATE  ``_candidate``: it asks for one decision, and the read       body complete -> BATCHED
           that held its head is not parsed to the end                  end of the read -> TASK
BATCHED    ``_batched``: the batcher has it                             answer -> ANSWERED; ``None`` -> TASK
TASK       its ASGI task runs                                           response complete -> ANSWERED
ANSWERED   its response is written, or dropped if the caller            (final)
           disconnected
=========  ===========================================================  ===============================================
"""

import functools
import resource
import time
from typing import Any, Final

import httptools
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol, RequestResponseCycle

from serving.http.answers import WRITE_ANSWER, Answer, response
from serving.http.arrival import ARRIVAL, BODY_IS_WHOLE
from serving.http.fast_path.turns import TurnBatcher
from serving.http.fast_path.whole_requests import WholeRequest
from serving.http.signals import Signals
from serving.http.targets import target
from serving.wire.headers import read_headers

MAX_HEAD_BYTES: Final = 32 * 1024
"""Longest request line and headers together; eight times what a request with a key and a trace needs."""
HEAD_SECONDS: Final = 10.0
"""Longest time for the head of a request, also for the first one of a connection."""
MAX_STRAY_BYTES: Final = 1024 * 1024
"""Most bytes around a body: sizes and extensions of chunks, trailers, line ends."""
UNREAD_SECONDS: Final = 10.0
"""Longest time that a caller may leave an answer unread."""
MAX_PIPELINED: Final = 100
"""Requests that may wait on one connection for the answer to an earlier one."""
SPARE_DESCRIPTORS: Final = 128
"""File descriptors that connections leave for the log, the store and the cache."""


class ServingProtocol(HttpToolsProtocol):
    """One connection."""

    max_connections = max(resource.getrlimit(resource.RLIMIT_NOFILE)[0] - SPARE_DESCRIPTORS, SPARE_DESCRIPTORS)
    head_since: float | None = None
    """Start of the wait for a head (`time.monotonic`, seconds); ``None`` outside the state HEAD."""
    _stray_bytes = 0
    _read_bytes = 0
    """Bytes of the current read."""
    _most_head_bytes = 0
    """Bytes of the reads that held the current head, so its length at most."""
    _earlier_cycles: tuple[RequestResponseCycle, ...] = ()
    """Cycles before the latest that were unanswered when it came."""
    _unread_since: float | None = None
    _idle_since: float | None = None
    """Start of the state IDLE (`time.monotonic`, seconds); ``None`` outside of it."""
    _candidate: tuple[RequestResponseCycle, Any, str] | None = None
    """Cycle, application and model of a request in the state CANDIDATE."""
    _batched: WholeRequest | None = None

    def __init__(self, *arguments: Any, **named: Any) -> None:
        super().__init__(*arguments, **named)
        self._batcher: TurnBatcher | None = getattr(self.app, "batcher", None)
        self._signals: Signals = getattr(self.app, "signals", Signals())

    def connection_made(self, transport: Any) -> None:
        """Wait for the first head, unless there are too many connections."""
        super().connection_made(transport)
        self.head_since = time.monotonic()
        if len(self.connections) > self.max_connections:
            transport.abort()

    def connection_lost(self, exc: Exception | None) -> None:
        """Mark all requests in flight; uvicorn marks only the latest."""
        if self._batched is not None:
            self._batched.is_gone = True
        for cycle in self._earlier_cycles:
            cycle.disconnected = not cycle.response_complete
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        """Parse the bytes of one read."""
        self._idle_since = None
        # Counted here and not header by header, which would cost each request 2 us.
        self._read_bytes = len(data)
        self._stray_bytes += self._read_bytes
        self._most_head_bytes += self._read_bytes
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
        if self._candidate is not None:
            cycle, app, _ = self._candidate
            self._start_task(cycle, app)

    def _start_asgi_task(self, cycle: RequestResponseCycle, app: Any) -> None:
        """Start a request (uvicorn's hook): by the batcher if it is for one decision, else by a task."""
        route = None if self._batcher is None or self.flow.write_paused else target(cycle.scope)
        if route is None or route[1]:
            self._start_task(cycle, app)
        elif cycle.more_body:
            self._candidate = cycle, app, route[0]
        else:
            self._submit(cycle, app, route[0])

    def _start_task(self, cycle: RequestResponseCycle, app: Any) -> None:
        self._candidate = None
        cycle.scope[WRITE_ANSWER] = _write_by_send  # type: ignore[typeddict-unknown-key]
        super()._start_asgi_task(cycle, app)

    def _submit(self, cycle: RequestResponseCycle, app: Any, model: str) -> None:
        self._candidate = None
        scope: Any = cycle.scope
        reply = functools.partial(self._reply, cycle, app)
        self._batched = WholeRequest(model, read_headers(scope), scope[ARRIVAL], bytes(cycle.body), reply)
        self._batcher.submit(self._batched)  # type: ignore[union-attr]

    def _reply(self, cycle: RequestResponseCycle, app: Any, answer: Answer | None) -> None:
        self._batched = None
        if answer is None:
            self._start_task(cycle, app)
        else:
            _write(cycle, answer)

    def on_message_begin(self) -> None:
        """Wait for the rest of a head."""
        super().on_message_begin()
        self.head_since = time.monotonic()
        self._stray_bytes = 0
        self._most_head_bytes = self._read_bytes

    def on_headers_complete(self) -> None:
        """Check the head, stamp the scope, and start or queue the request."""
        self._check_head()
        if self.parser.should_upgrade():
            return
        if len(self.pipeline) >= MAX_PIPELINED:
            raise ValueError(f"Expected at most {MAX_PIPELINED} requests that wait for answers")
        self.head_since = None
        self._stray_bytes = 0
        # A request that waits for its batch has no task yet, and is in flight.
        in_flight = len(self.tasks) + (0 if self._batcher is None else self._batcher.waiting)
        self.scope[ARRIVAL] = time.perf_counter(), in_flight  # type: ignore[typeddict-unknown-key]
        previous = self.cycle
        super().on_headers_complete()
        if self._signals.is_draining:
            self.cycle.keep_alive = False
        if self.pipeline:
            cycles = (*self._earlier_cycles, previous)
            self._earlier_cycles = tuple(cycle for cycle in cycles if not cycle.response_complete)
        # The parser appends the trailers of a chunked body to this list: they must not become headers unchecked.
        self.headers = []

    def _check_head(self) -> None:
        """Refuse a head that is too long however it arrived, and one of HTTP/1.1 without a host (RFC 9112, 3.2)."""
        if self._most_head_bytes > MAX_HEAD_BYTES:
            request_line = len(self.parser.get_method()) + len(self.url) + len("  HTTP/1.1\r\n")
            size = request_line + sum(len(name) + len(value) + len(": \r\n") for name, value in self.headers) + 2
            if size > MAX_HEAD_BYTES:
                raise ValueError(f"Expected a head of at most {MAX_HEAD_BYTES} bytes")
        named = dict(self.headers)
        if len(named) == len(self.headers) and b"host" in named:
            return  # the usual case: no name twice
        hosts = [name for name, _ in self.headers].count(b"host")
        if hosts != 1 and (hosts > 1 or self.parser.get_http_version() == "1.1"):
            raise ValueError(f"Expected one Host header, got {hosts}")

    def on_body(self, body: bytes) -> None:
        """Add a part of the body."""
        self._stray_bytes = 0
        super().on_body(body)

    def on_message_complete(self) -> None:
        """Note that the body is complete; a candidate becomes a whole request."""
        if self.parser.should_upgrade():
            return
        self._stray_bytes = 0
        self.cycle.scope[BODY_IS_WHOLE] = True  # type: ignore[typeddict-unknown-key]
        super().on_message_complete()
        if self._candidate is not None and self._candidate[0] is self.cycle:
            self._submit(*self._candidate)

    def on_response_complete(self) -> None:
        """Start the next request of the pipeline, or wait for one."""
        self.server_state.total_requests += 1
        if self.transport.is_closing():
            return
        self.flow.resume_reading()
        if self.pipeline:
            self._start_asgi_task(*self.pipeline.pop())
        else:
            self._idle_since = time.monotonic()

    def close_if_silent(self, now: float) -> None:
        """Close a connection whose caller lets the server wait too long: for a head, or for an answer to be read."""
        if self.head_since is not None:
            if now - self.head_since > HEAD_SECONDS:
                self.transport.close()
        elif self._idle_since is not None:
            if now - self._idle_since > self.timeout_keep_alive:
                self.transport.close()
        elif self._is_answered():
            # Answered before its body was complete, or only line ends came since.
            self.head_since = now
        if not self.flow.write_paused and not self.transport.is_closing():
            self._unread_since = None
        elif self._unread_since is None:
            self._unread_since = now
        elif now - self._unread_since > UNREAD_SECONDS:
            # `close` would wait until the caller has read everything.
            self.transport.abort()

    def _is_answered(self) -> bool:
        return self.cycle is not None and self.cycle.response_complete and not self.pipeline

    def _ignore_upgrade(self, rest: bytes) -> None:
        """Parse a request that offers another protocol as if it did not; Java's client offers HTTP/2 by default.

        The parser leaves the body of such a request unread, so a new parser gets the head without the offer.
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
        """End the connection, with a 400 unless a caller would take it for the answer to an earlier request."""
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


def _write(cycle: RequestResponseCycle, answer: Answer) -> None:
    """Write the answer to a POST in one piece, unless its caller has disconnected.

    Has the same effects as `RequestResponseCycle.send` with both messages of a response of known length.
    """
    if not cycle.disconnected:
        cycle.response_started = True
        cycle.waiting_for_100_continue = False
        is_last = not cycle.keep_alive
        cycle.transport.write(response(answer, cycle.default_headers, is_last=is_last))
        cycle.response_complete = True
        cycle.message_event.set()
        if is_last:
            cycle.transport.close()
        cycle.on_response()
    # As uvicorn does after a request: otherwise the connection and its last request refer to each other.
    cycle.on_response = _nothing


def _nothing() -> None:
    """Remaining work after an answer."""


async def _write_by_send(send: Any, answer: Answer) -> bool:
    """Write an answer in one piece if `send` is a cycle's own; an `AnswerWriter`."""
    cycle = getattr(send, "__self__", None)
    if type(cycle) is not RequestResponseCycle or cycle.scope["method"] != "POST" or cycle.response_started:
        return False
    if cycle.flow.write_paused and not cycle.disconnected:
        await cycle.flow.drain()
    _write(cycle, answer)
    return True
