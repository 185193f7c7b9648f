import asyncio
import datetime as dt
from typing import Any

import pytest

from serving.contract.documents import RejectionRecord
from serving.decisions.rejections import MOST_GROUPS, OWN_LINES, Rejections
from serving.errors import (
    DecisionConflictError,
    InvalidRequestError,
    LogUnavailableError,
    OverloadedError,
    RequestError,
    UnauthorizedError,
)


class FakeLog:
    """Keeps what is recorded; while `is_failing` it refuses."""

    def __init__(self) -> None:
        self.records: list[RejectionRecord] = []
        self.is_failing = False

    def record(self, records: Any) -> None:
        if self.is_failing:
            raise LogUnavailableError("Expected a log that can be written")
        self.records += records


def written(log: FakeLog, *errors: tuple[RequestError, int], failing_first: bool = False) -> list[RejectionRecord]:
    async def run() -> None:
        rejections = Rejections(log)  # type: ignore[arg-type]
        log.is_failing = failing_first
        for error, status in errors:
            rejections.add(error, status, "m", None)
        log.is_failing = False
        rejections.close()

    asyncio.run(run())
    return log.records


def test_a_request_that_was_read_has_a_line_of_its_own() -> None:
    conflict = DecisionConflictError("Expected a new decision_id", "$.decision_id", decision_id="d1")
    lines = written(FakeLog(), (InvalidRequestError("Expected a float", "$.features.amount"), 422), (conflict, 409))
    assert [(each.kind, each.status, each.path, each.decision_id, each.count) for each in lines] == [
        ("InvalidRequest", 422, "$.features.amount", None, 1),
        ("DecisionConflict", 409, "$.decision_id", "d1", 1),
    ]


def test_requests_that_were_turned_away_unread_share_a_line() -> None:
    overloaded, unknown = OverloadedError("Expected fewer"), UnauthorizedError("Expected a key")
    lines = written(FakeLog(), (overloaded, 429), (unknown, 401), (overloaded, 429), (overloaded, 429))
    counts = {(each.kind, each.status): each.count for each in lines}
    assert counts == {("Overloaded", 429): 3, ("Unauthorized", 401): 1}


@pytest.mark.parametrize("kind", [InvalidRequestError, LogUnavailableError])
def test_what_cannot_be_written_now_is_written_later(kind: type[RequestError]) -> None:
    lines = written(FakeLog(), (kind("Expected"), 422), (kind("Expected"), 422), failing_first=True)
    assert [(each.kind, each.count) for each in lines] == [(kind.__name__.removesuffix("Error"), 2)]


def test_gathered_lines_are_written_after_a_while(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("serving.decisions.rejections.GATHER_SECONDS", 0.01)
    log = FakeLog()

    async def run() -> None:
        rejections = Rejections(log)  # type: ignore[arg-type]
        rejections.add(OverloadedError("Expected fewer"), 429, None, None)
        assert log.records == []
        await asyncio.sleep(0.1)
        assert [each.count for each in log.records] == [1]
        rejections.close()

    asyncio.run(run())


def test_a_flood_of_invalid_requests_shares_lines_by_feature_and_fault() -> None:
    def invalid(row: int, feature: str) -> tuple[RequestError, int]:
        path = f"$.requests[{row}].features.{feature}"
        return InvalidRequestError("Expected a value", path, feature=feature, fault="null"), 422

    flood = [invalid(row, feature) for row in range(500) for feature in ("amount", "kind")]
    lines = written(FakeLog(), *flood)
    assert len(lines) <= OWN_LINES + 2
    assert sum(each.count for each in lines) == 1000
    assert {(each.feature, each.fault) for each in lines} == {("amount", "null"), ("kind", "null")}


def test_a_flood_of_different_faults_is_bounded_and_none_is_lost() -> None:
    flood: list[tuple[RequestError, int]] = []
    for day in range(1, 29):
        for feature in range(100):
            error = InvalidRequestError(
                "Expected a value", f"$.features.f{feature}", feature=f"f{feature}", fault="null"
            )
            error.occurred_on, error.requests = dt.date(2026, 1, day), 3
            flood.append((error, 422))
    lines = written(FakeLog(), *flood)
    assert len(lines) <= OWN_LINES + MOST_GROUPS + 1
    assert sum(each.count for each in lines) == 3 * len(flood)
