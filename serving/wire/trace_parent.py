"""The caller's W3C trace context."""

import re
from typing import Final, NamedTuple

_IDS: Final = rb"-(?!0{32})([0-9a-f]{32})-(?!0{16})([0-9a-f]{16})-([0-9a-f]{2})"

_VERSION_00: Final = re.compile(rb"00" + _IDS)

_LATER_VERSION: Final = re.compile(rb"(?!00|ff)[0-9a-f]{2}" + _IDS + rb"(?:-|\Z)")

_ODD: Final = frozenset(b"13579bdf")


class TraceParent(NamedTuple):
    """The caller's span; `trace_id` has 32 and `parent_id` 16 lower-case hex digits."""

    trace_id: str
    parent_id: str
    is_sampled: bool


def parse_traceparent(header: bytes | None) -> TraceParent | None:
    """The caller's span, or ``None`` if the header is absent or invalid.

    Version 00 of W3C Trace Context has exactly 55 bytes; a later version may append fields after a dash and is parsed
    as version 00.

    Examples
    --------
    >>> parse_traceparent(b"00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01")
    TraceParent(trace_id='4bf92f3577b34da6a3ce929d0e0e4736', parent_id='00f067aa0ba902b7', is_sampled=True)
    >>> parse_traceparent(b"00-4BF92F3577B34DA6A3CE929D0E0E4736-00F067AA0BA902B7-01") is None
    True
    """
    if header is None:
        return None
    match = _VERSION_00.fullmatch(header) or _LATER_VERSION.match(header)
    if match is None:
        return None
    trace_id, parent_id, flags = match.groups()
    return TraceParent(trace_id.decode(), parent_id.decode(), flags[1] in _ODD)
