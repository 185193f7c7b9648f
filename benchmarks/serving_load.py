"""Load over keep-alive connections: closed loops with one request in flight each, open loops that send on time.

An asyncio protocol that sends prepared bytes and reads status, length and body: it takes less of its core than any
server takes of its own, and every figure comes with how busy both were.

An open loop counts latency from the moment a request was due, so that a server that stalls is charged for every request
it kept waiting. It spins between the due times, since the event loop's timers are only good to a millisecond: give it
a core of its own.
"""

import asyncio
import contextlib
import gc
import time
from array import array
from collections import Counter, deque
from collections.abc import Awaitable, Callable, Iterator, Sequence
from typing import Any, NamedTuple, Protocol, TypeVar

LOST = 0
"""Status of a request whose connection closed before its answer was complete."""
GRACE_SECONDS = 15.0
"""How long an open loop waits for answers after its last request."""
_RECONNECT_SECONDS = 0.01
_LENGTH = b"content-length: "

Result = TypeVar("Result")


class Answer(NamedTuple):
    """Outcome of a request. Times are `time.perf_counter`'s; in a closed loop a request is due when it is sent."""

    number: int
    status: int
    due_at: float
    sent_at: float
    answered_at: float
    body: bytes


Keep = Callable[[Answer], None]


class Requests(Protocol):
    """Source of requests."""

    def take(self) -> tuple[int, bytes]:
        """The next request: its number, and its bytes on the wire."""


class Tally:
    """Latencies of the requests that were answered with 200, in seconds, and how many had which status."""

    def __init__(self) -> None:
        self.latencies = array("d")
        self.statuses: Counter[int] = Counter()

    def __call__(self, answer: Answer) -> None:
        """Count an answer."""
        self.statuses[answer.status] += 1
        if answer.status == 200:
            self.latencies.append(answer.answered_at - answer.due_at)

    @property
    def failures(self) -> int:
        """Requests without a 200."""
        return self.statuses.total() - self.statuses[200]


class Connection(asyncio.Protocol):
    """One keep-alive connection with at most one request in flight."""

    def __init__(self, load: "ClosedLoop | OpenLoop") -> None:
        self._load = load
        self._received = b""
        self._transport: Any = None
        self._number = -1
        self._due_at = self._sent_at = 0.0

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Register as free."""
        self._transport = transport
        self._load.free(self)

    def send(self, number: int, request: bytes, due_at: float | None = None) -> None:
        """Send a request; without `due_at` it was due now."""
        self._number = number
        self._sent_at = time.perf_counter()
        self._due_at = self._sent_at if due_at is None else due_at
        self._transport.write(request)

    def data_received(self, data: bytes) -> None:
        """Pass an answer on once it is complete."""
        received = self._received + data if self._received else data
        start = body_start(received)
        if start < 0:
            self._received = received
            return
        self._received = b""
        number, self._number = self._number, -1
        status = int(received[9:12])
        self._load.keep(Answer(number, status, self._due_at, self._sent_at, time.perf_counter(), received[start:]))
        if b"connection: close" not in received[:start]:
            self._load.free(self)

    def connection_lost(self, _error: Exception | None) -> None:
        """Report the request that was in flight as lost."""
        if self._number >= 0:
            now = time.perf_counter()
            self._load.keep(Answer(self._number, LOST, self._due_at, self._sent_at, now, b""))
        self._load.gone()

    def close(self) -> None:
        """Close the connection and report it as lost."""
        self._transport.close()


def body_start(received: bytes) -> int:
    r"""Where the body of a whole HTTP/1.1 response begins, -1 while some of it is missing.

    Examples
    --------
    >>> body_start(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"), body_start(b"HTTP/1.1 200 OK\r\n")
    (38, -1)
    """
    end = received.find(b"\r\n\r\n")
    if end < 0:
        return -1
    start = end + 4
    at = received.find(_LENGTH, 0, end)
    if at < 0:
        at = received[:end].lower().find(_LENGTH)
    if at >= 0:
        length = int(received[at + len(_LENGTH) : received.find(b"\r", at)])
        return start if len(received) >= start + length else -1
    # Without a length the body comes in chunks, the last one empty.
    return start if received.endswith(b"0\r\n\r\n") else -1


class ClosedLoop:
    """Connections that each send the next request as soon as the last one is answered, until `stop`.

    Parameters
    ----------
    requests
        Gives the requests.
    keep
        Told of every answer.
    is_reconnecting
        Whether a connection that the server closed is opened again; otherwise its load is missing from then on.
    """

    def __init__(self, port: int, requests: Requests, keep: Keep, *, is_reconnecting: bool = False) -> None:
        self._port = port
        self._requests = requests
        self.keep = keep
        self._is_reconnecting = is_reconnecting
        self._is_over = False
        self._open = 0
        self._closed = asyncio.Event()
        self._reconnects: set[asyncio.Task[None]] = set()

    async def start(self, connections: int) -> None:
        """Open the connections, which begin at once."""
        for _ in range(connections):
            await self._connect()

    @property
    def connections_open(self) -> int:
        """How many connections the server has not closed, those being opened included."""
        return self._open

    async def stop(self) -> None:
        """End once the requests in flight are answered.

        A connection that is just being opened is waited for and closed unused: cancelled, it would take the request
        that it had sent by then with it.
        """
        self._is_over = True
        await asyncio.gather(*self._reconnects)
        if self._open:
            await self._closed.wait()

    def free(self, connection: Connection) -> None:
        """Send the next request."""
        if self._is_over:
            connection.close()
        else:
            connection.send(*self._requests.take())

    def gone(self) -> None:
        """Open another connection, or note that the last one is closed."""
        self._open -= 1
        if self._is_reconnecting and not self._is_over:
            task = asyncio.get_running_loop().create_task(self._reconnect())
            self._reconnects.add(task)
            task.add_done_callback(self._reconnects.discard)
        elif not self._open:
            self._closed.set()

    async def _connect(self) -> None:
        # Counted before it is made: one that is closed as soon as it is made is gone before this goes on.
        self._open += 1
        try:
            await asyncio.get_running_loop().create_connection(lambda: Connection(self), "127.0.0.1", self._port)
        except OSError:
            self._open -= 1
            raise

    async def _reconnect(self) -> None:
        while not self._is_over:
            with contextlib.suppress(OSError):
                await self._connect()
                return
            await asyncio.sleep(_RECONNECT_SECONDS)


class OpenLoop:
    """Requests that are due at a fixed rate, independent of earlier ones.

    A request goes out over a connection that is free; while none is, it waits, and its latency counts from when it was
    due all the same.

    Parameters
    ----------
    connections
        As many as requests may be in flight.
    is_spinning
        Whether it looks at the clock at every turn of the event loop, or once a millisecond.
    """

    def __init__(
        self,
        port: int,
        requests: Requests,
        keep: Keep,
        *,
        rate: float,
        connections: int,
        is_spinning: bool = True,
    ) -> None:
        self._port = port
        self._requests = requests
        self._keep = keep
        self._rate = rate
        self._connections = connections
        self._is_spinning = is_spinning
        self._free: list[Connection] = []
        self._waiting: deque[float] = deque()
        self._unanswered = 0
        self._is_over = False
        self.lateness = array("d")
        """How long after it was due each request was sent, in seconds."""

    async def run(self, seconds: float) -> None:
        """Send for `seconds`, then wait until everything is answered, at most `GRACE_SECONDS`."""
        loop = asyncio.get_running_loop()
        for _ in range(self._connections):
            await loop.create_connection(lambda: Connection(self), "127.0.0.1", self._port)
        sent: asyncio.Future[None] = loop.create_future()
        self._schedule(time.perf_counter(), 0, round(seconds * self._rate), sent)
        await sent
        deadline = time.perf_counter() + GRACE_SECONDS
        while (self._unanswered or self._waiting) and time.perf_counter() < deadline:
            await asyncio.sleep(0.005)
        self._is_over = True
        for connection in self._free:
            connection.close()
        for due_at in self._waiting:
            self._keep(Answer(-1, LOST, due_at, due_at, time.perf_counter(), b""))
        await asyncio.sleep(0)

    def keep(self, answer: Answer) -> None:
        """Pass an answer on."""
        self._unanswered -= 1
        self._keep(answer)

    def free(self, connection: Connection) -> None:
        """Send the request that has waited longest, if any has."""
        if self._waiting:
            self._send(connection, self._waiting.popleft())
        else:
            self._free.append(connection)

    def gone(self) -> None:
        """Leave out a connection that the server closed; an answer it owed was reported as lost."""
        if not self._is_over:
            self._free = [each for each in self._free if not each._transport.is_closing()]

    def _schedule(self, began_at: float, done: int, total: int, sent: "asyncio.Future[None]") -> None:
        """Send what is due by now, and come back."""
        due = min(total, int((time.perf_counter() - began_at) * self._rate) + 1)
        for index in range(done, due):
            due_at = began_at + index / self._rate
            if self._free:
                self._send(self._free.pop(), due_at)
            else:
                self._waiting.append(due_at)
        loop = asyncio.get_running_loop()
        if due >= total:
            sent.set_result(None)
        elif self._is_spinning:
            loop.call_soon(self._schedule, began_at, due, total, sent)
        else:
            loop.call_later(0.001, self._schedule, began_at, due, total, sent)

    def _send(self, connection: Connection, due_at: float) -> None:
        self._unanswered += 1
        connection.send(*self._requests.take(), due_at)
        self.lateness.append(connection._sent_at - due_at)


async def closed_loop(port: int, requests: Requests, keep: Keep, *, connections: int, seconds: float) -> float:
    """Load a server for `seconds`; returns how long it took until the last answer."""
    began_at = time.perf_counter()
    load = ClosedLoop(port, requests, keep)
    await load.start(connections)
    await asyncio.sleep(seconds)
    await load.stop()
    return time.perf_counter() - began_at


async def answers_of(port: int, requests: Sequence[tuple[int, bytes]]) -> list[Answer]:
    """The answers to these requests, sent one after the other over one connection."""
    answers: list[Answer] = []
    done: asyncio.Future[None] = asyncio.get_running_loop().create_future()
    remaining = iter(requests)

    class OneByOne(ClosedLoop):
        def free(self, connection: Connection) -> None:
            following = next(remaining, None)
            if following is None:
                connection.close()
            else:
                connection.send(*following)

        def gone(self) -> None:
            if not done.done():
                done.set_result(None)

    await asyncio.get_running_loop().create_connection(
        lambda: Connection(OneByOne(port, _NoRequests(), answers.append)), "127.0.0.1", port
    )
    await done
    return answers


class _NoRequests:
    def take(self) -> tuple[int, bytes]:
        raise RuntimeError("Expected no further request")


@contextlib.contextmanager
def undisturbed() -> Iterator[None]:
    """No garbage collection of this process while something is measured."""
    gc.collect()
    gc.freeze()  # A thousand requests are made once and seen at each call.
    gc.disable()
    try:
        yield
    finally:
        gc.enable()


def on_uvloop(measured: Awaitable[Result]) -> Result:
    """Run on a new uvloop, garbage collection off."""
    import uvloop

    async def awaited() -> Result:
        return await measured

    with undisturbed():
        return uvloop.run(awaited())
