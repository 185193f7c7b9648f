"""The head that a connection sends again and again: recognised byte for byte, so that it need not be parsed again.

A client on a kept-alive connection sends the same head with each request, but for the body's length and ids of the
request; to parse it takes longer than to sum up 500 trees. `learn` remembers a head that the parser has taken, with
holes for these values. `KnownHead.match` says whether what came is that head with other such values and exactly its
body: the same bytes mean the same to the parser, and what may stand in a hole is narrower than what it takes there. All
else is left to the parser.
"""

from collections.abc import Mapping, Sequence
from typing import Final, NamedTuple

from serving.wire.headers import LENGTH, READ, TRACE, Header

_LINE_END: Final = b"\r\n"
_HEAD_END: Final = b"\r\n\r\n"
_DIGITS: Final = b"0123456789"
_ID_BYTES: Final = _DIGITS + b"abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ-_.:=/+,;"
_IDS: Final = (b"tracestate", b"x-request-id", b"x-correlation-id", b"x-amzn-trace-id", b"request-id", b"b3")
_HOLES: Final = {LENGTH: _DIGITS, TRACE: _DIGITS + b"abcdef-", **dict.fromkeys(_IDS, _ID_BYTES)}
"""Headers whose values are never the same, and the bytes that such a value may have."""
_CHANGES_READING: Final = frozenset({b"transfer-encoding", b"upgrade", b"expect"})
"""Headers for which a request is not simply its head and then its body."""
_LONGEST_HEAD: Final = 4096
_LONGEST_VALUE: Final = 128
_MOST_DIGITS: Final = 9


class KnownRequest(NamedTuple):
    """What `match` found; of the headers those that the server reads."""

    body: bytes
    headers: Mapping[bytes, bytes]


class KnownHead:
    """A head with holes; made by `learn`.

    Parameters
    ----------
    headers
        What the head says to who reads it, but for the values of its holes.
    begin
        The head up to its first hole.
    holes
        The name of each one's header, and what follows the value, up to the next one or the body.
    """

    __slots__ = ("_begin", "_headers", "_holes")

    def __init__(self, headers: Mapping[bytes, bytes], begin: bytes, holes: Sequence[tuple[bytes, bytes]]) -> None:
        self._headers = headers
        self._begin = begin
        self._holes = tuple((name, _HOLES[name], following) for name, following in holes)

    def __repr__(self) -> str:
        return "KnownHead(...)"  # its bytes may hold a caller's key

    def match(self, data: bytes) -> KnownRequest | None:
        """The request that `data` is, ``None`` if it has another head, or is less or more than one request."""
        if not data.startswith(self._begin):
            return None
        at, length, headers = len(self._begin), b"", self._headers
        for name, allowed, following in self._holes:
            end = data.find(_LINE_END, at, at + _LONGEST_VALUE)
            if end <= at or not data.startswith(following, end):
                return None
            value = data[at:end]
            if value.strip(allowed):
                return None
            if name == LENGTH:
                length = value
            elif name in READ:
                headers = {**headers, name: value}
            at = end + len(following)
        if len(length) > _MOST_DIGITS or int(length) != len(data) - at:
            return None
        return KnownRequest(data[at:], headers)


def learn(data: bytes, headers: Sequence[Header], body: bytes) -> KnownHead | None:
    """What to remember of a request, ``None`` if its head is none to remember.

    Parameters
    ----------
    data
        All that came of the request, in one piece; the connection goes on after it.
    headers, body
        What the parser found in it; the names in lower case.
    """
    head, end, rest = data.partition(_HEAD_END)
    if not end or rest != body or len(head) > _LONGEST_HEAD:
        return None
    lines, names = head.split(_LINE_END)[1:], [name for name, _ in headers]
    if [line.partition(b":")[0].lower() for line in lines] != names or _CHANGES_READING & set(names):
        return None
    if names.count(LENGTH) != 1 or names.count(TRACE) > 1:
        return None
    head += end
    spans, at = [], head.index(_LINE_END) + len(_LINE_END)
    for (name, value), line in zip(headers, lines, strict=True):
        if name in _HOLES:
            if not line.endswith(value) or (name == LENGTH and not value.isdigit()):
                return None
            spans.append((name, at + len(line) - len(value), at + len(line)))
        at += len(line) + len(_LINE_END)
    starts = [start for _, start, _ in spans[1:]] + [len(head)]
    holes = [(name, head[end:start]) for (name, _, end), start in zip(spans, starts, strict=True)]
    said = {name: value for name, value in headers if name in READ and name != LENGTH}
    return KnownHead(said, head[: spans[0][1]], holes)
