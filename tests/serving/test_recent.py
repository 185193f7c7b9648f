import asyncio
import datetime as dt
from typing import Any

import msgspec
import pytest

from serving.contract import DECISION_RECORD_VERSION, DecisionRecord
from serving.errors import DecisionConflictError
from serving.recent import RecentDecisions, answer_of, fingerprint


def record(decision_id: str = "d1", **changes: Any) -> DecisionRecord:
    moment = dt.datetime(2026, 1, 31, 12, tzinfo=dt.UTC)
    values: dict[str, Any] = {
        "schema_version": DECISION_RECORD_VERSION,
        "decision_id": decision_id,
        "transaction_id": "t1",
        "entity_key": "f" * 64,
        "occurred_at": moment,
        "decided_at": moment,
        "model": "card_fraud",
        "slot": "champion",
        "bundle_digest": "b" * 64,
        "release_number": 3,
        "features": (250.5, 1, "travel", None),
        "margin": -1.5,
        "score": 0.25,
        "decision": "approve",
        "elapsed_us": 120,
    }
    return DecisionRecord(**(values | changes))


def test_a_new_id_has_no_earlier_answer() -> None:
    assert asyncio.run(RecentDecisions().earlier_answer(record())) is None


def test_a_repeat_gets_the_answer_of_the_first() -> None:
    recent = RecentDecisions()
    recent.begin(record())
    recent.finish("d1", b"answer")
    later = record(decided_at=dt.datetime(2026, 2, 1, tzinfo=dt.UTC), release_number=4, margin=2.0)
    assert asyncio.run(recent.earlier_answer(later)) == b"answer"


@pytest.mark.parametrize(
    "change",
    [
        {"transaction_id": "t2"},
        {"entity_key": "e" * 64},
        {"model": "credit"},
        {"occurred_at": dt.datetime(2026, 1, 31, 13, tzinfo=dt.UTC)},
        {"features": (250.0, 1, "travel", None)},
    ],
)
def test_an_id_with_other_content_is_a_conflict(change: dict[str, Any]) -> None:
    recent = RecentDecisions()
    recent.begin(record())
    recent.finish("d1", b"answer")
    with pytest.raises(DecisionConflictError):
        asyncio.run(recent.earlier_answer(record(**change)))


def test_a_repeat_waits_while_the_first_is_being_recorded() -> None:
    async def scenario() -> bytes | None:
        recent = RecentDecisions()
        recent.begin(record())
        repeat = asyncio.create_task(recent.earlier_answer(record()))
        await asyncio.sleep(0)
        assert not repeat.done()
        recent.finish("d1", b"answer")
        return await repeat

    assert asyncio.run(scenario()) == b"answer"


def test_a_repeat_of_a_decision_that_was_not_recorded_is_new() -> None:
    async def scenario() -> bytes | None:
        recent = RecentDecisions()
        recent.begin(record())
        repeat = asyncio.create_task(recent.earlier_answer(record()))
        await asyncio.sleep(0)
        recent.finish("d1", None)
        return await repeat

    assert asyncio.run(scenario()) is None


def test_the_oldest_are_forgotten_but_never_one_that_is_being_recorded() -> None:
    recent = RecentDecisions(limit=2)
    recent.begin(record("open"))
    for decision_id in ("a", "b", "c"):
        recent.remember(record(decision_id))
    assert len(recent) == 2
    assert asyncio.run(recent.earlier_answer(record("a"))) is None
    assert asyncio.run(recent.earlier_answer(record("c"))) == answer_of(record("c"))


def test_a_record_read_back_from_the_log_is_recognised() -> None:
    read = msgspec.json.decode(msgspec.json.encode(record()), type=DecisionRecord)
    assert fingerprint(read) == fingerprint(record())
    assert answer_of(read) == answer_of(record())


def test_a_failed_attempt_read_from_the_log_may_be_tried_again() -> None:
    recent = RecentDecisions()
    recent.remember(record(error="ScoringError", margin=None, score=None, decision=None))
    assert asyncio.run(recent.earlier_answer(record())) is None
