"""The batcher with the server's real parts."""

import asyncio
import json
import time
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import pytest

from serving.errors import LogUnavailableError
from serving.http.answers import Answer
from serving.http.fast_path.turns import MOST_PER_TURN
from serving.log.segments import LogRecord
from serving.process.app import ServingApp, create_app
from tests.harness.api import settings_of
from tests.harness.small_models import MODEL, SmallStore, golden_rows, score_request

Events = list[str]


class Sent:
    """One submitted `WholeRequest` and the reply to it."""

    def __init__(self, body: bytes, events: Events, *, disconnected: bool = False) -> None:
        self.model = MODEL
        self.headers: Mapping[bytes, bytes] = {}
        self.arrival = time.perf_counter(), 0
        self.body = body
        self.disconnected = disconnected
        self.answer = Answer(0, b"")
        self.is_returned = False
        self._events = events

    def reply(self, answer: Answer | None) -> None:
        assert not self.is_returned
        assert self.answer.status == 0
        if answer is None:
            self.is_returned = True
        else:
            self._events.append("answered")
            self.answer = answer

    @property
    def status(self) -> int:
        return self.answer.status

    @property
    def document(self) -> Any:
        return json.loads(self.answer.content)


@pytest.fixture
def app(store: SmallStore) -> Iterator[ServingApp]:
    store.publish(1)
    app = create_app(settings_of(store))
    app.parts.start()
    yield app
    app.parts.log.close()
    app.parts.shadows.close()


def decide(app: ServingApp, bodies: Sequence[Any], *, disconnected: bool = False) -> tuple[list[Sent], Events]:
    """Submit all bodies in one turn; returns the requests, and the log's writes and the answers in order."""
    events: Events = []
    record = app.parts.log.record

    def observed_record(records: Sequence[LogRecord]) -> Any:
        pending = record(records)
        events.append(f"recorded {len(records)}")
        return pending

    async def run() -> list[Sent]:
        sent = [Sent(json.dumps(body).encode(), events, disconnected=disconnected) for body in bodies]
        assert app.batcher is not None
        for each in sent:
            app.batcher.submit(each)
        for _ in range(2 + len(sent) // MOST_PER_TURN):
            await asyncio.sleep(0)
        app.parts.rejections.close()
        return sent

    app.parts.log.record = observed_record  # type: ignore[method-assign]
    return asyncio.run(run()), events


def test_a_turn_is_recorded_in_one_write_before_any_of_it_is_answered(app: ServingApp, store: SmallStore) -> None:
    rows = golden_rows(1)
    bodies = [score_request(f"d{number}", features=row.features) for number, row in enumerate(rows)]
    requests, events = decide(app, bodies)
    assert events == ["recorded 8", *["answered"] * 8]
    assert [each.document["margin"] for each in requests] == [row.margin for row in rows]
    assert [record.decision_id for record in store.decisions()] == [f"d{number}" for number in range(8)]
    assert app.parts.metrics.in_flight == 0


def test_more_than_a_turn_takes_waits_for_the_next_one(app: ServingApp) -> None:
    requests, events = decide(app, [score_request(f"d{number}") for number in range(MOST_PER_TURN + 3)])
    assert [event for event in events if event != "answered"] == [f"recorded {MOST_PER_TURN}", "recorded 3"]
    assert {each.status for each in requests} == {200}


def test_an_id_that_comes_twice_in_a_turn_is_decided_once(app: ServingApp, store: SmallStore) -> None:
    (first, second), _ = decide(app, [score_request("d1"), score_request("d1")])
    assert first.status == 200
    assert second.is_returned
    assert len(store.decisions()) == 1


def test_an_earlier_answer_is_given_again(app: ServingApp, store: SmallStore) -> None:
    (first,), _ = decide(app, [score_request("d1")])
    (again,), events = decide(app, [score_request("d1")])
    assert again.answer == first.answer
    assert events == ["answered"]
    assert len(store.decisions()) == 1


def test_a_bad_request_leaves_the_others_of_its_turn(app: ServingApp, store: SmallStore) -> None:
    bodies = [score_request("d1"), score_request("d2", features={}), score_request("d3")]
    requests, _ = decide(app, bodies)
    assert [each.status for each in requests] == [200, 422, 200]
    assert requests[1].document["error"]["path"] == "$.features"
    assert [record.decision_id for record in store.decisions()] == ["d1", "d3"]
    assert [rejection.kind for rejection in store.rejections()] == ["InvalidRequest"]


def test_a_log_that_cannot_be_written_refuses_the_whole_turn(
    app: ServingApp, store: SmallStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fails(_attempts: Any) -> None:
        raise LogUnavailableError("Expected a log that can be written")

    monkeypatch.setattr(app.parts.scoring, "record", fails)
    requests, _ = decide(app, [score_request("d1"), score_request("d2")])
    assert [each.status for each in requests] == [503, 503]
    assert requests[0].answer.headers == {"retry-after": "1"}
    monkeypatch.undo()
    (again,), _ = decide(app, [score_request("d1")])
    assert again.status == 200
    assert [record.decision_id for record in store.decisions()] == ["d1"]


@pytest.mark.parametrize("step", ["attempt", "record", "finish"])
def test_an_unexpected_error_is_answered_with_500(app: ServingApp, monkeypatch: pytest.MonkeyPatch, step: str) -> None:
    def breaks(*_: Any) -> None:
        raise RuntimeError("unexpected")

    monkeypatch.setattr(app.parts.scoring, step, breaks)
    (sent,), _ = decide(app, [score_request("d1")])
    assert (sent.status, sent.document["error"]["kind"]) == (500, "Internal")


def test_a_request_with_a_long_explanation_is_returned(app: ServingApp, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(app.parts.scoring, "_needs_reasons", lambda _item, _scored: True)
    app.parts.slots.serving(MODEL).champion.model.explain_seconds = 1.0
    (sent,), events = decide(app, [score_request("d1")])
    assert sent.is_returned
    assert events == []


def test_nothing_is_decided_for_a_caller_that_has_disconnected(app: ServingApp, store: SmallStore) -> None:
    (sent,), _ = decide(app, [score_request("d1")], disconnected=True)
    assert (sent.status, sent.is_returned, store.decisions()) == (408, False, [])
    assert [rejection.kind for rejection in store.rejections()] == ["BodyTimeout"]


def test_a_body_that_is_too_long_is_refused(app: ServingApp) -> None:
    (sent,), _ = decide(app, [score_request("d1", padding="x" * 70_000)])
    assert sent.status == 413


def test_decisions_that_wait_for_the_disk_are_not_batched(store: SmallStore) -> None:
    assert create_app(settings_of(store, log_durability="fsync")).batcher is None
