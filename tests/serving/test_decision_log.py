import asyncio
import errno
import os
import time
from collections.abc import Callable
from pathlib import Path

import msgspec
import pytest

from serving.contract import ContractError, DecisionRecord
from serving.decision_log import DecisionLog, Segment
from serving.errors import LogUnavailableError
from serving.segments import (
    find_records,
    mend_tail,
    read_records,
    recent_records,
    segment_name,
    segment_paths,
)
from tests.serving.test_recent import record


def line(decision_id: str) -> bytes:
    return msgspec.json.encode(record(decision_id)) + b"\n"


def ids(directory: Path) -> list[str]:
    return [logged.record.decision_id for logged in read_records(directory)]


def append_all(log: DecisionLog, records: list[DecisionRecord]) -> list[BaseException | None]:
    async def scenario() -> list[BaseException | None]:
        return await asyncio.gather(*(log.append(each) for each in records), return_exceptions=True)

    return asyncio.run(scenario())


def test_an_append_returns_when_the_record_can_be_read(tmp_path: Path) -> None:
    log = DecisionLog(tmp_path / "log")
    log.open()
    assert append_all(log, [record(f"d{index}") for index in range(50)]) == [None] * 50
    assert ids(tmp_path / "log") == [f"d{index}" for index in range(50)]
    log.close()


def test_files_are_the_owners_alone(tmp_path: Path) -> None:
    log = DecisionLog(tmp_path / "log")
    log.open()
    append_all(log, [record()])
    log.close()
    assert (tmp_path / "log").stat().st_mode & 0o777 == 0o700
    assert segment_paths(tmp_path / "log")[0].stat().st_mode & 0o777 == 0o600


def test_appends_at_the_same_time_share_a_sync(tmp_path: Path) -> None:
    syncs: list[int] = []

    class Counting(Segment):
        def append(self, content: bytes) -> None:
            syncs.append(content.count(b"\n"))
            time.sleep(0.02)
            super().append(content)

    log = DecisionLog(tmp_path, open_segment=Counting)
    log.open()
    append_all(log, [record(f"d{index}") for index in range(200)])
    log.close()
    assert sum(syncs) == 200
    assert len(syncs) <= 4


def test_a_second_server_cannot_write_to_the_same_folder(tmp_path: Path) -> None:
    log = DecisionLog(tmp_path)
    log.open()
    with pytest.raises(ContractError, match="another server writes to it"):
        DecisionLog(tmp_path).open()
    log.close()


def test_a_large_segment_is_sealed_and_the_next_one_opened(tmp_path: Path) -> None:
    log = DecisionLog(tmp_path, segment_bytes=2000)
    log.open()
    for index in range(10):
        append_all(log, [record(f"d{index}")])
    log.close()
    assert len(segment_paths(tmp_path)) >= 3
    assert ids(tmp_path) == [f"d{index}" for index in range(10)]


def test_an_old_segment_is_sealed_without_another_request(tmp_path: Path) -> None:
    log = DecisionLog(tmp_path, segment_seconds=0.05)
    log.open()
    append_all(log, [record("d1")])
    deadline = time.monotonic() + 5
    while len(segment_paths(tmp_path)) < 2 and time.monotonic() < deadline:
        time.sleep(0.02)
    log.close()
    assert [path.name for path in segment_paths(tmp_path)] == [segment_name(1), segment_name(2)]


def test_a_restart_begins_a_new_segment(tmp_path: Path) -> None:
    for decision_id in ("d1", "d2"):
        log = DecisionLog(tmp_path)
        log.open()
        append_all(log, [record(decision_id)])
        log.close()
    assert [path.name for path in segment_paths(tmp_path)] == [segment_name(1), segment_name(2)]
    assert ids(tmp_path) == ["d1", "d2"]


@pytest.mark.parametrize("torn", [line("d3")[:-1], line("d3")[:40], b"\x00" * 300, b"\x00\x00\n" + line("d3")[:9]])
def test_a_torn_tail_is_cut_and_kept_beside(tmp_path: Path, torn: bytes) -> None:
    path = tmp_path / segment_name(1)
    path.write_bytes(line("d1") + line("d2") + torn)
    log = DecisionLog(tmp_path)
    assert log.open() == len(torn)
    append_all(log, [record("d4")])
    log.close()
    assert path.read_bytes() == line("d1") + line("d2")
    assert path.with_suffix(".torn").read_bytes() == torn
    assert ids(tmp_path) == ["d1", "d2", "d4"]


def test_a_whole_log_is_not_cut(tmp_path: Path) -> None:
    (tmp_path / segment_name(1)).write_bytes(line("d1"))
    assert mend_tail(tmp_path) == 0
    assert mend_tail(tmp_path / "nowhere") == 0


def test_a_line_damaged_between_others_is_an_error_and_not_cut(tmp_path: Path) -> None:
    path = tmp_path / segment_name(1)
    path.write_bytes(line("d1") + b"{}\n" + line("d2"))
    assert mend_tail(tmp_path) == 0
    with pytest.raises(ContractError, match=f"at {path}, byte {len(line('d1'))}"):
        ids(tmp_path)


def test_reading_goes_on_where_it_ended_and_leaves_an_unfinished_line(tmp_path: Path) -> None:
    path = tmp_path / segment_name(1)
    path.write_bytes(line("d1") + line("d2")[:30])
    first = list(read_records(tmp_path))
    assert [logged.record.decision_id for logged in first] == ["d1"]
    path.write_bytes(line("d1") + line("d2"))
    (tmp_path / segment_name(2)).write_bytes(line("d3"))
    offsets = {first[-1].segment: first[-1].end}
    assert [logged.record.decision_id for logged in read_records(tmp_path, offsets)] == ["d2", "d3"]


def test_a_decision_is_found_in_any_segment(tmp_path: Path) -> None:
    (tmp_path / segment_name(1)).write_bytes(line("d1") + line("d2"))
    (tmp_path / segment_name(2)).write_bytes(line("d3") + line("d2"))
    assert [(logged.segment, logged.offset) for logged in find_records(tmp_path, "d2")] == [
        (segment_name(1), len(line("d1"))),
        (segment_name(2), len(line("d3"))),
    ]
    assert find_records(tmp_path, "d") == []


def test_the_last_records_are_read_across_segments(tmp_path: Path) -> None:
    (tmp_path / segment_name(1)).write_bytes(line("d1") + line("d2"))
    (tmp_path / segment_name(2)).write_bytes(line("d3"))
    assert [each.decision_id for each in recent_records(tmp_path, 2)] == ["d2", "d3"]
    assert recent_records(tmp_path, 0) == []


class Disk:
    """A disk that can be full, or broken, or stuck."""

    def __init__(self) -> None:
        self.complaint: int | None = None
        self.written = -1
        self.delay_seconds = 0.0

    def open(self) -> Callable[[Path], Segment]:
        disk = self

        class Segmented(Segment):
            def append(self, content: bytes) -> None:
                time.sleep(disk.delay_seconds)
                if disk.complaint is not None:
                    os.write(self._descriptor, content[: disk.written])
                    raise OSError(disk.complaint, os.strerror(disk.complaint))
                super().append(content)

        return Segmented


@pytest.mark.parametrize(("complaint", "written"), [(errno.ENOSPC, 40), (errno.EIO, 10_000), (errno.EDQUOT, 0)])
def test_a_failed_write_is_refused_and_leaves_no_trace(tmp_path: Path, complaint: int, written: int) -> None:
    disk = Disk()
    log = DecisionLog(tmp_path, open_segment=disk.open())
    log.open()
    append_all(log, [record("d1")])
    disk.complaint, disk.written = complaint, written
    refusals = append_all(log, [record("d2"), record("d3")])
    assert [type(refusal) for refusal in refusals] == [LogUnavailableError] * 2
    assert log.failure == os.strerror(complaint)
    assert ids(tmp_path) == ["d1"]
    log.close()


def test_the_log_recovers_by_itself_once_the_disk_does(tmp_path: Path) -> None:
    disk = Disk()
    log = DecisionLog(tmp_path, open_segment=disk.open())
    log.open()
    disk.complaint = errno.ENOSPC
    append_all(log, [record("d1")])
    assert log.failure is not None
    disk.complaint = None
    deadline = time.monotonic() + 5
    while log.failure is not None and time.monotonic() < deadline:
        time.sleep(0.05)
    assert append_all(log, [record("d2")]) == [None]
    log.close()
    assert ids(tmp_path) == ["d2"]


def test_a_stuck_disk_refuses_in_time(tmp_path: Path) -> None:
    disk = Disk()
    disk.delay_seconds = 1.2
    log = DecisionLog(tmp_path, open_segment=disk.open(), stall_seconds=0.2)
    log.open()
    began = time.monotonic()
    refusals = append_all(log, [record("d1")])
    assert [type(refusal) for refusal in refusals] == [LogUnavailableError]
    assert time.monotonic() - began < 1.0
    log.close()


def test_more_waiting_than_allowed_is_refused_at_once(tmp_path: Path) -> None:
    disk = Disk()
    disk.delay_seconds = 0.2
    log = DecisionLog(tmp_path, open_segment=disk.open(), max_pending=5)
    log.open()
    outcomes = append_all(log, [record(f"d{index}") for index in range(8)])
    log.close()
    assert [outcome is None for outcome in outcomes] == [True] * 5 + [False] * 3


def test_closing_writes_what_waits(tmp_path: Path) -> None:
    disk = Disk()
    disk.delay_seconds = 0.1
    log = DecisionLog(tmp_path, open_segment=disk.open())
    log.open()

    async def scenario() -> list[BaseException | None]:
        appends = asyncio.gather(*(log.append(record(f"d{index}")) for index in range(5)), return_exceptions=True)
        await asyncio.sleep(0)
        await asyncio.to_thread(log.close)
        return await appends

    assert asyncio.run(scenario()) == [None] * 5
    assert ids(tmp_path) == [f"d{index}" for index in range(5)]


def test_a_closed_log_refuses(tmp_path: Path) -> None:
    log = DecisionLog(tmp_path)
    assert log.failure == "the log is not open"
    assert [type(each) for each in append_all(log, [record()])] == [LogUnavailableError]
