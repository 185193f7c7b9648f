"""How connections end: what is due is answered, what is silent is closed, and nothing is answered twice."""

import asyncio
import socket
import time

import pytest

from serving.http.protocol import LEAST_READ_BYTES, MAX_PIPELINED
from serving.process.app import ServingApp
from tests.harness.driven_app import request
from tests.harness.driven_connection import Connection, drive
from tests.harness.server_process import served
from tests.harness.small_models import SmallStore


def statuses(connection: Connection) -> list[int]:
    return [answer["status"] for answer in connection.answers]


@pytest.mark.parametrize(
    "after",
    [b"zz\r\n", request("cut")[:-9], b"", b"GET / HTTP/1.1\r\n\r\n"],
    ids=["no HTTP", "half a request", "nothing", "no host"],
)
def test_what_came_whole_is_answered_before_the_caller_ended_its_side(
    app: ServingApp, store: SmallStore, after: bytes
) -> None:
    async def steps(connection: Connection) -> None:
        connection.protocol.data_received(request("d0") + request("d1") + after)
        assert bool(connection.protocol.eof_received()) == (not connection.transport.is_closed)

    connection = drive(app, steps)
    assert statuses(connection) == [200, 200]
    assert [answer["is_last"] for answer in connection.answers] == [False, True]
    assert connection.transport.is_closed
    assert [record.decision_id for record in store.decisions()] == ["d0", "d1"]


def test_an_idle_connection_ends_with_the_callers_side(app: ServingApp) -> None:
    async def steps(connection: Connection) -> None:
        await connection.ask(request("d0"))
        assert not connection.protocol.eof_received()

    assert statuses(drive(app, steps)) == [200]


def test_of_too_many_requests_at_once_the_first_are_answered(app: ServingApp) -> None:
    """One more is refused than may wait behind the first."""

    async def steps(connection: Connection) -> None:
        sent = b"".join(request(f"d{number:03d}") for number in range(MAX_PIPELINED + 10))
        connection.protocol.data_received(sent)

    connection = drive(app, steps)
    assert statuses(connection) == [200] * (MAX_PIPELINED + 1)
    assert connection.answers[-1]["is_last"]
    assert connection.transport.is_closed


def test_no_request_is_answered_twice(app: ServingApp) -> None:
    """A refusal that waits until the caller reads is not sent after the connection's last answer."""
    chunked = request("d0", "X-Timeout-Ms: 0").partition(b"\r\n\r\n")[0].split(b"\r\n")
    head = [line for line in chunked if not line.startswith(b"Content-Length")]

    async def steps(connection: Connection) -> None:
        connection.protocol.pause_writing()
        connection.protocol.data_received(b"\r\n".join([*head, b"Transfer-Encoding: chunked", b"", b""]))
        await asyncio.sleep(0)
        connection.protocol.data_received(b"zz\r\n")
        connection.protocol.resume_writing()

    connection = drive(app, steps)
    written = b"".join(connection.transport.written)
    assert written.count(b"HTTP/1.1 ") == 1
    assert written.startswith(b"HTTP/1.1 400 ")


def test_a_part_of_the_next_head_does_not_close_a_connection_that_is_answering(app: ServingApp) -> None:
    async def steps(connection: Connection) -> None:
        protocol, next_one = connection.protocol, request("d1")
        protocol.data_received(request("d0") + next_one[:20])
        protocol.close_if_silent(time.monotonic() + 11)
        assert not connection.transport.is_closed
        began = time.monotonic()
        await connection.settled()
        assert protocol.head_since is not None
        assert protocol.head_since >= began
        await connection.ask(next_one[20:])
        protocol.data_received(b"POST")
        protocol.close_if_silent(time.monotonic() + 11)
        assert connection.transport.is_closed

    assert statuses(drive(app, steps)) == [200, 200]


def test_a_body_that_follows_its_refusal_leaves_the_connection_idle(app: ServingApp) -> None:
    head, _, body = request("d0", "X-Timeout-Ms: 0").partition(b"\r\n\r\n")

    async def steps(connection: Connection) -> None:
        await connection.ask(head + b"\r\n\r\n", body)
        for seconds in (0, 12, 70):
            connection.protocol.close_if_silent(time.monotonic() + seconds)
            assert not connection.transport.is_closed
        connection.protocol.close_if_silent(time.monotonic() + 76)
        assert connection.transport.is_closed

    assert statuses(drive(app, steps)) == [422]


def test_a_refused_request_that_expects_to_continue_is_the_last(app: ServingApp) -> None:
    """Its caller may leave out the body; the next request would be taken for it."""
    head, _, body = request("d0", "X-Timeout-Ms: 0", "Expect: 100-continue").partition(b"\r\n\r\n")

    async def steps(connection: Connection) -> None:
        await connection.ask(head + b"\r\n\r\n")

    connection = drive(app, steps)
    assert [(answer["status"], answer["is_last"]) for answer in connection.answers] == [(422, True)]
    assert connection.transport.is_closed

    async def at_once(connection: Connection) -> None:
        await connection.ask(head + b"\r\n\r\n" + body)

    assert [answer["is_last"] for answer in drive(app, at_once).answers] == [False]


def test_a_request_of_version_1_0_is_not_told_to_continue(app: ServingApp) -> None:
    head, _, body = request("d0", "Expect: 100-continue").replace(b"HTTP/1.1", b"HTTP/1.0").partition(b"\r\n\r\n")

    async def steps(connection: Connection) -> None:
        connection.protocol.data_received(head + b"\r\n\r\n")
        await asyncio.sleep(0.01)
        await connection.ask(body)

    assert statuses(drive(app, steps)) == [200]


def test_a_later_version_needs_a_host_too(app: ServingApp) -> None:
    async def steps(connection: Connection) -> None:
        connection.protocol.data_received(request("d0").replace(b"Host: risk\r\n", b"").replace(b"1.1", b"2.0", 1))

    assert b"".join(drive(app, steps).transport.written).startswith(b"HTTP/1.1 400 ")


def test_what_is_in_flight_when_the_server_drains_closes_its_connection(app: ServingApp) -> None:
    async def steps(connection: Connection) -> None:
        connection.protocol.data_received(request("d0") + request("d1"))
        connection.protocol.drain()

    connection = drive(app, steps)
    assert [answer["is_last"] for answer in connection.answers] == [False, True]
    assert connection.transport.is_closed


def test_a_caller_that_reads_slowly_is_not_one_that_does_not_read(app: ServingApp) -> None:
    async def steps(connection: Connection) -> None:
        protocol, transport = connection.protocol, connection.transport
        await connection.ask(request("d0"))
        protocol.pause_writing()
        now, transport.unread_bytes = time.monotonic(), 40 * LEAST_READ_BYTES
        for number in range(30):
            protocol.close_if_silent(now := now + 1)
            transport.unread_bytes -= LEAST_READ_BYTES
            if number == 20:
                transport.unread_bytes += 40 * LEAST_READ_BYTES  # the next answer
            protocol._idle_since = now
        assert not transport.is_closed
        for _ in range(12):
            transport.unread_bytes -= LEAST_READ_BYTES // 20
            protocol.close_if_silent(now := now + 1)
        assert transport.is_closed

    drive(app, steps)


def test_the_answer_reaches_a_caller_that_has_closed_its_side(store: SmallStore) -> None:
    """With ``fsync`` the answer comes after the end of the caller's side."""
    store.publish(1)
    for durability in ("written", "fsync"):
        with served(store, log_durability=durability) as server:
            url = server.client.base_url
            with socket.create_connection((url.host, url.port or 80), timeout=10) as connection:
                connection.sendall(request(f"{durability}-0") + request(f"{durability}-1"))
                connection.shutdown(socket.SHUT_WR)
                received = b"".join(iter(lambda: connection.recv(65536), b""))
            assert received.count(b"HTTP/1.1 200 OK") == 2
            assert server.answers()
