import asyncio
import time
from typing import Any

import pytest

from serving.access.api_keys import ApiKeys
from serving.errors import (
    BodyTimeoutError,
    BodyTooLargeError,
    DeadlineExceededError,
    InvalidRequestError,
    OverloadedError,
    RequestError,
)
from serving.http.admission import Admission, read_body
from serving.http.arrival import ARRIVAL, BODY_IS_WHOLE
from serving.wire.request_context import RequestContext

NOW = 1000.0
TRACE = b"00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"


def admission(max_in_flight: int = 4, timeout_seconds: float = 2.0, in_flight: int = 1) -> Admission:
    return Admission(
        ApiKeys(None),
        max_in_flight=max_in_flight,
        timeout_seconds=timeout_seconds,
        in_flight=lambda: in_flight,
        clock=lambda: NOW,
    )


def scope(before: int = 0, waited_seconds: float = 0.0, **headers: bytes) -> dict[str, Any]:
    named = [(name.replace("_", "-").encode(), value) for name, value in headers.items()]
    return {"headers": named, ARRIVAL: (NOW - waited_seconds, before)}


def context(seconds: float = 2.0, announced_bytes: int | None = None) -> RequestContext:
    now = time.perf_counter()
    return RequestContext(None, None, now, now + seconds, False, announced_bytes)


@pytest.mark.parametrize(
    ("request_scope", "refusal"),
    [
        (scope(before=3), None),
        (scope(before=4), OverloadedError),
        (scope(before=400), OverloadedError),
        (scope(waited_seconds=1.9), None),
        (scope(waited_seconds=2.1), DeadlineExceededError),
        (scope(x_timeout_ms=b"50", waited_seconds=0.04), None),
        (scope(x_timeout_ms=b"50", waited_seconds=0.06), DeadlineExceededError),
        (scope(x_timeout_ms=b"99999", waited_seconds=2.1), DeadlineExceededError),  # the server's own limit is shorter
        (scope(x_timeout_ms=b"0"), InvalidRequestError),
        (scope(x_timeout_ms=b"-1"), InvalidRequestError),
        (scope(x_timeout_ms=b"soon"), InvalidRequestError),
        (scope(x_timeout_ms=b"1" * 5000), InvalidRequestError),
        (scope(x_explain=b"always"), None),
        (scope(x_explain=b"maybe"), InvalidRequestError),
        (scope(before=4, x_explain=b"maybe"), OverloadedError),  # before any header is read
    ],
)
def test_a_request_is_admitted_or_refused(request_scope: dict[str, Any], refusal: type[RequestError] | None) -> None:
    if refusal is None:
        admission().admit(request_scope, "score")
        return
    with pytest.raises(refusal):
        admission().admit(request_scope, "score")


def test_without_the_protocols_stamp_the_others_in_flight_count() -> None:
    admission(max_in_flight=2, in_flight=2).admit({"headers": []}, "score")  # this request and one other
    with pytest.raises(OverloadedError, match="Expected fewer than 2 requests in flight"):
        admission(max_in_flight=2, in_flight=3).admit({"headers": []}, "score")


def test_the_context_holds_what_the_headers_say() -> None:
    admitted = admission().admit(
        scope(x_timeout_ms=b"100", x_explain=b"Always", traceparent=TRACE, content_length=b"12"), "score"
    )
    assert admitted.trace_id == "4bf92f3577b34da6a3ce929d0e0e4736"
    assert (admitted.is_explained, admitted.announced_bytes, admitted.caller) == (True, 12, None)
    assert admitted.deadline - admitted.arrived_at == pytest.approx(0.1)


def received(*messages: dict[str, Any]) -> Any:
    waiting = list(messages)

    async def receive() -> dict[str, Any]:
        if not waiting:
            await asyncio.sleep(3600)
        return waiting.pop(0)

    return receive


def part(body: bytes, *, more: bool) -> dict[str, Any]:
    return {"type": "http.request", "body": body, "more_body": more}


@pytest.mark.parametrize("marks", [{}, {BODY_IS_WHOLE: True}])
def test_a_body_in_parts_is_joined(marks: dict[str, Any]) -> None:
    receive = received(part(b"ab", more=True), part(b"", more=True), part(b"c", more=False))
    assert asyncio.run(read_body(marks, receive, context(), 3)) == b"abc"


def test_a_body_is_refused_as_soon_as_it_is_too_long() -> None:
    with pytest.raises(BodyTooLargeError):
        asyncio.run(read_body({}, received(), context(announced_bytes=4), 3))
    with pytest.raises(BodyTooLargeError):
        asyncio.run(read_body({}, received(part(b"ab", more=True), part(b"cd", more=True)), context(), 3))


def test_a_body_that_does_not_come_is_given_up_at_the_deadline() -> None:
    with pytest.raises(BodyTimeoutError, match="before the request's deadline"):
        asyncio.run(read_body({}, received(part(b"ab", more=True)), context(seconds=0.02), 9))


def test_a_caller_who_goes_sends_no_body() -> None:
    with pytest.raises(BodyTimeoutError, match="the connection was closed"):
        asyncio.run(read_body({}, received(part(b"a", more=True), {"type": "http.disconnect"}), context(), 9))
