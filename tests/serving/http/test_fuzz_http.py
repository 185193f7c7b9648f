"""HTTP that is broken, hostile, slow or endless, against the real server: it refuses, and goes on."""

import contextlib
import json
import threading
import time
from collections.abc import Iterator
from typing import Any

import pytest

from tests.harness.fuzzed_server import INFER, INVOCATIONS, MEGABYTE, Fuzzed, fuzzed
from tests.harness.raw_http import PLANTED, RawConnection, chunked, request, settled_memory_bytes
from tests.harness.server_process import URL
from tests.harness.small_models import SmallStore, golden_rows, score_request

VALID = json.dumps(score_request("valid")).encode()
HEALTH = b"GET /healthz HTTP/1.1\r\nhost: x\r\n\r\n"
LINES = PLANTED.encode()


@pytest.fixture(scope="module")
def running(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Fuzzed]:
    store = SmallStore.under(tmp_path_factory.mktemp("fuzz") / "home")
    store.publish(1)
    with fuzzed(store, seconds=2) as server:
        yield server


@pytest.fixture(autouse=True)
def alive(running: Fuzzed) -> Iterator[None]:
    """After each attack the server answers as before."""
    yield
    running.check_alive()


@pytest.mark.parametrize(
    "sent",
    [
        pytest.param(b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" + bytes(200), id="TLS"),
        pytest.param(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", id="HTTP/2"),
        pytest.param(LINES + b"\r\n\r\n", id="no request"),
        pytest.param(b"GET /healthz HTTP/9.9\r\n\r\n", id="unknown version"),
        pytest.param(b"%s /healthz HTTP/1.1\r\nhost: x\r\n\r\n" % LINES, id="unknown method"),
        pytest.param(b"CONNECT x:1 HTTP/1.1\r\nhost: x\r\n\r\n", id="CONNECT"),
        pytest.param(b"GET \xff\xfe%s HTTP/1.1\r\nhost: x\r\n\r\n" % LINES, id="path that is not ASCII"),
        pytest.param(b"GET /a b%s HTTP/1.1\r\nhost: x\r\n\r\n" % LINES, id="space in the path"),
        pytest.param(b"GET http://[::1 HTTP/1.1\r\nhost: x\r\n\r\n", id="half an address"),
        pytest.param(b"GET /healthz HTTP/1.1\r\n: %s\r\n\r\n" % LINES, id="header without a name"),
        pytest.param(b"GET /healthz HTTP/1.1\r\nx\x00y: 1\r\n\r\n", id="NUL in a header's name"),
        pytest.param(b"GET /healthz HTTP/1.1\r\nx: a\x00b\r\n\r\n", id="NUL in a header"),
        pytest.param(b"GET /healthz HTTP/1.1\r\nx: a\rb: c\r\n\r\n", id="bare CR"),
        pytest.param(b"GET /healthz HTTP/1.1\r\nx: a\r\n folded\r\n\r\n", id="folded header"),
        pytest.param(b"POST %s HTTP/1.1\r\ncontent-length: -1\r\n\r\n" % URL.encode(), id="negative length"),
        pytest.param(b"POST %s HTTP/1.1\r\ncontent-length: 1e3\r\n\r\n" % URL.encode(), id="length with exponent"),
        pytest.param(b"POST %s HTTP/1.1\r\ncontent-length: %s\r\n\r\n" % (URL.encode(), b"9" * 400), id="huge length"),
        pytest.param(
            b"POST %s HTTP/1.1\r\ncontent-length: 2\r\ncontent-length: 3\r\n\r\n{}" % URL.encode(), id="two lengths"
        ),
        pytest.param(
            b"POST %s HTTP/1.1\r\ncontent-length: 2\r\ntransfer-encoding: chunked\r\n\r\n0\r\n\r\n" % URL.encode(),
            id="length and chunks",
        ),
        pytest.param(b"POST %s HTTP/1.1\r\ntransfer-encoding: gzip\r\n\r\n{}" % URL.encode(), id="unknown coding"),
        pytest.param(
            b"POST %s HTTP/1.1\r\ntransfer-encoding: chunked\r\n\r\nzz\r\n{}\r\n" % URL.encode(), id="size of no chunk"
        ),
        pytest.param(
            b"POST %s HTTP/1.1\r\ntransfer-encoding: chunked\r\n\r\n2\r\n{}{}{}\r\n" % URL.encode(),
            id="chunk that is longer than it says",
        ),
        pytest.param(
            b"POST %s HTTP/1.1\r\ntransfer-encoding: chunked\r\n\r\n%s\r\n{}" % (URL.encode(), b"f" * 40),
            id="chunk of 16^40 bytes",
        ),
    ],
)
def test_what_is_no_http_gets_400_or_the_connection_is_closed(running: Fuzzed, sent: bytes) -> None:
    with running.connect() as connection:
        connection.send(sent)
        connection.half_close()
        for answer in connection.answers():
            running.check_answer(answer)
            assert answer.status in {400, 408, 422}


@pytest.mark.parametrize(
    ("method", "path", "status"),
    [
        ("GET", URL, 405),
        ("OPTIONS", URL, 405),
        ("PUT", URL, 405),
        ("TRACE", "/healthz", 405),
        ("OPTIONS", "*", 404),
        ("DELETE", "/v1/models", 405),
        ("GET", "/v1/models/", 404),
        ("GET", f"/v1/models/{PLANTED}", 404),
        ("GET", f"/v1/models/..%2f..%2f{PLANTED}", 404),
        ("GET", f"/v1/models/../../{PLANTED}", 404),
        ("GET", f"//{PLANTED}/healthz", 404),
        ("GET", f"/v1/models/%00{PLANTED}", 404),
        ("GET", f"/v1/models/%ff%fe{PLANTED}", 404),
        ("GET", f"/v1/models/%{PLANTED}", 404),
        ("GET", f"/{PLANTED}?{PLANTED}#{PLANTED}", 404),
        ("GET", f"/v2/models/{PLANTED}/versions/{'9' * 400}", 404),
        ("GET", f"/v2/models/card_fraud/versions/{PLANTED}/ready", 404),
        ("GET", f"http://{PLANTED}/healthz", 200),
        ("GET", "/docs?x=%s", 200),
        ("POST", f"/v1/models/{PLANTED}/score", 404),
        ("POST", f"/v1/models/%0d%0ax-{PLANTED}:%201/score", 404),
        ("POST", f"/v2/models/{PLANTED}/infer", 404),
        ("POST", "/v1/models//score", 404),
        ("POST", "/v1/models/card_fraud/score/", 404),
    ],
)
def test_a_method_or_path_that_is_none_gets_an_error_that_repeats_nothing(
    running: Fuzzed, method: str, path: str, status: int
) -> None:
    answer = running.say(request(path, VALID if method == "POST" else b"", method=method))
    running.check_answer(answer)
    assert answer is not None
    assert answer.status == status


@pytest.mark.parametrize(
    "headers",
    [
        {"x_timeout_ms": b"\xb2"},
        {"x_timeout_ms": b"9" * 400},
        {"x_timeout_ms": b"-1"},
        {"x_timeout_ms": b"0"},
        {"x_timeout_ms": b"1e3"},
        {"x_explain": b"\xff" + LINES},
        {"traceparent": b"00-" + LINES},
        {"traceparent": b"\xff" * 55},
        {"authorization": b"Bearer \xff" + LINES},
        {"authorization": b"Bearer"},
        {"x_api_key": b""},
        {"host": b"\xff]:99999999"},
        {"content_type": b"application/json; charset=\xff"},
        {"expect": b"100-continue"},
        {"expect": LINES},
        {"upgrade": b"websocket", "connection": b"upgrade"},
        {"upgrade": LINES, "connection": b"upgrade, close"},
        {"connection": LINES},
        {"inference_header_content_length": b"\xb9"},
        {"inference_header_content_length": b"9" * 400},
        {"content_encoding": b"gzip"},
    ],
)
def test_an_odd_header_is_passed_over_or_refused(running: Fuzzed, headers: dict[str, Any]) -> None:
    for path in (URL, f"{URL}/batch", INFER, INVOCATIONS):
        running.check_answer(running.say(request(path, VALID, **headers)))


def test_a_request_that_offers_another_protocol_is_answered_in_this_one(running: Fuzzed) -> None:
    row = golden_rows(1)[0]
    body = json.dumps(score_request("upgrade", features=row.features)).encode()
    offers: dict[str, Any] = {
        "connection": "Upgrade, HTTP2-Settings",
        "upgrade": "h2c",
        "http2_settings": "AAEAAEAAAAIAAAABAAMAAABkAAQBAAAAAAUAAEAA",
    }
    with running.connect() as connection:
        for head_end in (len(request(URL, body, **offers)) - len(body), 40, -10):
            sent = request(URL, body, **offers)
            connection.send(sent[:head_end])
            time.sleep(0.05)
            connection.send(sent[head_end:])
            answer = connection.answer()
            assert answer is not None
            assert (answer.status, answer.json()["margin"]) == (200, row.margin)


def test_headers_behind_a_chunked_body_are_no_ones(running: Fuzzed) -> None:
    sent = chunked(URL, VALID, end=b"0\r\nx-timeout-ms: %s\r\n\r\n" % LINES)
    answer = running.say(sent)
    assert answer is not None
    assert answer.status == 200


@pytest.mark.parametrize(
    "parts",
    [
        pytest.param([b"GET /healthz HTTP/1.1\r\nx: ", *[b"a" * 65536] * 400], id="one header without end"),
        pytest.param([b"GET /", *[b"a" * 65536] * 400], id="path without end"),
        pytest.param([b"GET /healthz HTTP/1.1\r\n", *[b"a: b\r\n" * 10_000] * 40], id="headers without number"),
        pytest.param([b"\r\n" * 32768] * 400, id="nothing but line ends"),
        pytest.param(
            [chunked(URL, VALID, end=b"0\r\nx: "), *[b"a" * 65536] * 400], id="header without end behind the body"
        ),
        pytest.param([chunked(URL, end=b"2;"), *[b"a" * 65536] * 400], id="extension of a chunk without end"),
        pytest.param([HEALTH * 1000] * 400, id="requests without end"),
    ],
)
def test_what_has_no_end_is_cut_off(running: Fuzzed, parts: list[bytes]) -> None:
    with running.connect() as connection:
        connection.send(*parts)
        for answer in connection.answers():
            running.check_answer(answer)
    most = running.memory_before + 32 * MEGABYTE
    assert settled_memory_bytes(running.server.process.pid, most) < most


@pytest.mark.parametrize("path", [URL, f"{URL}/batch", INFER, INVOCATIONS])
def test_ten_megabytes_are_refused_unread(running: Fuzzed, path: str) -> None:
    body = b'{"decision_id": "' + LINES * 700_000
    kind: dict[str, Any] = {"content_type": "application/json"}
    announced = running.say(request(path, b"", length=len(body), **kind))
    assert announced is not None
    assert announced.status == 413
    for sent in (request(path, body, **kind), chunked(path, *[body[:65536]] * 160, **kind)):
        with running.connect() as connection:
            connection.send(sent)
            answer = connection.answer()
            running.check_answer(answer)
            assert answer is not None
            assert answer.status == 413
            # The rest was passed over, and the connection is good for another request.
            connection.send(request(URL, VALID))
            again = connection.answer()
            assert again is not None
            assert again.status == 200


def test_pipelined_requests_are_answered_in_order(running: Fuzzed) -> None:
    rows = golden_rows(1)
    bodies = [json.dumps(score_request(f"p{at}", features=row.features)).encode() for at, row in enumerate(rows)]
    with running.connect() as connection:
        connection.send(b"".join(request(URL, body) for body in bodies))
        margins = [answer.json()["margin"] for _ in rows if (answer := connection.answer()) is not None]
    assert margins == [row.margin for row in rows]


def test_a_fault_behind_a_request_does_not_become_its_answer(running: Fuzzed) -> None:
    with running.connect() as connection:
        connection.send(request(URL, VALID) + b"\x00\x01" + LINES)
        answers = connection.answers()
    assert [answer.status for answer in answers] == [200]


def test_a_body_that_stops_gets_408_in_time_and_its_rest_is_not_awaited_for_ever(running: Fuzzed) -> None:
    kind: dict[str, Any] = {"content_type": "application/json"}
    with contextlib.ExitStack() as stack:
        connections = [stack.enter_context(running.connect()) for _ in range(4)]
        for connection, path in zip(connections, (URL, f"{URL}/batch", INFER, INVOCATIONS), strict=True):
            connection.send(request(path, VALID[:20], length=1000, x_timeout_ms="200", **kind))
        for connection in connections:
            answer = connection.answer()
            assert answer is not None
            assert answer.status == 408
        dripping = [threading.Thread(target=drip, args=(each, VALID[20:])) for each in connections]
        for thread in dripping:
            thread.start()
        assert all(connection.is_closed_by_server() for connection in connections)
        for thread in dripping:
            thread.join()


def drip(connection: RawConnection, content: bytes) -> None:
    """A byte at a time, until the server has had enough."""
    for at in range(60):
        if not connection.send(content[at : at + 1]):
            return
        time.sleep(0.1)


def test_a_head_that_drips_and_a_connection_that_is_silent_are_closed(running: Fuzzed) -> None:
    with running.connect() as dripping, running.connect() as silent, running.connect() as idle:
        thread = threading.Thread(target=drip, args=(dripping, HEALTH[:-4] + b"x" * 100))
        thread.start()
        idle.send(HEALTH)
        answer = idle.answer()
        assert answer is not None
        idle.send(b"\r\n")
        assert silent.is_closed_by_server()
        assert dripping.is_closed_by_server()
        assert idle.is_closed_by_server()
        thread.join()


@pytest.mark.parametrize("path", [URL, f"{URL}/batch", INFER, INVOCATIONS])
def test_who_goes_away_in_the_middle_is_not_missed(running: Fuzzed, path: str) -> None:
    for _ in range(30):
        for sent in (request(path, VALID)[:-5], request(path, VALID), request(path, VALID, length=10**6)):
            with running.connect() as connection:
                connection.send(sent)


@pytest.mark.long
def test_who_sends_all_and_reads_nothing_is_cut_off(running: Fuzzed) -> None:
    document = b"GET /docs/swagger-ui-bundle.js HTTP/1.1\r\nhost: x\r\n\r\n"
    connections = [running.connect(1) for _ in range(20)]
    try:
        for connection in connections:
            connection.socket.settimeout(0.1)
            try:
                for _ in range(40):
                    connection.send(document * 90)
                    time.sleep(0.01)
            except TimeoutError:
                pass
        running_still = [connection for connection in connections if not is_reset(connection)]
        assert running_still == []
    finally:
        for connection in connections:
            connection.socket.close()


def is_reset(connection: RawConnection) -> bool:
    """Whether the server gives the connection up, without a byte of it being read meanwhile."""
    deadline = time.monotonic() + 60
    while time.monotonic() < deadline:
        try:
            connection.socket.send(b"\r\n")
        except ConnectionError:
            return True
        except (TimeoutError, BlockingIOError):
            time.sleep(0.05)
    return False


def test_more_connections_than_it_can_hold_do_not_keep_it_from_answering(running: Fuzzed) -> None:
    connections: list[RawConnection] = []
    try:
        connections.extend(running.connect() for _ in range(400))
        assert sum(connection.is_closed_by_server() for connection in connections[-50:]) == 50
        # Those that sent nothing are closed after a while, and leave their places.
        assert all(connection.is_closed_by_server() for connection in connections)
    finally:
        for connection in connections:
            connection.socket.close()
