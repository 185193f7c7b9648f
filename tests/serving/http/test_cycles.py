"""A request for one decision that goes to a task must look to the application as uvicorn makes it."""

import asyncio
from types import SimpleNamespace
from typing import Any

import pytest
from uvicorn.server import ServerState

from serving.http.arrival import ARRIVAL, BODY_IS_WHOLE
from serving.http.cycles import ScoreCycle
from serving.http.listener import listener_of
from serving.http.protocol import ServingProtocol
from tests.harness.api import URL
from tests.harness.driven_connection import Transport

STATE = (
    "access_log", "body", "default_headers", "disconnected", "expected_content_length", "flow", "keep_alive",
    "more_body", "response_complete", "response_started", "transport", "waiting_for_100_continue",
)  # fmt: skip
"""What uvicorn keeps of a request; `flow` and `transport` are the connection's."""


class Connection(ServingProtocol):
    """Keeps the requests that would get a task."""

    def __init__(self, *arguments: Any, **named: Any) -> None:
        super().__init__(*arguments, **named)
        self.cycles: list[Any] = []

    def _start_asgi_task(self, cycle: Any, app: Any) -> None:
        if isinstance(cycle, ScoreCycle):
            cycle.prepare_task()
        self.cycles.append(cycle)


class App:
    """An application that is never called; with a batcher, requests for one decision are `ScoreCycle`s."""

    def __init__(self, *, has_batcher: bool) -> None:
        self.batcher = SimpleNamespace(waiting=0) if has_batcher else None

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        raise AssertionError("a request was started")


def prepared(sent: bytes, *, has_batcher: bool) -> tuple[dict[str, Any], dict[str, Any]]:
    """Scope and state of a request that goes to a task."""

    async def run() -> tuple[dict[str, Any], dict[str, Any]]:
        config = listener_of(App(has_batcher=has_batcher)).config
        connection = Connection(config=config, server_state=ServerState(), app_state={"set": "by the lifespan"})
        connection.connection_made(Transport(connection))
        connection.data_received(sent)
        [cycle] = connection.cycles
        assert isinstance(cycle, ScoreCycle) == has_batcher
        assert cycle.flow is connection.flow
        assert cycle.transport is connection.transport
        assert not cycle.message_event.is_set()
        connection.data_received(b"{")
        assert cycle.message_event.is_set()
        assert BODY_IS_WHOLE in cycle.scope
        scope = dict(cycle.scope)
        arrived_at, in_flight = scope.pop(ARRIVAL)
        assert arrived_at > 0
        assert in_flight == 0
        assert scope["state"] is not connection.app_state
        return scope, {name: getattr(cycle, name) for name in STATE if name not in {"flow", "transport"}}

    return asyncio.run(run())


@pytest.mark.parametrize("version", ["1.0", "1.1"])
@pytest.mark.parametrize("lines", [[], ["Connection: close"], ["Connection: Keep-Alive", "EXPECT: 100-Continue"]])
@pytest.mark.parametrize(
    "path", [URL, URL.replace("score", "s%63ore"), f"{URL}?a=b&c", f"{URL}?", f"http://risk{URL}", f"{URL}#a"]
)
def test_a_task_gets_the_scope_and_the_cycle_that_uvicorn_makes(path: str, lines: list[str], version: str) -> None:
    head = [f"POST {path} HTTP/{version}", "Host: risk", "X-A: 1", "Content-Length: 1", *lines, "x-a: 2", "", ""]
    sent = "\r\n".join(head).encode()
    by_us, by_uvicorn = prepared(sent, has_batcher=True), prepared(sent, has_batcher=False)
    assert by_us == by_uvicorn
    assert by_us[0]["path"] == URL


def test_what_happens_before_the_task_is_known_to_it() -> None:
    async def run() -> Any:
        config = listener_of(App(has_batcher=True)).config
        connection = Connection(config=config, server_state=ServerState(), app_state={})
        connection.connection_made(Transport(connection))
        head = f"POST {URL} HTTP/1.1\r\nHost: risk\r\nContent-Length: 1\r\n\r\n".encode()
        connection.data_received(head)
        # Waits behind the first one.
        connection.data_received(b"{" + head + b"{")
        [(cycle, app)] = connection.pipeline
        assert isinstance(cycle, ScoreCycle)
        assert not cycle.is_prepared
        connection.connection_lost(None)
        connection._start_asgi_task(cycle, app)
        return cycle

    cycle = asyncio.run(run())
    assert cycle.disconnected
    assert cycle.message_event.is_set()
    assert cycle.body == b"{"
    assert not cycle.more_body
    assert cycle.scope[BODY_IS_WHOLE]
