"""The decisions given lately: a repeated decision id gets the same answer and no second record."""

import asyncio
import hashlib
from collections import OrderedDict
from typing import Final

import msgspec

from serving.contract import DecisionName, DecisionRecord, Reason, SlotName
from serving.errors import DecisionConflictError

RECENT_DECISIONS: Final = 50_000
"""About 35 MB; at 1,000 decisions a second a repeat is recognised for 50 s, later ones by whoever loads the log."""

_FINGERPRINT_BYTES: Final = 16
_encoder = msgspec.json.Encoder()


class ScoreResponse(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """The answer to a score request."""

    decision_id: str
    model: str
    slot: SlotName
    bundle_digest: str
    release_number: int
    score: float
    margin: float
    decision: DecisionName
    reasons: tuple[Reason, ...] | None = None


class _Entry:
    __slots__ = ("answer", "fingerprint", "waiting")

    def __init__(self, fingerprint: bytes, answer: bytes | None) -> None:
        self.fingerprint = fingerprint
        self.answer = answer
        self.waiting: list[asyncio.Future[bytes | None]] = []


class RecentDecisions:
    """A bounded memory of answers by decision id; the oldest are forgotten first.

    Parameters
    ----------
    limit
        How many answers are remembered.
    """

    def __init__(self, limit: int = RECENT_DECISIONS) -> None:
        self._limit = limit
        self._entries: OrderedDict[str, _Entry] = OrderedDict()

    def __len__(self) -> int:
        return len(self._entries)

    async def earlier_answer(self, record: DecisionRecord) -> bytes | None:
        """The answer that this decision id got, also if it is only being recorded; ``None`` if it is new.

        Raises
        ------
        DecisionConflictError
            If the id was used for another request.
        """
        while (entry := self._entries.get(record.decision_id)) is not None:
            if entry.fingerprint != fingerprint(record):
                raise DecisionConflictError(
                    "Expected a new decision_id or the same request again, got an id that was used for another request",
                    "$.decision_id",
                )
            if entry.answer is not None:
                return entry.answer
            waiting: asyncio.Future[bytes | None] = asyncio.get_running_loop().create_future()
            entry.waiting.append(waiting)
            answer = await waiting
            if answer is not None:
                return answer
        return None

    def begin(self, record: DecisionRecord) -> None:
        """Remember that this decision is being recorded."""
        self._add(record.decision_id, _Entry(fingerprint(record), None))

    def finish(self, decision_id: str, answer: bytes | None) -> None:
        """Remember the answer, or forget the id if it was not recorded (``None``); wakes the repeats that wait."""
        entry = self._entries.get(decision_id)
        if entry is None:
            return
        entry.answer = answer
        if answer is None:
            del self._entries[decision_id]
        for waiting in entry.waiting:
            if not waiting.done():
                waiting.set_result(answer)
        entry.waiting.clear()

    def remember(self, record: DecisionRecord) -> None:
        """Remember a decision that was read from the log; errors are left out, since they may be tried again."""
        if record.error is None:
            self._add(record.decision_id, _Entry(fingerprint(record), answer_of(record)))

    def _add(self, decision_id: str, entry: _Entry) -> None:
        self._entries[decision_id] = entry
        if len(self._entries) > self._limit:
            self._forget_oldest()

    def _forget_oldest(self) -> None:
        for decision_id, entry in self._entries.items():
            # One that is being recorded stays: somebody may wait for it.
            if entry.answer is not None:
                del self._entries[decision_id]
                return


def fingerprint(record: DecisionRecord) -> bytes:
    """What makes two requests the same: model, transaction, entity, time and features."""
    same = (record.model, record.transaction_id, record.entity_key, record.occurred_at, record.features)
    return hashlib.blake2b(_encoder.encode(same), digest_size=_FINGERPRINT_BYTES).digest()


def answer_of(record: DecisionRecord) -> bytes:
    """The response's body that a recorded decision had, byte for byte."""
    answer = {name: getattr(record, name) for name in ScoreResponse.__struct_fields__}
    return _encoder.encode(ScoreResponse(**answer))
