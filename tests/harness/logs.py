"""Decision logs for tests: lines of the current and of the first version."""

import asyncio
import datetime as dt
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import msgspec

from serving.contract.documents import DecisionRecord, Reason, RejectionRecord
from serving.log.segments import line_of, read_records, segment_name
from serving.log.writer import DecisionLog
from tests.harness.records import record

MOMENT = dt.datetime(2026, 1, 31, 12, tzinfo=dt.UTC)
DAY = MOMENT.date()
NEXT_DAY = DAY + dt.timedelta(days=1)


def line(decision_id: str, **changes: Any) -> bytes:
    return line_of(record(decision_id, **changes))


def first_version_line(decision_id: str) -> bytes:
    """A line of version 1: no checksum, none of the members added in version 2."""
    values = msgspec.to_builtins(record(decision_id, schema_version=1))
    for name in ("reasons", "trace_id"):
        del values[name]
    return msgspec.json.encode(values) + b"\n"


def rejection(**changes: Any) -> RejectionRecord:
    values: dict[str, Any] = {"schema_version": 1, "rejected_at": MOMENT, "kind": "Overloaded", "status": 429}
    return RejectionRecord(**(values | changes))


def make_log(tmp_path: Path) -> Path:
    """Two workers' segments: answers of both slots, a shadow's, a repeat, a failed attempt, a rejection."""
    for worker in (0, 1):
        (tmp_path / "log" / f"worker-{worker}").mkdir(parents=True)
    (tmp_path / "log" / "worker-0" / segment_name(1)).write_bytes(
        line("d1", transaction_id="1", reasons=(Reason(code="a", text="b", contribution=1.0),), trace_id="0" * 32)
        + line("d1", transaction_id="1", slot="shadow", score=0.9)
        + line_of(rejection(decision_id="d9", kind="InvalidRequest", status=422))
        + line("d3", transaction_id="3", error="ScoringError", margin=None, score=None, decision=None)
    )
    (tmp_path / "log" / "worker-1" / segment_name(1)).write_bytes(
        line("d2", transaction_id="2", slot="canary")
        + line("d1", transaction_id="1", slot="canary")
        + line("d3", transaction_id="3")
    )
    return tmp_path / "log"


def ids(directory: Path) -> list[str | None]:
    return [logged.record.decision_id for logged in read_records(directory)]


def opened(directory: Path, **settings: Any) -> DecisionLog:
    """An open log; by default it waits for a slow disk for as long as a test may take."""
    log = DecisionLog(directory, **{"stall_seconds": 300, **settings})
    log.open()
    return log


def write(directory: Path, decision_ids: Sequence[str], **settings: Any) -> None:
    """Write a sealed log of these decisions."""
    log = opened(directory, **settings)
    for decision_id in decision_ids:
        log.record([record(decision_id)])
    log.close()


def record_all(log: DecisionLog, records: Sequence[DecisionRecord]) -> list[BaseException | None]:
    """Outcomes of records that are written in one turn of an event loop."""

    async def one(decision: DecisionRecord) -> None:
        future = log.record([decision])
        if future is not None:
            await future

    async def scenario() -> list[BaseException | None]:
        return await asyncio.gather(*map(one, records), return_exceptions=True)

    return asyncio.run(scenario())


def eventually(condition: Callable[[], bool], seconds: float = 60) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "it did not happen in time"
        time.sleep(0.01)
