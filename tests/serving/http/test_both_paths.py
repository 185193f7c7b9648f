"""The same bytes by both ways to a decision get the same answer: as a whole request, and through ASGI."""

import asyncio
import dataclasses
import datetime as dt
import itertools
import json
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from serving.access.commands import add
from serving.http.protocol import MAX_HEAD_BYTES
from serving.process.app import ServingApp
from tests.harness.api import URL
from tests.harness.driven_app import started, submitted
from tests.harness.driven_connection import Connection, drive
from tests.harness.fuzzed_server import INFER, INVOCATIONS, fuzzed
from tests.harness.raw_http import Answer, RawConnection, request
from tests.harness.server_process import Server, served
from tests.harness.small_models import EXAMPLE, SmallStore, score_request

NUMBERS = itertools.count()


def body(decision_id: str = "{id}", **features: Any) -> bytes:
    return json.dumps(score_request(decision_id, features=EXAMPLE | features)).encode()


def head(*lines: str, path: str = URL, version: str = "1.1", length: int | None = None) -> bytes:
    size = len(body()) if length is None else length
    return "\r\n".join([f"POST {path} HTTP/{version}", f"content-length: {size}", *lines, "", ""]).encode()


def filled(length: int) -> str:
    """A header line that makes a head of `length` bytes."""
    return "x: " + "a" * (length - len(head("host: risk", "x: ")))


CASES = {
    "valid": (head("host: risk"), body()),
    "HTTP/1.0 without a host": (head(version="1.0"), body()),
    "HTTP/1.1 without a host": (head(), body()),
    "two hosts": (head("host: risk", "Host: risk"), body()),
    "last request": (head("host: risk", "connection: close"), body()),
    "compressed": (head("host: risk", "content-encoding: gzip"), body()),
    "identity": (head("host: risk", "Content-Encoding: Identity"), body()),
    "another content type": (head("host: risk", "content-type: text/plain"), body()),
    "longest head": (head("host: risk", filled(MAX_HEAD_BYTES)), body()),
    "head that is too long": (head("host: risk", filled(MAX_HEAD_BYTES + 1)), body()),
    "request line that is too long": (head("host: risk", path=f"{URL}?{'a' * MAX_HEAD_BYTES}"), body()),
    "query": (head("host: risk", path=f"{URL}?a=b"), body()),
    "escaped path": (head("host: risk", path=URL.replace("score", "%73core")), body()),
    "absolute target": (head("host: risk", path=f"http://risk{URL}"), body()),
    "unknown model": (head("host: risk", path="/v1/models/other/score"), body()),
    "upgrade": (head("host: risk", "connection: upgrade", "upgrade: h2c"), body()),
    "unknown expectation": (head("host: risk", "expect: tea"), body()),
    "odd time limit": (head("host: risk", "x-timeout-ms: -1"), body()),
    "odd explanation": (head("host: risk", "x-explain: never"), body()),
    "explanation": (head("host: risk", "x-explain: ALWAYS"), body()),
    "odd trace": (head("host: risk", "traceparent: 00-0-0-0"), body()),
    "no body": (head("host: risk", length=0), b""),
    "no JSON": (head("host: risk"), b"{" * len(body())),
    "another value's type": (head("host: risk", length=len(body(amount="1"))), body(amount="1")),
    "too long": (head("host: risk", length=70_000), b" " * 70_000),
    "chunks": (
        b"POST %s HTTP/1.1\r\nhost: risk\r\ntransfer-encoding: chunked\r\n\r\n" % URL.encode(),
        b"%x\r\n%s\r\n0\r\n\r\n" % (len(body()), body()),
    ),
    "chunks that are too long": (
        b"POST %s HTTP/1.1\r\nhost: risk\r\ntransfer-encoding: chunked\r\n\r\n" % URL.encode(),
        b"%x\r\n%s\r\n0\r\n\r\n" % (70_000, b" " * 70_000),
    ),
    "no chunk": (
        b"POST %s HTTP/1.1\r\nhost: risk\r\ntransfer-encoding: chunked\r\n\r\n" % URL.encode(),
        b"zz\r\n",
    ),
}  # fmt: skip
STATUSES = {
    "HTTP/1.1 without a host": 400,
    "two hosts": 400,
    "compressed": 415,
    "head that is too long": 400,
    "request line that is too long": 400,
    "unknown model": 404,
    "odd time limit": 422,
    "odd explanation": 422,
    "no body": 422,
    "no JSON": 422,
    "another value's type": 422,
    "too long": 413,
    "chunks that are too long": 413,
    "no chunk": 400,
}


@pytest.fixture(scope="module")
def app(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ServingApp]:
    store = SmallStore.under(tmp_path_factory.mktemp("store"))
    with started(store) as app:
        yield app


def written(app: ServingApp, decision_id: str, *parts: bytes) -> bytes:
    """What the server writes for the parts of a request, each in a read of its own, without what may differ."""

    async def steps(connection: Connection) -> None:
        for part in parts:
            if not connection.transport.is_closed:
                connection.protocol.data_received(part.replace(b"{id}", decision_id.encode()))
                # Lets a task that waits for the body begin, as between two reads.
                for _ in range(4):
                    await asyncio.sleep(0)

    connection = drive(app, steps)
    answer = b"".join(connection.transport.written).replace(b"HTTP/1.1 100 Continue\r\n\r\n", b"")
    return answer.replace(decision_id.encode(), b"{id}") + b" closed" * connection.transport.is_closed


@pytest.mark.parametrize("name", CASES)
def test_the_same_bytes_get_the_same_answer_however_they_arrive(app: ServingApp, name: str) -> None:
    start, end = CASES[name]
    with submitted(app) as whole:
        ids = [f"{next(NUMBERS):04d}" for _ in range(3)]
        at_once = written(app, ids[0], start + end)
        assert len(whole) == (STATUSES.get(name) != 400)
        whole.clear()
        in_two = written(app, ids[1], start, end)
        # Byte by byte, but for the long heads.
        size = len(start) // 500 + 1
        cuts = [start[index : index + size] for index in range(0, len(start), size)]
        byte_by_byte = written(app, ids[2], *cuts, end[:5], end[5:])
        assert not whole or not end
    assert at_once == in_two == byte_by_byte
    assert int(at_once.split(b" ")[1]) == STATUSES.get(name, 200)


@pytest.fixture(scope="module")
def running(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    store = SmallStore.under(tmp_path_factory.mktemp("running"))
    store.publish(1)
    with fuzzed(store) as target:
        yield target.server


def by_both_paths(server: Server, *parts: bytes) -> Answer:
    """The answer to a request that arrives whole, which must equal the one to its parts."""
    address = str(server.client.base_url)
    with RawConnection(address) as connection:
        connection.send(b"".join(parts))
        whole = connection.answer()
    with RawConnection(address) as connection:
        for part in parts:
            connection.send(part)
            time.sleep(0.02)  # the next part is another packet
        split = connection.answer()
    assert whole is not None
    assert split is not None
    headers = {"date": whole.headers["date"]} if "date" in whole.headers else {}
    assert dataclasses.replace(split, headers=split.headers | headers) == whole
    return whole


@pytest.mark.parametrize("path", [URL, f"{URL}/batch", INFER, INVOCATIONS])
def test_a_compressed_body_is_refused_on_every_route(running: Server, path: str) -> None:
    head, _, rest = request(path, b"\x1f\x8b" * 20, content_encoding="gzip", content_type="application/json").partition(
        b"\r\n\r\n"
    )
    assert by_both_paths(running, head + b"\r\n\r\n", rest).status == 415


def test_minus_zero_repeats_the_request_with_zero(running: Server) -> None:
    zero, minus_zero = (
        json.dumps(score_request("zeros", features=EXAMPLE | {"amount": amount})).encode() for amount in (0.0, -0.0)
    )
    first = by_both_paths(running, request(URL, zero)[: -len(zero)], zero)
    again = by_both_paths(running, request(URL, minus_zero)[: -len(minus_zero)], minus_zero)
    assert (first.status, again.status) == (200, 200)
    assert again.body == first.body
    other = json.dumps(score_request("zeros", features=EXAMPLE | {"amount": 1e-300})).encode()
    assert by_both_paths(running, request(URL, other)[: -len(other)], other).status == 409


@pytest.mark.parametrize("path", [f"{URL}?{'a' * MAX_HEAD_BYTES}", f"/readyz?{'a' * MAX_HEAD_BYTES}"])
def test_a_request_line_over_the_limit_is_refused_however_it_arrives(running: Server, path: str) -> None:
    sent = request(path, body("long"))
    assert by_both_paths(running, sent[:20_000], sent[20_000:40_000], sent[40_000:]).status == 400


@pytest.mark.parametrize("path", [URL, "/readyz"])
def test_a_request_without_a_host_is_refused_in_http_1_1_only(running: Server, path: str) -> None:
    sent = request(path, body("host")).replace(b"host: test\r\n", b"connection: close\r\n")
    parts = sent.partition(b"\r\n\r\n")
    assert by_both_paths(running, parts[0] + parts[1], parts[2]).status == 400
    old = (parts[0] + parts[1]).replace(b"HTTP/1.1", b"HTTP/1.0")
    assert by_both_paths(running, old, parts[2]).status == (200 if path == URL else 405)


def test_a_gateways_bearer_token_next_to_a_valid_key_is_accepted(tmp_path: Path) -> None:
    store = SmallStore.under(tmp_path)
    store.publish(1)
    path = tmp_path / "keys.jsonl"
    key, _ = add(path, "engine", ["score"], dt.datetime.now(dt.UTC))
    with served(store, SERVING_API_KEYS=str(path)) as server:
        sent = request(URL, body("token"), authorization="Bearer eyJhbGciOiJSUzI1NiJ9.e30.c2ln", x_api_key=key)
        start, end = sent[: -len(body("token"))], body("token")
        assert by_both_paths(server, start, end).status == 200
