"""Heads that are known again, beside the parser that reads them the first time."""

from collections.abc import Mapping
from typing import Any

import httptools
import pytest
from hypothesis import given
from hypothesis import strategies as st

from serving.http.fast_path.head_templates import KnownHead, learn
from serving.wire.headers import READ

TRACE = b"00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"
OTHER_TRACE = b"00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-00"


class Parsed:
    """What the server's parser finds in bytes that come on a new connection."""

    def __init__(self, data: bytes) -> None:
        self.headers: list[tuple[bytes, bytes]] = []
        self.body = self.url = b""
        self.messages = self.begun = 0
        self.parser = httptools.HttpRequestParser(self)
        self.parser.set_dangerous_leniencies(lenient_data_after_close=True)
        self.parser.feed_data(data)
        self.method = self.parser.get_method()
        self.is_kept_alive = self.parser.should_keep_alive()

    def on_message_begin(self) -> None:
        self.begun += 1

    def on_url(self, url: bytes) -> None:
        self.url += url

    def on_header(self, name: bytes, value: bytes) -> None:
        self.headers.append((name.lower(), value))

    def on_body(self, body: bytes) -> None:
        self.body += body

    def on_message_complete(self) -> None:
        self.messages += 1

    @property
    def read(self) -> dict[bytes, bytes]:
        return {name: value for name, value in self.headers if name in READ and name != b"content-length"}


def request(body: bytes, *lines: bytes, trace: bytes | None = None, length: bytes = b"Content-Length: ") -> bytes:
    head = [b"POST /v1/models/small/score HTTP/1.1", b"Host: risk", *lines[:1]]
    head += [length + b"%d" % len(body)]
    head += [b"traceparent: " + trace] if trace else []
    return b"\r\n".join([*head, *lines[1:], b"", body])


def learned(data: bytes) -> KnownHead | None:
    parsed = Parsed(data)
    return learn(data, parsed.headers, parsed.body)


def matched(data: bytes, other: bytes) -> tuple[bytes, Mapping[bytes, bytes]] | None:
    head = learned(data)
    assert head is not None
    return head.match(other)


@pytest.mark.parametrize("length", [b"Content-Length: ", b"content-length:", b"CONTENT-LENGTH:   "])
def test_the_same_head_with_a_body_of_another_length_is_known(length: bytes) -> None:
    first = request(b"{}", b"X-Api-Key: key", b"X-Timeout-Ms: 50", length=length)
    second = request(b'{"more": 1}' * 20, b"X-Api-Key: key", b"X-Timeout-Ms: 50", length=length)
    assert matched(first, second) == (b'{"more": 1}' * 20, {b"x-api-key": b"key", b"x-timeout-ms": b"50"})


@pytest.mark.parametrize("lines", [(), (b"Accept: */*",), (b"Accept: */*", b"X-Explain: always")])
def test_each_request_has_its_own_trace(lines: tuple[bytes, ...]) -> None:
    found = matched(request(b"{}", *lines, trace=TRACE), request(b"[1]", *lines, trace=OTHER_TRACE))
    assert found is not None
    assert found[0] == b"[1]"
    assert found[1][b"traceparent"] == OTHER_TRACE


@pytest.mark.parametrize(
    ("name", "value"),
    [
        (b"X-Request-Id", b"8f14e45f-ceea-467f-a9d8-2b6a1c6e2d1a"),
        (b"x-correlation-id", b"Q2hhcmdl+/=="),
        (b"tracestate", b"vendor=00f067aa0ba902b7,other=t61rcWkgMzE"),
        (b"X-Amzn-Trace-Id", b"Root=1-67891233-abcdef012345678912345678;Sampled=1"),
        (b"b3", b"80f198ee56343ba864fe8b2a57d3eff7-e457b5a2e4d86bd1-1"),
    ],
)
def test_ids_that_this_server_does_not_read_may_differ(name: bytes, value: bytes) -> None:
    first = request(b"{}", b"Accept: */*", name + b": 1", b"X-Api-Key: key", trace=TRACE)
    second = request(b"[1]", b"Accept: */*", name + b": " + value, b"X-Api-Key: key", trace=OTHER_TRACE)
    assert matched(first, second) == (b"[1]", {b"x-api-key": b"key", b"traceparent": OTHER_TRACE})


def test_another_header_that_differs_is_the_parsers() -> None:
    assert matched(request(b"{}", b"X-Number: 1"), request(b"{}", b"X-Number: 2")) is None


@pytest.mark.parametrize(
    "other",
    [
        request(b"{}", b"X-Api-Key: yek"),
        request(b"{}", b"X-Api-Key: key", b"X-Explain: always"),
        request(b"{}"),
        request(b"{}", b"X-Api-Key: key").replace(b"POST", b"PUT "),
        request(b"{}", b"X-Api-Key: key").replace(b"small", b"other"),
        request(b"{}", b"X-Api-Key: key")[:-1],
        request(b"{}", b"X-Api-Key: key") + b"P",
        request(b"{}", b"X-Api-Key: key") * 2,
        request(b"{}", b"X-Api-Key: key").replace(b"Length: 2", b"Length: +2"),
        request(b"{}", b"X-Api-Key: key").replace(b"Length: 2", b"Length: 2 "),
        request(b"{}", b"X-Api-Key: key").replace(b"Length: 2", b"Length: 2, 2"),
        request(b"{}", b"X-Api-Key: key").replace(b"Length: 2", b"Length: "),
        request(b"{}", b"X-Api-Key: key").replace(b"Length: 2", b"Length: 0000000002"),
        request(b"{}", b"X-Api-Key: key").replace(b"Length: 2\r\n", b"Length: 2\r\nTransfer-Encoding: chunked\r\n"),
        b"",
        b"\r\n" + request(b"{}", b"X-Api-Key: key"),
    ],
)
def test_whatever_else_comes_is_the_parsers(other: bytes) -> None:
    assert matched(request(b"{}", b"X-Api-Key: key"), other) is None


@pytest.mark.parametrize(
    "odd", [TRACE + b"\r", TRACE + b"\n", TRACE + b"\x00", b"", TRACE + b"0" * 100, b" " + TRACE, TRACE + b" ", b"\xe4"]
)
def test_an_id_that_is_odd_is_the_parsers(odd: bytes) -> None:
    one, other = request(b"{}", trace=TRACE), request(b"{}", b"X-Request-Id: 1")
    assert matched(one, one.replace(TRACE, odd)) is None
    assert matched(other, other.replace(b"Id: 1", b"Id: " + odd)) is None


@pytest.mark.parametrize("trace", [TRACE.upper(), b"none"])
def test_a_trace_that_is_not_hexadecimal_is_the_parsers(trace: bytes) -> None:
    assert matched(request(b"{}", trace=TRACE), request(b"{}", trace=trace)) is None


@pytest.mark.parametrize(
    "data",
    [
        request(b"{}", b"Expect: 100-continue"),
        request(b"{}", b"Upgrade: h2c"),
        b"POST /v1/models/small/score HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n2\r\n{}\r\n0\r\n\r\n",
        b"POST /v1/models/small/score HTTP/1.1\r\nHost: risk\r\n\r\n",
        request(b"{}", length=b"Content-Length:").replace(b":2", b":2 "),
        request(b"{}", b"X-Filler: " + b"x" * 5000),
        request(b"{}") * 2,
        request(b"{}", trace=TRACE).replace(b"\r\nHost", b"\r\ntraceparent: " + TRACE + b"\r\nHost"),
    ],
)  # fmt: skip
def test_a_head_that_is_not_just_followed_by_its_body_is_not_learned(data: bytes) -> None:
    assert learned(data) is None


def test_what_is_remembered_is_not_shown() -> None:
    head = learned(request(b"{}", b"X-Api-Key: secret"))
    assert "secret" not in repr(head)


IDS = [b"X-Request-Id", b"tracestate"]
NAMES = st.sampled_from([b"X-Api-Key", b"Accept", b"x-timeout-ms", b"X-Explain", b"Connection", b"Keep-Alive", *IDS])
VALUES = st.sampled_from([b"", b"a", b"close", b"keep-alive", b"always", b"50", b"b c", b"\xe4", b"a:b"])
SPACES = st.sampled_from([b"", b" ", b"\t "])
LINES = st.lists(st.tuples(NAMES, SPACES, VALUES, VALUES), max_size=4)
TRACES = st.sampled_from([None, TRACE, OTHER_TRACE, b"0", b"zz"])
PIECES = st.sampled_from(
    [b"", b"\r", b"\n", b"\r\n", b"\r\n\r\n", b"0", b"9", b"-", b" ", b":", b"\x00", b"chunked", b"a"]
)


def spoiled(data: bytes, draws: Any) -> bytes:
    for at, size, piece in draws:
        where = at % (len(data) + 1)
        data = data[:where] + piece + data[where + size :]
    return data


@given(
    lines=LINES,
    bodies=st.tuples(st.binary(max_size=40), st.binary(max_size=40)),
    traces=st.tuples(TRACES, TRACES),
    draws=st.lists(st.tuples(st.integers(0, 400), st.integers(0, 3), PIECES), max_size=2),
)
def test_what_is_known_is_what_the_parser_would_have_found(
    lines: list[tuple[bytes, ...]], bodies: tuple[bytes, bytes], traces: tuple[bytes | None, bytes | None], draws: Any
) -> None:
    first = request(bodies[0], *(name + b":" + space + value for name, space, value, _ in lines), trace=traces[0])
    head = learned(first)
    if head is None:
        return
    again = [(name, space, other if name in IDS else value) for name, space, value, other in lines]
    data = request(bodies[1], *(name + b":" + space + value for name, space, value in again), trace=traces[1])
    data = spoiled(data, draws)
    found = head.match(data)
    if found is not None:
        parsed, before = Parsed(data), Parsed(first)
        assert (found.body, dict(found.headers)) == (parsed.body, parsed.read)
        assert (parsed.begun, parsed.messages) == (1, 1)
        assert (parsed.url, parsed.method, parsed.is_kept_alive) == (before.url, before.method, before.is_kept_alive)
    else:
        ids = [value for name, _, value in again if name in IDS] + [trace for trace in traces[1:] if trace is not None]
        is_plain = not {b"", b"b c", b"\xe4", b"zz"} & set(ids)
        assert draws or not is_plain or (traces[0] is None) != (traces[1] is None)
