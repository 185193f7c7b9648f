import asyncio
import datetime as dt
from typing import Any

import msgspec
import pytest

from serving.contract.documents import Reason
from serving.decisions.repeats import RecentDecisions, fingerprint_of
from serving.errors import DecisionConflictError
from serving.wire.score_response import ScoreResponse, answer_of
from tests.harness.records import record

KEY = ("card_fraud", "d1")


def test_an_answer_is_found_again_and_its_key_is_model_and_id() -> None:
    recent = RecentDecisions(10)
    recent.remember(KEY, 7, b"answer")
    assert recent.answer(KEY, 7) == b"answer"
    assert recent.answer(("other_model", "d1"), 8) is None


def test_another_request_with_the_same_id_is_a_conflict_that_names_it() -> None:
    recent = RecentDecisions(10)
    recent.remember(KEY, 7, b"answer")
    with pytest.raises(DecisionConflictError) as raised:
        recent.answer(KEY, 8)
    assert (raised.value.decision_id, raised.value.path) == ("d1", "$.decision_id")


@pytest.mark.parametrize(
    ("changes", "is_same"),
    [
        ({"decided_at": dt.datetime(2027, 1, 1, tzinfo=dt.UTC), "elapsed_us": 1, "score": 0.1}, True),
        ({"transaction_id": "t2"}, False),
        ({"entity_key": "e2"}, False),
        ({"occurred_at": dt.datetime(2026, 1, 31, 13, tzinfo=dt.UTC)}, False),
        ({"features": (250.5, 1, "travel", 0.0)}, False),
        ({"features": (250.5, -1, "travel", None)}, False),
    ],
)
def test_what_makes_two_requests_the_same(changes: dict[str, Any], is_same: bool) -> None:
    assert (fingerprint_of(record()) == fingerprint_of(record(**changes))) is is_same


def test_the_oldest_answers_are_forgotten() -> None:
    recent = RecentDecisions(2)
    for name in ("d1", "d2", "d3"):
        recent.remember(("m", name), 1, name.encode())
    assert [recent.answer(("m", name), 1) for name in ("d1", "d2", "d3")] == [None, b"d2", b"d3"]


@pytest.mark.parametrize("answer", [b"answer", None])
def test_repeats_wait_for_a_decision_that_is_being_made(answer: bytes | None) -> None:
    async def run() -> list[bytes | None]:
        recent = RecentDecisions(10)
        recent.begin(KEY, 7)
        assert recent.is_deciding(KEY)
        waiting = [asyncio.create_task(recent.awaited(KEY, 7)) for _ in range(3)]
        await asyncio.sleep(0)
        recent.finish(KEY, answer)
        assert not recent.is_deciding(KEY)
        return list(await asyncio.gather(*waiting))

    assert asyncio.run(run()) == [answer] * 3


def test_another_request_with_an_id_that_is_being_decided_is_a_conflict() -> None:
    async def run() -> None:
        recent = RecentDecisions(10)
        recent.begin(KEY, 7)
        await recent.awaited(KEY, 8)

    with pytest.raises(DecisionConflictError):
        asyncio.run(run())


def test_numbers_whose_python_hashes_are_the_same_are_not() -> None:
    assert hash(-1.0) == hash(-2.0)
    assert fingerprint_of(record(features=(-1.0,))) != fingerprint_of(record(features=(-2.0,)))
    assert fingerprint_of(record(features=(0.5,))) != fingerprint_of(record(features=(2.0**60,)))


def test_records_of_answers_are_remembered_and_others_are_not() -> None:
    recent = RecentDecisions(10)
    recent.remember_record(record())
    recent.remember_record(record("d2", slot="shadow"))
    recent.remember_record(record("d3", error="ScoringError", score=None, margin=None, decision=None))
    assert recent.answer(KEY, fingerprint_of(record())) == answer_of(record())
    assert len(recent) == 1


def test_the_answer_of_a_record_holds_its_reasons() -> None:
    reasons = (Reason(code="amount", text="The amount is unusual.", contribution=0.5),)
    answer = msgspec.json.decode(answer_of(record(reasons=reasons)), type=ScoreResponse)
    assert answer.reasons == reasons
