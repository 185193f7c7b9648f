"""Connections to the server's real parts: requests that are batched, and requests that take a task."""

import asyncio
import datetime as dt
import gc
import itertools
import socket
import time
import weakref
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from serving.access.commands import add, revoke
from serving.http.listener import listener_of
from serving.http.protocol import ServingProtocol
from serving.process.app import ServingApp, create_app
from tests.harness.api import URL, settings_of
from tests.harness.driven_app import request, started, submitted
from tests.harness.driven_connection import Connection, drive
from tests.harness.small_models import MODEL, SmallStore, golden_rows

NUMBERS = itertools.count()
TRACES = [f"00-{number:032x}-00f067aa0ba902b7-01" for number in range(1, 9)]


def test_requests_of_one_connection_are_batched_decided_and_counted(app: ServingApp, store: SmallStore) -> None:
    rows = golden_rows(1)

    async def steps(connection: Connection) -> None:
        for number, row in enumerate(rows):
            assert (await connection.ask(request(f"d{number}", features=row.features)))["margin"] == row.margin

    with submitted(app) as batched:
        connection = drive(app, steps)
    assert len(batched) == len(rows)
    assert [answer["status"] for answer in connection.answers] == [200] * len(rows)
    assert [record.decision_id for record in store.decisions()] == [f"d{number}" for number in range(len(rows))]
    assert connection.state.total_requests == len(rows)
    assert app.parts.metrics.in_flight == 0


def test_uvicorn_calls_the_hook_so_that_a_running_server_batches(store: SmallStore) -> None:
    """Without `_start_asgi_task` uvicorn would answer every request by a task, and nothing else would show it."""
    store.publish(1)
    app = create_app(settings_of(store))

    async def run() -> bytes:
        with socket.create_server(("127.0.0.1", 0)) as listening:
            server = listener_of(app, shutdown_seconds=5)
            serving = asyncio.create_task(server.serve(sockets=[listening]))
            reader, writer = await asyncio.open_connection(*listening.getsockname())
            writer.write(request("d0", "Connection: close"))
            answer = await reader.read()
            writer.close()
            server.should_exit = True
            await serving
        return answer

    with submitted(app) as batched:
        answer = asyncio.run(run())
    assert answer.startswith(b"HTTP/1.1 200 ")
    assert [whole.model for whole in batched] == [MODEL]


@pytest.mark.parametrize(
    ("line", "models"),
    [
        (f"POST {URL}", [MODEL]),
        (f"GET {URL}", []),
        (f"POST {URL}/batch", []),
        ("POST /invocations", []),
        ("POST /v1/models/other/score", ["other"]),
    ],
)
def test_only_requests_for_one_decision_are_batched(app: ServingApp, line: str, models: list[str]) -> None:
    async def steps(connection: Connection) -> None:
        connection.protocol.data_received(request("d0").replace(f"POST {URL}".encode(), line.encode()))
        await connection.settled()

    with submitted(app) as batched:
        drive(app, steps)
    assert [whole.model for whole in batched] == models


def test_each_request_has_its_own_trace_and_headers(app: ServingApp, store: SmallStore) -> None:
    async def steps(connection: Connection) -> None:
        for number, trace in enumerate(TRACES):
            await connection.ask(request(f"d{number}", f"traceparent: {trace}"))
        await connection.ask(
            request("odd", "traceparent: none"), request("none"), request("explained", "X-Explain: no")
        )

    connection = drive(app, steps)
    expected = [trace.split("-")[1] for trace in TRACES]
    assert [record.trace_id for record in store.decisions()] == [*expected, None, None]
    assert connection.answers[-1]["error"]["kind"] == "InvalidRequest"


def test_requests_that_come_together_are_answered_in_order(app: ServingApp, store: SmallStore) -> None:
    async def steps(connection: Connection) -> None:
        await connection.ask(request("d0"))
        connection.protocol.data_received(request("d1"))
        connection.protocol.data_received(request("d2"))
        connection.protocol.data_received(request("d3") + request("d4"))
        await connection.settled()
        await connection.ask(request("d5"))

    connection = drive(app, steps)
    assert [answer["decision_id"] for answer in connection.answers] == [f"d{number}" for number in range(6)]
    assert [record.decision_id for record in store.decisions()] == [f"d{number}" for number in range(6)]
    assert app.parts.metrics.in_flight == 0


@pytest.mark.parametrize("cut", [1, 10, 60, 100, -1])
def test_a_request_that_arrives_in_two_reads_is_answered(app: ServingApp, cut: int) -> None:
    async def steps(connection: Connection) -> None:
        await connection.ask(request("d0"))
        whole = request("d1")
        connection.protocol.data_received(whole[:cut])
        await asyncio.sleep(0)
        await connection.ask(whole[cut:])
        await connection.ask(request("d2"))

    connection = drive(app, steps)
    assert [answer["decision_id"] for answer in connection.answers] == ["d0", "d1", "d2"]


def test_a_request_behind_another_whose_body_never_comes_is_refused_at_its_deadline(app: ServingApp) -> None:
    async def steps(connection: Connection) -> None:
        rest = request("d1", "X-Timeout-Ms: 20")[:-20]
        connection.protocol.data_received(request("d0") + rest)
        while len(connection.answers) < 2:
            await asyncio.sleep(0.001)

    connection = drive(app, lambda connection: asyncio.wait_for(steps(connection), 10))
    assert [answer["status"] for answer in connection.answers] == [200, 408]


def test_nothing_is_decided_for_a_caller_that_has_disconnected(app: ServingApp, store: SmallStore) -> None:
    async def steps(connection: Connection) -> None:
        await connection.ask(request("d0", f"traceparent: {TRACES[1]}"))
        connection.protocol.data_received(request("d1", f"traceparent: {TRACES[0]}"))
        connection.protocol.connection_lost(None)

    connection = drive(app, steps)
    assert len(connection.answers) == 1
    assert [record.decision_id for record in store.decisions()] == ["d0"]
    [rejection] = store.rejections()
    assert (rejection.kind, rejection.trace_id) == ("BodyTimeout", TRACES[0].split("-")[1])


@pytest.mark.parametrize("asked_before", [0, 1])
def test_a_connection_that_is_lost_leaves_nothing_behind(app: ServingApp, asked_before: int) -> None:
    """Without the collector of cycles, which comes by only now and then."""

    async def run() -> weakref.ref[ServingProtocol]:
        connection = Connection(app)
        for number in range(asked_before):
            await connection.ask(request(f"d{number}"))
        connection.protocol.data_received(request("lost"))
        connection.protocol.connection_lost(None)
        await connection.settled()
        app.parts.rejections.close()
        return weakref.ref(connection.protocol)

    gc.disable()
    try:
        assert asyncio.run(run())() is None
    finally:
        gc.enable()


def test_line_ends_between_requests_do_not_add_up(app: ServingApp, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("serving.http.protocol.MAX_STRAY_BYTES", 600)

    async def steps(connection: Connection) -> None:
        for number in range(400):
            await connection.ask(request(f"d{number}"), b"\r\n")

    connection = drive(app, steps)
    assert [answer["status"] for answer in connection.answers] == [200] * 400
    assert not connection.transport.is_closed


def test_a_look_at_a_connection_whose_request_waits_does_not_count_as_silence(app: ServingApp) -> None:
    async def steps(connection: Connection) -> None:
        await connection.ask(request("d0"), request("d1"))
        now = time.monotonic()
        connection.protocol.data_received(request("d2"))
        connection.protocol.close_if_silent(now)
        await connection.settled()
        connection.protocol.data_received(b"\r\n")
        connection.protocol.close_if_silent(now + 30)

    assert not drive(app, steps).transport.is_closed


def test_a_request_after_connection_close_is_not_decided(app: ServingApp, store: SmallStore) -> None:
    async def steps(connection: Connection) -> None:
        await connection.ask(request("d0"), request("d1", "Connection: close") + request("d2"))

    drive(app, steps)
    assert [record.decision_id for record in store.decisions()] == ["d0", "d1"]


@pytest.mark.parametrize("seconds", [0.0, 1.0])
def test_a_server_that_stops_answers_first(app: ServingApp, seconds: float) -> None:
    """Also where the answer comes from a task (its explanation takes a second)."""
    model = app.parts.slots.serving(MODEL).champion.model
    lines = ["X-Explain: always"]

    async def steps(connection: Connection) -> None:
        await connection.ask(request("d0", *lines))
        model.explain_seconds = seconds
        connection.protocol.data_received(request("d1", *lines))
        connection.protocol.shutdown()
        assert not connection.transport.is_closed
        await connection.settled()

    connection = drive(app, steps)
    assert [(answer["decision_id"], answer["is_last"]) for answer in connection.answers] == [
        ("d0", False),
        ("d1", True),
    ]
    assert connection.transport.is_closed


def test_a_server_that_stops_closes_idle_connections(app: ServingApp) -> None:
    async def steps(connection: Connection) -> None:
        await connection.ask(request("d0"), request("d1"))
        connection.protocol.shutdown()

    assert drive(app, steps).transport.is_closed


def test_a_request_whose_explanation_takes_long_is_answered_by_a_task(app: ServingApp, store: SmallStore) -> None:
    model = app.parts.slots.serving(MODEL).champion.model

    async def steps(connection: Connection) -> None:
        await connection.ask(request("d0", "X-Explain: always"))
        model.explain_seconds = 1.0
        await connection.ask(request("d1", "X-Explain: always"))

    connection = drive(app, steps)
    assert [answer["decision_id"] for answer in connection.answers] == ["d0", "d1"]
    assert len(store.decisions()) == 2


def test_a_connection_is_closed_once_it_is_idle_for_long(app: ServingApp) -> None:
    async def steps(connection: Connection) -> None:
        protocol = connection.protocol
        protocol.timeout_keep_alive = 5
        for number in range(4):
            began = time.monotonic()
            await connection.ask(request(f"d{number}"))
            protocol.close_if_silent(began + 5)
            assert not connection.transport.is_closed
        protocol.close_if_silent(time.monotonic() + 5)
        assert connection.transport.is_closed

    assert len(drive(app, steps).answers) == 4


def test_the_begin_of_a_request_ends_the_idle_time(app: ServingApp) -> None:
    async def steps(connection: Connection) -> None:
        protocol = connection.protocol
        protocol.timeout_keep_alive = 1
        await connection.ask(request("d0"))
        whole = request("d1")
        protocol.data_received(whole[:40])
        protocol.close_if_silent(time.monotonic() + 5)
        assert not connection.transport.is_closed
        await connection.ask(whole[40:])

    assert [answer["decision_id"] for answer in drive(app, steps).answers] == ["d0", "d1"]


def test_a_head_that_drips_after_a_request_is_closed_in_time(app: ServingApp) -> None:
    async def steps(connection: Connection) -> None:
        await connection.ask(request("d0"), request("d1"))
        connection.protocol.data_received(b"POST")
        began = connection.protocol.head_since
        assert began is not None
        connection.protocol.close_if_silent(began + 5)
        assert not connection.transport.is_closed
        connection.protocol.close_if_silent(began + 11)

    assert drive(app, steps).transport.is_closed


def test_a_request_that_ends_its_connection_is_the_last(app: ServingApp) -> None:
    async def steps(connection: Connection) -> None:
        await connection.ask(request("d0"), request("d1", "Connection: close"))

    connection = drive(app, steps)
    assert [answer["is_last"] for answer in connection.answers] == [False, True]
    assert connection.transport.is_closed


def test_an_invalid_body_is_refused_and_the_next_request_decided(app: ServingApp, store: SmallStore) -> None:
    broken = request("d1").replace(b'"features"', b'"fixtures"')

    async def steps(connection: Connection) -> None:
        await connection.ask(request("d0"), broken, request("d2"))

    connection = drive(app, steps)
    assert [answer["status"] for answer in connection.answers] == [200, 422, 200]
    assert [rejection.kind for rejection in store.rejections()] == ["InvalidRequest"]


def test_the_key_is_checked_for_each_request_of_a_connection(store: SmallStore, tmp_path: Path) -> None:
    keys, now = tmp_path / "keys.jsonl", dt.datetime(2026, 1, 31, tzinfo=dt.UTC)
    key, _ = add(keys, "engine", ["score"], now)

    async def steps(connection: Connection) -> None:
        lines = [f"X-Api-Key: {key}"]
        await connection.ask(request("d0", *lines), request("d1", *lines))
        revoke(keys, "engine", now)
        served.parts.look()
        await connection.ask(request("d2", *lines), request("d3", f"X-Api-Key: {key[:-1]}"))

    with started(store, api_keys=keys) as served:
        connection = drive(served, steps)
    assert [answer["status"] for answer in connection.answers] == [200, 200, 401, 401]
    assert [record.caller for record in store.decisions()] == ["engine", "engine"]


def test_decisions_that_wait_for_the_disk_are_answered_by_tasks(store: SmallStore) -> None:
    async def steps(connection: Connection) -> None:
        await connection.ask(request("d0"), request("d1"))

    with started(store, log_durability="fsync") as served:
        connection = drive(served, steps)
    assert [answer["decision_id"] for answer in connection.answers] == ["d0", "d1"]


def chunked(decision_id: str) -> bytes:
    head, _, body = request(decision_id).partition(b"\r\n\r\n")
    head = head.replace(b"Content-Length: %d" % len(body), b"Transfer-Encoding: chunked")
    return head + b"\r\n\r\n%x\r\n%b\r\n0\r\n\r\n" % (len(body), body)


KINDS: list[Callable[[str], bytes]] = [
    request,
    lambda decision_id: request(decision_id, f"X-Request-Id: {decision_id}"),
    lambda decision_id: request(decision_id, f"traceparent: {TRACES[3]}"),
    lambda decision_id: request(decision_id, f"traceparent: {TRACES[4]}"),
    lambda decision_id: request(decision_id, "X-Explain: always"),
    lambda decision_id: request(decision_id, "X-Explain: never"),
    lambda decision_id: request(decision_id, "Connection: close"),
    lambda decision_id: request(decision_id, "Connection: Upgrade", "Upgrade: h2c"),
    lambda decision_id: request(decision_id).replace(b'"features"', b'"fixtures"'),
    lambda decision_id: request(decision_id).replace(b"Length: ", b"Length: 0"),
    lambda decision_id: request(decision_id).replace(b" HTTP/1.1", b"/batch HTTP/1.1"),
    lambda _: request("again"),
    chunked,
    lambda _: b"GET /healthz HTTP/1.1\r\nHost: risk\r\n\r\n",
    lambda _: b"GET /healthz HTTP/1.1\r\n\r\n",
    lambda _: b"\r\n",
    lambda _: b"no HTTP",
]
SENT = st.lists(st.sampled_from([*KINDS[:4] * 4, *KINDS]), min_size=1, max_size=8)
CUTS = st.lists(st.tuples(st.integers(0, 3000), st.integers(0, 3)), max_size=6)


@settings(max_examples=150, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(sent=SENT, cuts=CUTS, turns=st.integers(0, 3))
def test_with_and_without_the_batcher_a_connection_sends_the_same(
    app: ServingApp, sent: list[Callable[[str], bytes]], cuts: list[tuple[int, int]], turns: int
) -> None:
    """All requests but the first come in pieces that end anywhere, with and without the loop's turns between them."""

    def run(name: str, *, is_batched: bool) -> tuple[bytes, bool]:
        requests = [request(f"{name}-first"), *(make(f"{name}-{number:05d}") for number, make in enumerate(sent))]
        rest = b"".join(requests[1:])
        ends = {len(b"".join(requests[1:number])): turns for number in range(2, len(requests) + 1)}
        ends |= {at % (len(rest) + 1): waited for at, waited in cuts}

        async def steps(connection: Connection) -> None:
            if not is_batched:
                connection.protocol._batcher = None
            await connection.ask(requests[0])
            begin = 0
            for end in sorted(ends):
                if begin < end and not connection.transport.is_closed:
                    connection.protocol.data_received(rest[begin:end])
                    for _ in range(ends[end]):
                        await asyncio.sleep(0)
                begin = end

        connection = drive(app, steps)
        written = b"".join(connection.transport.written).replace(name.encode(), b"name")
        return written, connection.transport.is_closed

    number = next(NUMBERS)
    assert run(f"lane-{number:06d}", is_batched=True) == run(f"task-{number:06d}", is_batched=False)
    assert app.parts.metrics.in_flight == 0
