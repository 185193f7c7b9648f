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

Only this module, `serving.http.cycles` and `serving.http.listener` know uvicorn. `ServingProtocol` adds:

- *Arrival stamps.* ``on_headers_complete`` stamps a request with the time and the number of requests in flight, which
  admission judges by. A request that waits in the pipeline keeps the stamp of its arrival.
- *The fast path.* A request for one decision is a `ScoreCycle`, which has no ASGI scope. If its body arrives in the
  same read, or by its turn in the pipeline, it is submitted to the application's ``batcher``; the batcher replies with
  an answer, or with ``None`` if the request belongs in a task after all. All other requests go to an ASGI task.
  ``_start_asgi_task`` is overridden, since it also starts the requests of the pipeline. uvicorn has the hook since
  0.45; without it they would silently take the task, so a test asserts that the batcher decides.
- *Back-pressure.* While the transport's write buffer is full, requests go to a task, where the response awaits its
  draining. Reading pauses at the head of a request that has to wait in the pipeline, and at 64 KB of a body.
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
BUSY     a request is unanswered, also while a part    answered -> IDLE or HEAD, or      deadline of a request: 408,
         of the next one has come; further ones wait    CLOSED if it was the last         503
         in ``pipeline``                               no HTTP, or the caller ends its   `MAX_PIPELINED` and
                                                        side -> CLOSED after the          `MAX_STRAY_BYTES`: as no
                                                        answers that are due              HTTP
IDLE     everything is answered;                       a request begins -> HEAD          `keep_alive_seconds`: close
         ``_idle_since`` is set                        other bytes -> HEAD at the next
                                                        look (line ends, or a part of a
                                                        body that is answered already)
CLOSED   the transport is closing; what was written    everything sent                   `UNREAD_SECONDS`: abort
         is still sent
=======  ============================================  ================================  ==============================

In any state a transport whose caller reads less than `LEAST_READ_BYTES` of what waits for it in `UNREAD_SECONDS` is
aborted. Of a request of which a part is missing when the connection ends nothing is answered. The handshake of TLS
comes before all this; `serving.http.listener` limits it to `HEAD_SECONDS`. While the server drains, the last answer of
a connection closes it. At shutdown a BUSY connection closes after the answers that are due, all others at once, and
only the server's own limit applies from then on.

States of a request:

=========  ===========================================================  ===============================================
state      holds while                                                  left by
=========  ===========================================================  ===============================================
QUEUED     it waits in ``pipeline`` behind an earlier request           its turn -> BATCHED if whole, else TASK
CANDIDATE  ``_candidate``: it asks for one decision, and the read       body complete -> BATCHED
           that held its head is not parsed to the end                  end of the read -> TASK
BATCHED    the batcher has it                                           answer -> ANSWERED; ``None`` -> TASK
TASK       its ASGI task runs                                           response complete -> ANSWERED
ANSWERED   its response is written, or dropped if the caller            (final)
           disconnected
=========  ===========================================================  ===============================================
"""

import resource
import time
from collections.abc import Mapping
from typing import Any, Final

import httptools
from uvicorn.protocols.http.flow_control import HIGH_WATER_LIMIT
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol, RequestResponseCycle

from serving.http.answers import WRITE_ANSWER
from serving.http.arrival import ARRIVAL, BODY_IS_WHOLE, Arrival
from serving.http.cycles import ScoreCycle, write_by_send
from serving.http.fast_path.turns import TurnBatcher
from serving.http.signals import Signals
from serving.http.targets import ScoreTarget, score_target

MAX_HEAD_BYTES: Final = 32 * 1024
"""Longest request line and headers together; eight times what a request with a key and a trace needs."""
HEAD_SECONDS: Final = 10.0
"""Longest time for the head of a request, also for the first one of a connection."""
MAX_STRAY_BYTES: Final = 1024 * 1024
"""Most bytes around a body: sizes and extensions of chunks, trailers, line ends."""
UNREAD_SECONDS: Final = 10.0
LEAST_READ_BYTES: Final = 16 * 1024
"""A caller reads at least so many bytes of the answers that wait for it in so many seconds."""
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
    _unread: tuple[float, int] | None = None
    """While answers wait to be read: since when (`time.monotonic`) too little was, and bytes that waited then."""
    _idle_since: float | None = None
    """Start of the state IDLE (`time.monotonic`, seconds); ``None`` outside of it."""
    _candidate: ScoreCycle | None = None
    """The latest request if it is in the state CANDIDATE."""

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
        for cycle in self._earlier_cycles:
            cycle.disconnected = not cycle.response_complete
        super().connection_lost(exc)
        # Otherwise the connection and the requests that wait would refer to each other.
        self.pipeline.clear()

    def eof_received(self) -> bool:  # type: ignore[override]  # asyncio's, with a result
        """Answer the requests that are whole when the caller closes its side of a TCP connection; TLS closes both."""
        return self.scheme == "http" and not self.transport.is_closing() and self._end_after_answers()

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
            cycle, self._candidate = self._candidate, None
            self._start_asgi_task(cycle, self.app)

    def _start_asgi_task(self, cycle: RequestResponseCycle, app: Any) -> None:
        """Start a request (uvicorn's hook): by the batcher if it is for one decision and whole, else by a task."""
        if isinstance(cycle, ScoreCycle) and not cycle.is_prepared:
            if not (cycle.more_body or self.flow.write_paused):
                self._submit(cycle)
                return
            cycle.prepare_task()
        cycle.scope[WRITE_ANSWER] = write_by_send  # type: ignore[typeddict-unknown-key]
        super()._start_asgi_task(cycle, app)

    def _submit(self, cycle: ScoreCycle) -> None:
        if type(cycle.body) is bytearray:
            cycle.body = bytes(cycle.body)
        self._batcher.submit(cycle)  # type: ignore[union-attr]

    def on_message_begin(self) -> None:
        """Wait for the rest of a head; uvicorn would make a scope, which few requests need (`_make_cycle`)."""
        self.url = b""
        self.expect_100_continue = False
        self.headers = []
        self.head_since = time.monotonic()
        self._stray_bytes = 0
        self._most_head_bytes = self._read_bytes

    def on_headers_complete(self) -> None:
        """Check the head, stamp the request, and start or queue it."""
        headers = self._checked_headers()
        if self.parser.should_upgrade():
            return
        if len(self.pipeline) >= MAX_PIPELINED:
            raise ValueError(f"Expected at most {MAX_PIPELINED} requests that wait for answers")
        self.head_since = None
        self._stray_bytes = 0
        # A request that waits for its batch has no task yet, and is in flight.
        in_flight = len(self.tasks) + (0 if self._batcher is None else self._batcher.waiting)
        arrival = time.perf_counter(), in_flight
        previous = self.cycle
        if self.expect_100_continue and self.parser.get_http_version() == "1.0":
            self.expect_100_continue = False  # RFC 9110, 10.1.1
        is_post = self.parser.get_method() == b"POST"
        target = score_target(self.url) if is_post and self._batcher is not None else None
        if target is None:
            self._make_cycle(arrival)
        else:
            self._make_score_cycle(target, headers, arrival)
        if self._signals.is_draining:
            self.cycle.keep_alive = False
        if self.pipeline:
            cycles = (*self._earlier_cycles, previous)
            self._earlier_cycles = tuple(cycle for cycle in cycles if not cycle.response_complete)
        # The parser appends the trailers of a chunked body to this list: they must not become headers unchecked.
        self.headers = []

    def _make_cycle(self, arrival: Arrival) -> None:
        """Start or queue a request as uvicorn does."""
        url, headers, expect_100_continue = self.url, self.headers, self.expect_100_continue
        super().on_message_begin()
        self.url, self.expect_100_continue = url, expect_100_continue
        self.headers += headers
        self.scope[ARRIVAL] = arrival  # type: ignore[typeddict-unknown-key]
        super().on_headers_complete()

    def _make_score_cycle(self, target: ScoreTarget, headers: Mapping[bytes, bytes], arrival: Arrival) -> None:
        """Start or queue a request for one decision."""
        previous = self.cycle
        self.cycle = cycle = ScoreCycle(self, target, self.headers, headers, arrival)
        if self.expect_100_continue:
            cycle.waiting_for_100_continue = True
        if previous is not None and not previous.response_complete:
            self.flow.pause_reading()
            self.pipeline.appendleft((cycle, self.app))
        elif self.flow.write_paused:
            self._start_asgi_task(cycle, self.app)
        else:
            self._candidate = cycle

    def _checked_headers(self) -> dict[bytes, bytes]:
        """The headers by their names; of a repeated one the last.

        Refuses a head that is too long however it arrived, and one of HTTP/1.1 or later without a host (RFC 9112, 3.2).
        """
        if self._most_head_bytes > MAX_HEAD_BYTES:
            request_line = len(self.parser.get_method()) + len(self.url) + len("  HTTP/1.1\r\n")
            size = request_line + sum(len(name) + len(value) + len(": \r\n") for name, value in self.headers) + 2
            if size > MAX_HEAD_BYTES:
                raise ValueError(f"Expected a head of at most {MAX_HEAD_BYTES} bytes")
        named = dict(self.headers)
        if len(named) == len(self.headers) and b"host" in named:
            return named  # the usual case: no name twice
        hosts = [name for name, _ in self.headers].count(b"host")
        if hosts != 1 and (hosts > 1 or self.parser.get_http_version() != "1.0"):
            raise ValueError(f"Expected one Host header, got {hosts}")
        return named

    def on_body(self, body: bytes) -> None:
        """Add a part of the body."""
        self._stray_bytes = 0
        cycle = self._candidate
        if cycle is not None and not cycle.body and len(body) <= HIGH_WATER_LIMIT:
            cycle.body = body  # the usual case: one part
            return
        if isinstance(self.cycle, ScoreCycle) and type(self.cycle.body) is bytes:
            self.cycle.body = bytearray(self.cycle.body)
        super().on_body(body)

    def on_message_complete(self) -> None:
        """Note that the body is complete; a candidate goes to the batcher."""
        cycle = self._candidate
        if cycle is not None:
            self._candidate = None
            self._stray_bytes = 0
            cycle.more_body = False
            self._submit(cycle)
            return
        if self.parser.should_upgrade():
            return
        self._stray_bytes = 0
        if not isinstance(self.cycle, ScoreCycle) or self.cycle.is_prepared:
            self.cycle.scope[BODY_IS_WHOLE] = True  # type: ignore[typeddict-unknown-key]
        super().on_message_complete()
        if self.cycle.response_complete:
            # Answered before its body was complete.
            self._idle_since = time.monotonic()

    def on_response_complete(self) -> None:
        """Start the next request of the pipeline, or wait for one."""
        self.server_state.total_requests += 1
        if self.transport.is_closing():
            return
        self.flow.resume_reading()
        if self.pipeline:
            self._start_asgi_task(*self.pipeline.pop())
            return
        self._idle_since = time.monotonic()
        if self.head_since is not None:
            # The caller could not finish this head while reading was paused.
            self.head_since = self._idle_since

    def drain(self) -> None:
        """Close the connection after the answers that are due, if any is."""
        if unanswered := self._unanswered():
            unanswered[-1].keep_alive = False

    def close_if_silent(self, now: float) -> None:
        """Close a connection whose caller lets the server wait too long: for a head, or for an answer to be read."""
        if not self._unanswered():  # a request that is unanswered has a deadline
            self._close_if_idle(now)
        self._abort_if_unread(now)

    def _close_if_idle(self, now: float) -> None:
        if self.head_since is not None:
            if now - self.head_since > HEAD_SECONDS:
                self.transport.close()
        elif self._idle_since is not None:
            if now - self._idle_since > self.timeout_keep_alive:
                self.transport.close()
        else:
            # Only line ends arrived, or a part of a body that is answered already.
            self.head_since = now

    def _abort_if_unread(self, now: float) -> None:
        """Abort a connection whose caller reads less than `LEAST_READ_BYTES` of what waits in `UNREAD_SECONDS`."""
        if not self.flow.write_paused and not self.transport.is_closing():
            self._unread = None
            return
        size = self.transport.get_write_buffer_size()
        if self._unread is None or size <= self._unread[1] - LEAST_READ_BYTES:
            self._unread = now, size
        elif now - self._unread[0] > UNREAD_SECONDS:
            # `close` would wait until the caller has read everything.
            self.transport.abort()
        elif size > self._unread[1]:
            self._unread = self._unread[0], size  # the next answer was added

    def _unanswered(self) -> list[RequestResponseCycle]:
        """The requests that are unanswered, in their order; the latest may have come in part."""
        latest = () if self.cycle is None else (self.cycle,)
        return [cycle for cycle in (*self._earlier_cycles, *latest) if not cycle.response_complete]

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
        """End the connection after the answers that are due, or with a 400."""
        if not self.transport.is_closing() and not self._end_after_answers():
            self.send_400_response("Expected a request in HTTP/1.1")

    def _end_after_answers(self) -> bool:
        """Read nothing more, and close after the last answer that is due; whether any is.

        A request of which a part is missing gets no answer any more, unless it is being answered.
        """
        unanswered = self._unanswered()
        self._candidate = None
        if unanswered and unanswered[-1].more_body and not unanswered[-1].response_started:
            cycle = unanswered.pop()
            cycle.disconnected = True
            cycle.message_event.set()
            if self.pipeline and self.pipeline[0][0] is cycle:
                self.pipeline.popleft()
        if not unanswered:
            return False
        *earlier, self.cycle = unanswered
        self._earlier_cycles = tuple(earlier)
        self.cycle.keep_alive = False
        self.flow.pause_reading()
        return True
