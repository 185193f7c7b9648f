"""The response to a score request."""

import msgspec

from serving.contract.documents import DecisionName, DecisionRecord, Reason, SlotName

_encoder = msgspec.json.Encoder()


class ScoreResponse(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """The answer to a score request; `reasons` is ``None`` if not requested or not available."""

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
    """The response of a recorded decision."""
    return ScoreResponse(
        decision_id=record.decision_id,
        model=record.model,
        slot=record.slot,
        bundle_digest=record.bundle_digest,  # type: ignore[arg-type]  # present in every decision; errors have no answer
        release_number=record.release_number,  # type: ignore[arg-type]
        score=record.score,  # type: ignore[arg-type]
        margin=record.margin,  # type: ignore[arg-type]
        decision=record.decision,  # type: ignore[arg-type]
        reasons=record.reasons,
    )


def answer_of(record: DecisionRecord) -> bytes:
    """The encoded response of a recorded decision; the same bytes each time."""
    return _encoder.encode(response_of(record))
