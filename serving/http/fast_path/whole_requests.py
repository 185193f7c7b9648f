"""Requests for one decision as the fast lane takes them: read by the parser, or known by their head."""

from collections.abc import Mapping
from typing import Any, Protocol

from serving.http.answers import answer_cycle
from serving.http.arrival import Arrival
from serving.wire.headers import read_headers


class WholeRequest(Protocol):
    """A request that came whole and that nobody has begun to answer."""

    model: str
    headers: Mapping[bytes, bytes]
    arrival: Arrival
    body: bytes

    @property
    def is_gone(self) -> bool:
        """Whether its caller has gone."""
        ...

    def answer(self, status: int, content: bytes, headers: Mapping[str, str] | None = None) -> None:
        """Send a JSON response; nothing if its caller has gone."""
        ...

    def fall_back_to_asgi(self) -> None:
        """Have it answered by a task."""
        ...


class Starts(Protocol):
    """A connection that can start a request's task."""

    def start_task(self, cycle: Any, app: Any) -> None:
        """Answer the request of uvicorn's `cycle` by a task."""
        ...


class ParsedRequest:
    """A request that the parser has read; `cycle` is uvicorn's, with the whole body."""

    __slots__ = ("_app", "_connection", "_cycle", "arrival", "body", "headers", "model")

    def __init__(self, model: str, arrival: Arrival, cycle: Any, app: Any, connection: Starts) -> None:
        self.model = model
        self.headers: Mapping[bytes, bytes] = read_headers(cycle.scope)
        self.arrival = arrival
        self.body = bytes(cycle.body)
        self._cycle = cycle
        self._app = app
        self._connection = connection

    @property
    def is_gone(self) -> bool:
        """Whether its caller has gone."""
        return bool(self._cycle.disconnected)

    def answer(self, status: int, content: bytes, headers: Mapping[str, str] | None = None) -> None:
        """Send a JSON response; nothing if its caller has gone."""
        answer_cycle(self._cycle, status, content, headers)

    def fall_back_to_asgi(self) -> None:
        """Have it answered by a task."""
        self._connection.start_task(self._cycle, self._app)


class Replays(Protocol):
    """A connection that answers without the parser, or has it read what came after all."""

    def answer(self, status: int, content: bytes, headers: Mapping[str, str] | None) -> None:
        """Send a JSON response."""
        ...

    def parse(self, data: bytes, arrival: Arrival) -> None:
        """Read what came at `arrival` as a request for a task."""
        ...


class UnparsedRequest:
    """A request whose head is known to the parser's result; `data` is all of it."""

    __slots__ = ("_connection", "_data", "arrival", "body", "headers", "is_gone", "model")

    def __init__(
        self,
        model: str,
        headers: Mapping[bytes, bytes],
        arrival: Arrival,
        body: bytes,
        data: bytes,
        connection: Replays,
    ) -> None:
        self.model = model
        self.headers = headers
        self.arrival = arrival
        self.body = body
        self.is_gone = False
        self._data = data
        self._connection = connection

    def answer(self, status: int, content: bytes, headers: Mapping[str, str] | None = None) -> None:
        """Send a JSON response; nothing if its caller has gone."""
        if not self.is_gone:
            self._connection.answer(status, content, headers)

    def fall_back_to_asgi(self) -> None:
        """Have it answered by a task."""
        self._connection.parse(self._data, self.arrival)
