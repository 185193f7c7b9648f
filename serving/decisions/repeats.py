"""Cache of recent answers: a repeated decision id gets the same answer and no second record."""

import asyncio
import datetime as dt
from collections import OrderedDict
from typing import Final

import msgspec

from serving.contract.documents import DecisionRecord
from serving.contract.features import Value
from serving.errors import DecisionConflictError
from serving.wire.score_response import answer_of

RECENT_DECISIONS: Final = 50_000
"""About 35 MB; at 1,000 decisions a second repeats are recognised for 50 s. Loading the log drops later ones."""

Key = tuple[str, str]
"""Model and decision id."""

_NEGATIVE_ZERO: Final = b"\xcb\x80" + bytes(7)
_packed = msgspec.msgpack.Encoder().encode


class RecentDecisions:
    """Bounded cache of answers by model and decision id; evicts the oldest first.

    Parameters
    ----------
    limit
        Maximum number of answers.
    """

    def __init__(self, limit: int = RECENT_DECISIONS) -> None:
        self._limit = limit
        self._answered: OrderedDict[Key, tuple[int, bytes]] = OrderedDict()
        self._deciding: dict[Key, tuple[int, list[asyncio.Future[bytes | None]]]] = {}

    def __len__(self) -> int:
        return len(self._answered) + len(self._deciding)

    def answer(self, key: Key, fingerprint: int) -> bytes | None:
        """The answer of this decision id, or ``None`` if it is not in the cache.

        Raises
        ------
        DecisionConflictError
            If the id was used for a different request.
        """
        answered = self._answered.get(key)
        if answered is None:
            return None
        _check_same(key, answered[0], fingerprint)
        return answered[1]

    def is_deciding(self, key: Key) -> bool:
        """Whether a decision with this key is in progress."""
        return key in self._deciding

    async def awaited(self, key: Key, fingerprint: int) -> bytes | None:
        """Wait for a decision in progress and return its answer, ``None`` if it failed; raises as `answer`."""
        while (deciding := self._deciding.get(key)) is not None:
            _check_same(key, deciding[0], fingerprint)
            waiting: asyncio.Future[bytes | None] = asyncio.get_running_loop().create_future()
            deciding[1].append(waiting)
            answer = await waiting
            if answer is not None:
                return answer
        return self.answer(key, fingerprint)

    def begin(self, key: Key, fingerprint: int) -> None:
        """Mark a decision as in progress."""
        self._deciding[key] = (fingerprint, [])

    def finish(self, key: Key, answer: bytes | None) -> None:
        """End a decision in progress with its answer, or with ``None`` if it failed; wakes the waiting repeats."""
        fingerprint, waiting = self._deciding.pop(key)
        if answer is not None:
            self.remember(key, fingerprint, answer)
        for future in waiting:
            if not future.done():
                future.set_result(answer)

    def remember(self, key: Key, fingerprint: int, answer: bytes) -> None:
        """Cache an answer."""
        self._answered[key] = (fingerprint, answer)
        if len(self._answered) > self._limit:
            self._answered.popitem(last=False)

    def remember_record(self, record: DecisionRecord) -> None:
        """Cache a decision that was read from the log, unless it is a shadow's or an error, which may be retried."""
        if record.error is None and record.slot != "shadow":
            self.remember((record.model, record.decision_id), fingerprint_of(record), answer_of(record))


def request_fingerprint(
    transaction_id: str, entity_key: str, occurred_at: dt.datetime, features: tuple[Value, ...] | None
) -> int:
    """Hash of a request's transaction, entity (its pseudonym), time and features.

    Comparable only within one process, since Python salts hashes of strings. Two different requests collide with a
    probability of 2^-61. Bytes are hashed, since Python's hashes of -1 and -2 are equal, as are those of 0.5 and
    2^60.

    Examples
    --------
    >>> now = dt.datetime(2026, 1, 31, tzinfo=dt.UTC)
    >>> request_fingerprint("t1", "4711", now, (-1.0, 5)) == request_fingerprint("t1", "4711", now, (-2.0, 5))
    False
    >>> request_fingerprint("t1", "4711", now, (-0.0, 5)) == request_fingerprint("t1", "4711", now, (0.0, 5))
    True
    """
    packed = _packed((transaction_id, entity_key, occurred_at, features))
    if _NEGATIVE_ZERO in packed:
        # -0.0 equals 0.0, and some clients' JSON drops its sign; trees do not tell them apart.
        positive = tuple(value + 0.0 if type(value) is float else value for value in features or ())
        packed = _packed((transaction_id, entity_key, occurred_at, positive))
    return hash(packed)


def fingerprint_of(record: DecisionRecord) -> int:
    """Fingerprint of the request of a decision record."""
    return request_fingerprint(record.transaction_id, record.entity_key, record.occurred_at, record.features)


def _check_same(key: Key, expected: int, fingerprint: int) -> None:
    if expected != fingerprint:
        raise DecisionConflictError(
            "Expected a new decision_id or the same request again, got an id that a different request used",
            "$.decision_id",
            decision_id=key[1],
        )
