"""Decision logs for tests: lines of the current and of the first version."""

import asyncio
import datetime as dt
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import msgspec

from serving.contract.documents import DecisionRecord, RejectionRecord
from serving.log.segments import line_of, read_records
from serving.log.writer import DecisionLog
from tests.harness.records import record

MOMENT = dt.datetime(2026, 1, 31, 12, tzinfo=dt.UTC)


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
