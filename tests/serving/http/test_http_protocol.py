"""Connections to the server's real parts: what is read by the parser, what is known by its head."""

import asyncio
import contextlib
import datetime as dt
import gc
import itertools
import json
import time
import weakref
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from serving.access.commands import add, revoke
from serving.http.protocol import MOST_LESSONS, ServingProtocol
from serving.process.app import ServingApp, create_app
from tests.harness.api import URL, settings_of
from tests.harness.driven_connection import Connection, drive
from tests.harness.small_models import MODEL, SmallStore, golden_rows, score_request

NUMBERS = itertools.count()
TRACES = [f"00-{number:032x}-00f067aa0ba902b7-01" for number in range(1, 9)]


def request(decision_id: str, *lines: str, features: Any = None) -> bytes:
    body = json.dumps(score_request(decision_id, features=features or golden_rows(1)[0].features)).encode()
    head = [f"POST {URL} HTTP/1.1", "Host: risk", f"Content-Length: {len(body)}", *lines, "", ""]
    return "\r\n".join(head).encode() + body


@contextlib.contextmanager
def started(store: SmallStore, **settings: Any) -> Iterator[ServingApp]:
    store.publish(1, can_explain=True)
    app = create_app(settings_of(store, **settings))
    app.parts.start()
    try:
        yield app
    finally:
        app.parts.scoring.close()
        app.parts.log.close()
        app.parts.shadows.close()


@pytest.fixture
def app(store: SmallStore) -> Iterator[ServingApp]:
    with started(store) as app:
        yield app


def test_a_head_that_came_before_is_not_parsed_again(app: ServingApp, store: SmallStore) -> None:
    rows = golden_rows(1)
    sent = [request(f"d{number}", features=row.features) for number, row in enumerate(rows)]

    async def steps(connection: Connection) -> None:
        for each, row in zip(sent, rows, strict=True):
            assert (await connection.ask(each))["margin"] == row.margin

    connection = drive(app, steps)
    assert connection.parsed == sent[:1]
    assert [answer["status"] for answer in connection.answers] == [200] * len(rows)
    assert [record.decision_id for record in store.decisions()] == [f"d{number}" for number in range(len(rows))]
    assert connection.state.total_requests == len(rows)
    assert app.parts.metrics.in_flight == 0


def test_each_request_has_its_own_trace_and_headers(app: ServingApp, store: SmallStore) -> None:
    async def steps(connection: Connection) -> None:
        for number, trace in enumerate(TRACES):
            await connection.ask(request(f"d{number}", f"traceparent: {trace}"))
        await connection.ask(
            request("odd", "traceparent: none"), request("none"), request("explained", "X-Explain: no")
        )

    connection = drive(app, steps)
    assert len(connection.parsed) == 4
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
def test_a_request_that_comes_in_two_parts_is_read_by_the_parser(app: ServingApp, cut: int) -> None:
    async def steps(connection: Connection) -> None:
        await connection.ask(request("d0"))
        whole = request("d1")
        connection.protocol.data_received(whole[:cut])
        await asyncio.sleep(0)
        await connection.ask(whole[cut:])
        await connection.ask(request("d2"))

    connection = drive(app, steps)
    assert [answer["decision_id"] for answer in connection.answers] == ["d0", "d1", "d2"]
    assert request("d2") not in connection.parsed


def test_nothing_is_decided_for_a_caller_who_has_gone(app: ServingApp, store: SmallStore) -> None:
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
        connection.protocol.parser = connection._parser
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


def test_what_comes_behind_the_last_request_is_not_decided(app: ServingApp, store: SmallStore) -> None:
    async def steps(connection: Connection) -> None:
        await connection.ask(request("d0"), request("d1", "Connection: close"), request("d2"))

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


def test_a_server_that_stops_closes_what_is_quiet(app: ServingApp) -> None:
    async def steps(connection: Connection) -> None:
        await connection.ask(request("d0"), request("d1"))
        connection.protocol.shutdown()

    assert drive(app, steps).transport.is_closed


def test_an_explanation_that_takes_long_is_a_tasks(app: ServingApp, store: SmallStore) -> None:
    model = app.parts.slots.serving(MODEL).champion.model

    async def steps(connection: Connection) -> None:
        await connection.ask(request("d0", "X-Explain: always"))
        model.explain_seconds = 1.0
        await connection.ask(request("d1", "X-Explain: always"))

    connection = drive(app, steps)
    assert connection.parsed == [request("d0", "X-Explain: always"), request("d1", "X-Explain: always")]
    assert [answer["decision_id"] for answer in connection.answers] == ["d0", "d1"]
    assert len(store.decisions()) == 2


def test_a_connection_is_closed_once_it_is_quiet_for_long(app: ServingApp) -> None:
    async def steps(connection: Connection) -> None:
        protocol = connection.protocol
        await connection.ask(request("d0"), request("d1"))
        now = time.monotonic()
        for later in (0.0, 74.0):
            protocol.close_if_silent(now + later)
        await connection.ask(request("d2"))
        for later in (75.0, 149.0):
            protocol.close_if_silent(now + later)
        assert not connection.transport.is_closed
        protocol.close_if_silent(now + 151.0)

    connection = drive(app, steps)
    assert connection.transport.is_closed
    assert len(connection.parsed) == 1


def test_a_head_that_drips_behind_a_known_one_is_not_awaited_for_ever(app: ServingApp) -> None:
    async def steps(connection: Connection) -> None:
        await connection.ask(request("d0"), request("d1"))
        connection.protocol.data_received(b"POST")
        began = connection.protocol.head_since
        assert began is not None
        connection.protocol.close_if_silent(began + 5)
        assert not connection.transport.is_closed
        connection.protocol.close_if_silent(began + 11)

    assert drive(app, steps).transport.is_closed


def test_heads_that_are_never_alike_are_learned_a_few_times_only(app: ServingApp) -> None:
    async def steps(connection: Connection) -> None:
        for number in range(MOST_LESSONS):
            await connection.ask(request(f"d{number}", f"X-Number: {number}"))
        await connection.ask(request("same", f"X-Number: {MOST_LESSONS - 1}"))
        await connection.ask(request("new", "X-Number: new"), request("again", "X-Number: new"))

    connection = drive(app, steps)
    assert len(connection.parsed) == MOST_LESSONS + 2
    assert {answer["status"] for answer in connection.answers} == {200}


def test_a_request_that_ends_its_connection_is_the_last(app: ServingApp) -> None:
    async def steps(connection: Connection) -> None:
        await connection.ask(request("d0"), request("d1", "Connection: close"))

    connection = drive(app, steps)
    assert [answer["is_last"] for answer in connection.answers] == [False, True]
    assert connection.transport.is_closed


def test_a_body_that_is_none_gets_the_parsers_answer_and_the_next_one_its_own(
    app: ServingApp, store: SmallStore
) -> None:
    broken = request("d1").replace(b'"features"', b'"fixtures"')

    async def steps(connection: Connection) -> None:
        await connection.ask(request("d0"), broken, request("d2"))

    connection = drive(app, steps)
    assert [answer["status"] for answer in connection.answers] == [200, 422, 200]
    assert [rejection.kind for rejection in store.rejections()] == ["InvalidRequest"]
    assert len(connection.parsed) == 1


def test_the_key_of_a_known_head_is_asked_for_each_time(store: SmallStore, tmp_path: Path) -> None:
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
    assert len(connection.parsed) == 2
    assert [record.caller for record in store.decisions()] == ["engine", "engine"]


def test_where_decisions_wait_for_the_disk_the_parser_reads_all(store: SmallStore) -> None:
    async def steps(connection: Connection) -> None:
        await connection.ask(request("d0"), request("d1"))

    with started(store, log_durability="fsync") as served:
        connection = drive(served, steps)
    assert [answer["decision_id"] for answer in connection.answers] == ["d0", "d1"]
    assert len(connection.parsed) == 2


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
    lambda _: b"GET /healthz HTTP/1.1\r\n\r\n",
    lambda _: b"\r\n",
    lambda _: b"no HTTP",
]
SENT = st.lists(st.sampled_from([*KINDS[:4] * 4, *KINDS]), min_size=1, max_size=8)
CUTS = st.lists(st.tuples(st.integers(0, 3000), st.integers(0, 3)), max_size=6)


@settings(max_examples=150, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(sent=SENT, cuts=CUTS, turns=st.integers(0, 3))
def test_with_and_without_the_parser_a_connection_says_the_same(
    app: ServingApp, sent: list[Callable[[str], bytes]], cuts: list[tuple[int, int]], turns: int
) -> None:
    """All requests but the first come in pieces that end anywhere, with and without the loop's turns between them."""

    def run(name: str, lessons: int) -> tuple[bytes, bool]:
        made = [request(f"{name}-first"), *(make(f"{name}-{number:05d}") for number, make in enumerate(sent))]
        whole, ends = b"".join(made[1:]), {len(b"".join(made[1:number])): turns for number in range(2, len(made) + 1)}
        ends |= {at % (len(whole) + 1): waited for at, waited in cuts}

        async def steps(connection: Connection) -> None:
            connection.protocol._lessons = lessons
            await connection.ask(made[0])
            begin = 0
            for end in sorted(ends):
                if begin < end and not connection.transport.is_closed:
                    connection.protocol.data_received(whole[begin:end])
                    for _ in range(ends[end]):
                        await asyncio.sleep(0)
                begin = end

        connection = drive(app, steps)
        said = b"".join(connection.transport.written).replace(name.encode(), b"name")
        return said, connection.transport.is_closed

    number = next(NUMBERS)
    assert run(f"lane-{number:06d}", MOST_LESSONS) == run(f"task-{number:06d}", 0)
    assert app.parts.metrics.in_flight == 0
