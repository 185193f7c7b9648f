"""Admission of requests (cap on requests in flight, API key, deadline), and reading of their bodies."""

import asyncio
import time
from collections.abc import Callable, Mapping
from typing import Any

from serving.access.api_keys import ApiKeys
from serving.access.key_file import Scope
from serving.errors import (
    BodyTimeoutError,
    BodyTooLargeError,
    DeadlineExceededError,
    InvalidRequestError,
    OverloadedError,
    UnsupportedMediaTypeError,
)
from serving.http.arrival import ARRIVAL, BODY_IS_WHOLE, Arrival
from serving.wire.headers import AUTHORIZATION, ENCODING, EXPLAIN, KEY, LENGTH, TIMEOUT, TRACE, read_headers
from serving.wire.request_context import RequestContext
from serving.wire.trace_parent import parse_traceparent


class Admission:
    """Admits or refuses requests before any work is done for them.

    Parameters
    ----------
    keys
        The callers' API keys.
    max_in_flight
        A request that arrives while this many are in flight is refused.
    timeout_seconds
        Longest time from arrival to answer.
    in_flight
        Requests in flight now, including the one to be admitted; used only if the server does not stamp arrivals.
    clock
        The clock that arrivals are stamped with, in seconds.
    """

    def __init__(
        self,
        keys: ApiKeys,
        *,
        max_in_flight: int,
        timeout_seconds: float,
        in_flight: Callable[[], int],
        clock: Callable[[], float] = time.perf_counter,
    ) -> None:
        self._clock = clock
        self._keys = keys
        self._max_in_flight = max_in_flight
        self._timeout_seconds = timeout_seconds
        self._in_flight = in_flight

    def admit(self, scope: Any, needed: Scope) -> RequestContext:
        """The context of an admitted request, from its ASGI scope; raises as `admit_headers`."""
        return self.admit_headers(read_headers(scope), scope.get(ARRIVAL), needed)

    def admit_headers(self, headers: Mapping[bytes, bytes], arrival: Arrival | None, needed: Scope) -> RequestContext:
        """The context of an admitted request.

        Raises
        ------
        OverloadedError, UnauthorizedError, ForbiddenError, UnsupportedMediaTypeError, InvalidRequestError,
        DeadlineExceededError
            The first that applies, in this order; an invalid header is an `InvalidRequestError`. A compressed body is
            refused, since it could unpack to any size.
        """
        now = self._clock()
        arrived_at, in_flight = (now, self._in_flight() - 1) if arrival is None else arrival
        if in_flight >= self._max_in_flight:
            raise OverloadedError(f"Expected fewer than {self._max_in_flight} requests in flight")
        caller = self._keys.authenticate(headers.get(AUTHORIZATION), headers.get(KEY))
        caller.require(needed)
        if headers.get(ENCODING, b"identity").lower() != b"identity":
            raise UnsupportedMediaTypeError("Expected a body that is not compressed")
        timeout, explain, length = headers.get(TIMEOUT), headers.get(EXPLAIN), headers.get(LENGTH)
        deadline = arrived_at + (self._timeout_seconds if timeout is None else self._timeout_of(timeout))
        if now > deadline:
            raise DeadlineExceededError("Expected to start before the request's deadline")
        trace = headers.get(TRACE)
        return RequestContext(
            caller.name,
            None if trace is None else parse_traceparent(trace),
            arrived_at,
            deadline,
            explain is not None and _is_explained(explain),
            None if length is None else _length(length),
        )

    def check_key(self, scope: Any, needed: Scope) -> None:
        """Check only the API key: routes that describe the server also answer while it is overloaded.

        Raises
        ------
        UnauthorizedError, ForbiddenError
            If there is no valid key, or the key lacks the scope `needed`.
        """
        headers = read_headers(scope)
        self._keys.authenticate(headers.get(AUTHORIZATION), headers.get(KEY)).require(needed)

    def _timeout_of(self, header: bytes) -> float:
        if not header.isdigit() or len(header) > 9 or int(header) == 0:
            raise InvalidRequestError("Expected a positive integer of milliseconds in the header X-Timeout-Ms")
        return min(int(header) / 1000, self._timeout_seconds)


async def read_body(scope: Any, receive: Any, context: RequestContext, max_bytes: int) -> bytes:
    """The request's body.

    Raises
    ------
    BodyTooLargeError
        As soon as more than `max_bytes` are announced or have arrived.
    BodyTimeoutError
        If it is incomplete at the deadline, or the caller has disconnected.
    """
    if context.announced_bytes is not None and context.announced_bytes > max_bytes:
        raise BodyTooLargeError(f"Expected at most {max_bytes} bytes")
    if BODY_IS_WHOLE in scope:
        # The usual case: the body is one message that needs no timer.
        message = await receive()
        body: bytes = message.get("body", b"")
        if not message.get("more_body", False) and message["type"] == "http.request" and len(body) <= max_bytes:
            return body
        return await _collected(receive, max_bytes, message)
    try:
        async with asyncio.timeout(max(context.deadline - time.perf_counter(), 0)):
            return await _collected(receive, max_bytes)
    except TimeoutError:
        raise BodyTimeoutError("Expected the complete body before the request's deadline") from None


async def _collected(receive: Any, max_bytes: int, first: Any = None) -> bytes:
    """The body, starting with the message `first` if it was already received."""
    parts, size, message = [], 0, first
    while True:
        message = message or await receive()
        if message["type"] == "http.disconnect":
            raise BodyTimeoutError("Expected the complete body, but the connection was closed")
        parts.append(message.get("body", b""))
        size += len(parts[-1])
        if size > max_bytes:
            raise BodyTooLargeError(f"Expected at most {max_bytes} bytes")
        if not message.get("more_body", False):
            return b"".join(parts)
        message = None


def _is_explained(header: bytes) -> bool:
    if header.lower() != b"always":
        raise InvalidRequestError("Expected the value always in the header X-Explain, or no such header")
    return True


def _length(header: bytes) -> int | None:
    return int(header) if header.isdigit() and len(header) < 19 else None
