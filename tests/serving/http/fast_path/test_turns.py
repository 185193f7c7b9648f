"""The fast lane with the server's real parts, and requests as uvicorn hands them over."""

import asyncio
import json
import time
from collections.abc import Callable, Iterator, Sequence
from types import SimpleNamespace
from typing import Any

import pytest

from serving.errors import LogUnavailableError
from serving.http.fast_path.turns import MOST_PER_TURN, TurnBatcher
from serving.http.fast_path.whole_requests import ParsedRequest
from serving.log.segments import LogRecord
from serving.process.app import ServingApp, create_app
from tests.harness.api import URL, settings_of
from tests.harness.small_models import MODEL, SmallStore, golden_rows, score_request

Happened = list[str]


class Cycle:
    """One request of a connection: what the lane and the answer use of uvicorn's `RequestResponseCycle`."""

    def __init__(self, body: bytes, happened: Happened) -> None:
        self.scope = {"type": "http", "method": "POST", "path": URL, "headers": []}
        self.body = bytearray(body)
        self.disconnected = self.response_started = self.response_complete = False
        self.keep_alive = True
        self.default_headers: list[tuple[bytes, bytes]] = []
        self.message_event = asyncio.Event()
        self.on_response: Callable[[], None] = lambda: None
        self.sent = b""
        self.transport = SimpleNamespace(write=self._write, close=lambda: None)
        self._happened = happened

    def _write(self, content: bytes) -> None:
        self._happened.append("answered")
        self.sent += content

    @property
    def status(self) -> int:
        return int(self.sent.split(b" ", 2)[1])

    @property
    def answer(self) -> Any:
        return json.loads(self.sent.partition(b"\r\n\r\n")[2])


class Connection:
    """Keeps what is to go the usual way."""

    def __init__(self) -> None:
        self.started: list[Cycle] = []

    def start_task(self, cycle: Any, _app: Any) -> None:
        self.started.append(cycle)


@pytest.fixture
def app(store: SmallStore) -> Iterator[ServingApp]:
    store.publish(1)
    app = create_app(settings_of(store))
    app.parts.start()
    yield app
    app.parts.log.close()
    app.parts.shadows.close()


def decide(app: ServingApp, bodies: Sequence[Any], before: Callable[[Cycle], None] = lambda _: None) -> Any:
    """Give the lane all bodies in one turn; returns the cycles, what went the usual way, and what happened in order."""
    happened: Happened = []
    connection = Connection()
    record = app.parts.log.record

    def told(records: Sequence[LogRecord]) -> Any:
        pending = record(records)
        happened.append(f"recorded {len(records)}")
        return pending

    async def run() -> list[Cycle]:
        cycles = [Cycle(json.dumps(body).encode(), happened) for body in bodies]
        assert isinstance(app.lane, TurnBatcher)
        for cycle in cycles:
            before(cycle)
            app.lane.add(ParsedRequest(MODEL, (time.perf_counter(), 0), cycle, app, connection))
        for _ in range(2 + len(cycles) // MOST_PER_TURN):
            await asyncio.sleep(0)
        app.parts.rejections.close()
        return cycles

    app.parts.log.record = told  # type: ignore[method-assign]
    return asyncio.run(run()), connection.started, happened


def test_a_turn_is_recorded_in_one_write_before_any_of_it_is_answered(app: ServingApp, store: SmallStore) -> None:
    rows = golden_rows(1)
    bodies = [score_request(f"d{number}", features=row.features) for number, row in enumerate(rows)]
    cycles, started, happened = decide(app, bodies)
    assert happened == ["recorded 8", *["answered"] * 8]
    assert started == []
    assert [cycle.answer["margin"] for cycle in cycles] == [row.margin for row in rows]
    assert [record.decision_id for record in store.decisions()] == [f"d{number}" for number in range(8)]
    assert app.parts.metrics.in_flight == 0


def test_more_than_a_turn_takes_waits_for_the_next_one(app: ServingApp) -> None:
    cycles, _, happened = decide(app, [score_request(f"d{number}") for number in range(MOST_PER_TURN + 3)])
    assert [each for each in happened if each != "answered"] == [f"recorded {MOST_PER_TURN}", "recorded 3"]
    assert {cycle.status for cycle in cycles} == {200}


def test_an_id_that_comes_twice_in_a_turn_is_decided_once(app: ServingApp, store: SmallStore) -> None:
    (first, second), started, _ = decide(app, [score_request("d1"), score_request("d1")])
    assert first.status == 200
    assert started == [second]
    assert len(store.decisions()) == 1


def test_an_earlier_answer_is_given_again(app: ServingApp, store: SmallStore) -> None:
    (first,), _, _ = decide(app, [score_request("d1")])
    (again,), _, happened = decide(app, [score_request("d1")])
    assert again.sent == first.sent
    assert happened == ["answered"]
    assert len(store.decisions()) == 1


def test_a_bad_request_leaves_the_others_of_its_turn(app: ServingApp, store: SmallStore) -> None:
    bodies = [score_request("d1"), score_request("d2", features={}), score_request("d3")]
    cycles, _, _ = decide(app, bodies)
    assert [cycle.status for cycle in cycles] == [200, 422, 200]
    assert cycles[1].answer["error"]["path"] == "$.features"
    assert [record.decision_id for record in store.decisions()] == ["d1", "d3"]
    assert [rejection.kind for rejection in store.rejections()] == ["InvalidRequest"]


def test_a_log_that_cannot_be_written_refuses_the_whole_turn(
    app: ServingApp, store: SmallStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fails(_attempts: Any) -> None:
        raise LogUnavailableError("Expected a log that can be written")

    monkeypatch.setattr(app.parts.scoring, "record", fails)
    cycles, _, _ = decide(app, [score_request("d1"), score_request("d2")])
    assert [cycle.status for cycle in cycles] == [503, 503]
    assert b"retry-after: 1\r\n" in cycles[0].sent
    monkeypatch.undo()
    (again,), _, _ = decide(app, [score_request("d1")])
    assert again.status == 200
    assert [record.decision_id for record in store.decisions()] == ["d1"]


@pytest.mark.parametrize("step", ["attempt", "record", "finish"])
def test_a_fault_of_ours_is_an_answer_too(app: ServingApp, monkeypatch: pytest.MonkeyPatch, step: str) -> None:
    def breaks(*_: Any) -> None:
        raise RuntimeError("nobody foresaw this")

    monkeypatch.setattr(app.parts.scoring, step, breaks)
    (cycle,), _, _ = decide(app, [score_request("d1")])
    assert (cycle.status, cycle.answer["error"]["kind"]) == (500, "Internal")


def test_an_explanation_that_takes_long_goes_the_usual_way(app: ServingApp, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(app.parts.scoring, "_needs_reasons", lambda _item, _scored: True)
    app.parts.slots.serving(MODEL).champion.model.explain_seconds = 1.0
    (cycle,), started, happened = decide(app, [score_request("d1")])
    assert started == [cycle]
    assert happened == []


def test_nothing_is_decided_for_a_caller_who_has_gone(app: ServingApp, store: SmallStore) -> None:
    def leave(cycle: Cycle) -> None:
        cycle.disconnected = True

    (cycle,), started, _ = decide(app, [score_request("d1")], leave)
    assert (cycle.sent, started, store.decisions()) == (b"", [], [])
    assert [rejection.kind for rejection in store.rejections()] == ["BodyTimeout"]


def test_a_body_that_is_too_long_is_refused(app: ServingApp) -> None:
    (cycle,), _, _ = decide(app, [score_request("d1", padding="x" * 70_000)])
    assert cycle.status == 413


@pytest.mark.parametrize(
    ("method", "path", "model"),
    [
        ("POST", URL, MODEL),
        ("GET", URL, None),
        ("POST", f"{URL}/batch", None),
        ("POST", "/invocations", None),
        ("POST", "/v1/models/other/score", "other"),
    ],
)
def test_which_requests_may_take_the_lane(method: str, path: str, model: str | None) -> None:
    assert TurnBatcher.model_of({"type": "http", "method": method, "path": path}) == model


def test_there_is_no_lane_where_decisions_wait_for_the_disk(store: SmallStore) -> None:
    assert create_app(settings_of(store, log_durability="fsync")).lane is None
