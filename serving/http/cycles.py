"""Requests with their answers, which uvicorn calls cycles: those for one decision, and answers in one write."""

import asyncio
from collections.abc import Mapping, Sequence
from typing import Any

from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol, RequestResponseCycle

from serving.http.answers import Answer, response
from serving.http.arrival import ARRIVAL, BODY_IS_WHOLE, Arrival
from serving.http.targets import ScoreTarget
from serving.wire.headers import Header


class _NoTask:
    """In place of the event that wakes up a request's task."""

    def set(self) -> None:
        """Wake up nothing."""


class ScoreCycle(RequestResponseCycle):
    """A request for one decision; once its body is complete, a `WholeRequest` for the batcher.

    uvicorn prepares each request for a task: an ASGI scope, an event, the state of a response in messages. Here only
    `prepare_task` does so, which few requests need.

    Parameters
    ----------
    fields
        The headers in their order, by lower-case names.
    headers
        The same by their names; of a repeated one the last.

    Attributes
    ----------
    body
        What has arrived: `bytes` while that is one part and once submitted, else a `bytearray`.
    is_prepared
        Whether it is one of uvicorn's cycles by now, for a task.
    """

    # uvicorn sets the same attributes on each cycle.
    message_event: Any = _NoTask()
    waiting_for_100_continue = False
    disconnected = False
    more_body = True
    response_started = False
    response_complete = False
    body: Any = b""
    is_prepared = False

    def __init__(
        self,
        connection: HttpToolsProtocol,
        target: ScoreTarget,
        fields: list[Header],
        headers: Mapping[bytes, bytes],
        arrival: Arrival,
    ) -> None:
        self._connection = connection
        self._target = target
        self._fields = fields
        self._http_version = connection.parser.get_http_version()
        self.keep_alive = self._http_version != "1.0" and connection.parser.should_keep_alive()
        self.model = target.model
        self.headers = headers
        self.arrival = arrival

    def reply(self, answer: Answer | None) -> None:
        """Write an answer, unless the caller has disconnected; without one start a task."""
        connection = self._connection
        if answer is None:
            self.prepare_task()
            connection._start_asgi_task(self, connection.app)
            return
        # As uvicorn does after a request: otherwise the connection and its last request refer to each other.
        del self._connection
        if not self.disconnected:
            _write(self, answer, connection.transport, connection.server_state.default_headers)
            connection.on_response_complete()

    def prepare_task(self) -> None:
        """Become a cycle as uvicorn makes it of the same request, with the same scope."""
        connection, body, more_body, disconnected = self._connection, self.body, self.more_body, self.disconnected
        del self._connection
        super().__init__(
            scope=self._scope(connection),
            transport=connection.transport,
            flow=connection.flow,
            logger=connection.logger,
            access_logger=connection.access_logger,
            access_log=connection.access_log,
            default_headers=connection.server_state.default_headers,
            message_event=asyncio.Event(),
            expect_100_continue=self.waiting_for_100_continue,
            keep_alive=self.keep_alive,
            on_response=connection.on_response_complete,
        )
        self.body, self.more_body, self.disconnected = bytearray(body), more_body, disconnected
        self.is_prepared = True
        if body or disconnected or not more_body:
            # The task does not have to wait for any of this.
            self.message_event.set()

    def _scope(self, connection: HttpToolsProtocol) -> Any:
        root_path, target = connection.root_path, self._target
        scope: dict[str, Any] = {
            "type": "http",
            "asgi": {"version": connection.config.asgi_version, "spec_version": "2.3"},
            "http_version": self._http_version,
            "server": connection.server,
            "client": connection.client,
            "scheme": connection.scheme,
            "root_path": root_path,
            "headers": self._fields,
            "state": connection.app_state.copy(),
            "method": "POST",
            "path": root_path + target.path,
            "raw_path": root_path.encode("ascii") + target.raw_path,
            "query_string": target.query,
            ARRIVAL: self.arrival,
        }
        if not self.more_body:
            scope[BODY_IS_WHOLE] = True
        return scope


async def write_by_send(send: Any, answer: Answer) -> bool:
    """Write an answer in one piece if `send` is the one of a POST that has no response yet; an `AnswerWriter`.

    Has the same effects as `RequestResponseCycle.send` with both messages of a response of known length.
    """
    cycle = getattr(send, "__self__", None)
    if not isinstance(cycle, RequestResponseCycle) or cycle.scope["method"] != "POST" or cycle.response_started:
        return False
    if cycle.flow.write_paused and not cycle.disconnected:
        await cycle.flow.drain()
    if not cycle.disconnected:
        cycle.response_started = True
        if cycle.waiting_for_100_continue and cycle.more_body:
            # The caller may leave out the body now, and its next request would be taken for it (RFC 9110, 10.1.1).
            cycle.keep_alive = False
        cycle.waiting_for_100_continue = False
        _write(cycle, answer, cycle.transport, cycle.default_headers)
        cycle.message_event.set()
        cycle.on_response()
    return True


def _write(cycle: RequestResponseCycle, answer: Answer, transport: Any, default_headers: Sequence[Header]) -> None:
    """Write the whole response, and close the connection if the request is its last."""
    is_last = not cycle.keep_alive
    transport.write(response(answer, default_headers, is_last=is_last))
    cycle.response_complete = True
    if is_last:
        transport.close()
