"""The response to a score request."""

import msgspec

from serving.contract.documents import DecisionName, DecisionRecord, Reason, SlotName

_encoder = msgspec.json.Encoder()


class ScoreResponse(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """The answer to a score request; `reasons` is ``None`` where none were asked for or could be given."""

    decision_id: str
    model: str
    slot: SlotName
    bundle_digest: str
    release_number: int
    score: float
    margin: float
    decision: DecisionName
    reasons: tuple[Reason, ...] | None = None


def response_of(record: DecisionRecord) -> ScoreResponse:
    """The response that a recorded decision had."""
    return ScoreResponse(
        decision_id=record.decision_id,
        model=record.model,
        slot=record.slot,
        bundle_digest=record.bundle_digest,  # type: ignore[arg-type]  # a decision has all of them, an error is no answer
        release_number=record.release_number,  # type: ignore[arg-type]
        score=record.score,  # type: ignore[arg-type]
        margin=record.margin,  # type: ignore[arg-type]
        decision=record.decision,  # type: ignore[arg-type]
        reasons=record.reasons,
    )


def answer_of(record: DecisionRecord) -> bytes:
    """The response's body that a recorded decision had, byte for byte."""
    return _encoder.encode(response_of(record))
