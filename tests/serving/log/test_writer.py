"""The log's writer while all is well: durability, segments and seals."""

import asyncio
import errno
import threading
from pathlib import Path
from typing import Any

import pytest

from serving.contract.documents import ContractError, digest
from serving.log.open_segment import Segment
from serving.log.seals import read_seal
from serving.log.segments import seal_path, segment_name, segment_paths
from serving.log.verify import verify_log
from serving.log.writer import DecisionLog, Durability
from tests.harness.failing_disk import Disk, refused
from tests.harness.logs import MOMENT, eventually, first_version_line, ids, line, opened, record_all, rejection, write
from tests.harness.records import record

BOTH = pytest.mark.parametrize("durability", ["written", "fsync"])


def test_a_written_record_can_be_read_when_the_call_returns(tmp_path: Path) -> None:
    log = opened(tmp_path / "log")
    for index in range(50):
        assert log.record([record(f"d{index}")]) is None
        assert ids(tmp_path / "log")[-1] == f"d{index}"
    assert (log.writes, log.records, log.bytes) == (50, 50, segment_paths(tmp_path / "log")[0].stat().st_size)
    log.close()


@BOTH
def test_records_of_one_call_stand_together(tmp_path: Path, durability: Durability) -> None:
    log = opened(tmp_path, durability=durability)

    async def scenario() -> None:
        future = log.record([record("d1"), rejection(decision_id="d2"), record("d3")])
        assert (future is None) == (durability == "written")
        if future is not None:
            await future
        assert log.record([]) is None

    asyncio.run(scenario())
    assert ids(tmp_path) == ["d1", "d2", "d3"]
    assert (log.writes, log.records) == (1, 3)
    log.close()


def test_a_flushed_record_is_on_the_disk_when_its_future_is_resolved(tmp_path: Path, disk: Disk) -> None:
    log = opened(tmp_path, durability="fsync", open_segment=disk.open())

    async def scenario() -> None:
        disk.is_running.clear()
        future = log.record([record("d1")])
        assert future is not None
        await asyncio.sleep(0.1)
        assert ids(tmp_path) == ["d1"], "it survives the process at once"
        assert not future.done(), "and the machine once the disk has it"
        assert log.lag_seconds > 0.05
        disk.is_running.set()
        await future
        assert log.lag_seconds == 0.0

    asyncio.run(scenario())
    log.close()


def test_records_of_the_same_time_share_a_flush(tmp_path: Path, disk: Disk) -> None:
    log = opened(tmp_path, durability="fsync", open_segment=disk.open())

    async def scenario() -> None:
        disk.is_running.clear()
        futures = [log.record([record("d0")])]
        while not disk.syncs:
            await asyncio.sleep(0.001)
        futures += [log.record([record(f"d{index}")]) for index in range(1, 200)]
        disk.is_running.set()
        assert await asyncio.gather(*filter(None, futures)) == [None] * 200

    asyncio.run(scenario())
    assert disk.syncs == 2, "one for the first, one for all that came meanwhile"
    assert (log.writes, log.records) == (200, 200)
    log.close()


def test_a_thread_without_an_event_loop_does_not_wait(tmp_path: Path) -> None:
    log = opened(tmp_path, durability="fsync")
    threads = [
        threading.Thread(target=lambda turn=turn: [log.record([record(f"t{turn}-{each}")]) for each in range(50)])
        for turn in range(4)
    ]
    for thread in threads:
        thread.start()
    assert record_all(log, [record(f"d{index}") for index in range(50)]) == [None] * 50
    for thread in threads:
        thread.join()
    log.close()
    assert len(ids(tmp_path)) == len(set(ids(tmp_path))) == 250
    assert log.records == 250


def test_files_are_the_owners_alone(tmp_path: Path) -> None:
    write(tmp_path / "log", ["d1"])
    assert (tmp_path / "log").stat().st_mode & 0o777 == 0o700
    assert {path.stat().st_mode & 0o777 for path in (tmp_path / "log").iterdir()} == {0o600}


def test_a_second_server_cannot_write_to_the_same_folder(tmp_path: Path) -> None:
    log = opened(tmp_path)
    with pytest.raises(ContractError, match="another server writes to"):
        DecisionLog(tmp_path).open()
    log.close()
    opened(tmp_path).close()


def test_a_folder_that_cannot_be_made_is_said(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(ContractError, match=r"Expected a writable folder, got .* - at "):
        DecisionLog(tmp_path / "file" / "log").open()


@BOTH
def test_a_closed_log_refuses(tmp_path: Path, durability: Durability) -> None:
    log = DecisionLog(tmp_path, durability=durability)
    for _ in range(2):
        assert log.failure == "the log is not open"
        assert refused(record_all(log, [record()])) == [True]
        log = opened(tmp_path, durability=durability)
        log.close()


def test_closing_flushes_what_waits(tmp_path: Path, disk: Disk) -> None:
    log = opened(tmp_path, durability="fsync", open_segment=disk.open())

    async def scenario() -> None:
        disk.is_running.clear()
        futures = [log.record([record(f"d{index}")]) for index in range(5)]
        await asyncio.sleep(0.05)
        closing = asyncio.create_task(asyncio.to_thread(log.close))
        await asyncio.sleep(0.05)
        disk.is_running.set()
        await closing
        assert await asyncio.gather(*filter(None, futures)) == [None] * 5

    asyncio.run(scenario())
    assert verify_log(tmp_path).sealed == 1


# Segments and seals.


def test_a_large_segment_is_sealed_and_the_next_one_opened(tmp_path: Path) -> None:
    write(tmp_path, [f"d{index}" for index in range(10)], segment_bytes=2000)
    assert len(segment_paths(tmp_path)) >= 3
    assert ids(tmp_path) == [f"d{index}" for index in range(10)]
    report = verify_log(tmp_path)
    assert report.is_whole
    assert report.sealed == report.segments


def test_an_old_segment_is_sealed_without_another_request(tmp_path: Path) -> None:
    log = opened(tmp_path, segment_seconds=0.05)
    log.record([record("d1")])
    eventually(seal_path(tmp_path / segment_name(1)).exists)
    log.record([record("d2")])
    log.close()
    assert [path.name for path in segment_paths(tmp_path)] == [segment_name(1), segment_name(2)]


def test_a_server_that_decides_nothing_leaves_no_segment(tmp_path: Path) -> None:
    opened(tmp_path).close()
    assert segment_paths(tmp_path) == []


@BOTH
def test_a_seal_says_what_its_segment_holds(tmp_path: Path, durability: Durability) -> None:
    moments = [MOMENT.replace(minute=minute) for minute in range(3)]
    log = opened(tmp_path, durability=durability)
    record_all(log, [record("d1", decided_at=moments[0]), record("d2", decided_at=moments[1])])
    log.record([rejection(rejected_at=moments[2])])
    log.close()
    write(tmp_path, ["d3"])
    first, second = (read_seal(seal_path(path)) for path in segment_paths(tmp_path))
    content = segment_paths(tmp_path)[0].read_bytes()
    assert (first.segment, first.bytes, first.records) == (segment_name(1), len(content), 3)
    assert (first.sha256, first.predecessor) == (digest(content), None)
    assert (first.first_decided_at, first.last_decided_at) == (moments[0], moments[2])
    assert second.predecessor == digest(seal_path(segment_paths(tmp_path)[0]).read_bytes())


def test_a_restart_begins_a_new_segment(tmp_path: Path) -> None:
    for decision_id in ("d1", "d2"):
        write(tmp_path, [decision_id])
    assert [path.name for path in segment_paths(tmp_path)] == [segment_name(1), segment_name(2)]


def test_a_crash_between_the_end_of_a_segment_and_its_seal_is_repaired(tmp_path: Path) -> None:
    write(tmp_path, ["d1"])
    for number in (2, 3):
        (tmp_path / segment_name(number)).write_bytes(line(f"d{number}") + line("torn")[: number * 10])
    (tmp_path / f".{seal_path(tmp_path / segment_name(2)).name}.tmp").write_bytes(b"{")
    log = DecisionLog(tmp_path)
    assert log.open() == log.cut_bytes == 50
    assert ids(tmp_path) == ["d1", "d2", "d3"]
    report = verify_log(tmp_path)
    assert (report.is_whole, report.sealed) == (True, 3)
    log.record([record("d4")])
    log.close()
    assert (verify_log(tmp_path).is_whole, verify_log(tmp_path).sealed) == (True, 4)


def test_a_log_of_the_first_version_goes_on(tmp_path: Path) -> None:
    (tmp_path / segment_name(1)).write_bytes(first_version_line("d1") + first_version_line("d2")[:-1])
    log = DecisionLog(tmp_path)
    assert log.open() == len(first_version_line("d2")) - 1
    log.record([record("d3")])
    log.close()
    assert ids(tmp_path) == ["d1", "d3"]
    assert verify_log(tmp_path).is_whole


def test_a_seal_that_finds_no_room_is_written_later(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    violations = [OSError(errno.ENOSPC, "No space left on device")] * 2
    real = Segment.seal

    def fails_twice(segment: Segment, predecessor: str | None) -> Any:
        if violations:
            raise violations.pop()
        return real(segment, predecessor)

    monkeypatch.setattr(Segment, "seal", fails_twice)
    monkeypatch.setattr("serving.log.writer._PROBE_SECONDS", 0.02)
    log = opened(tmp_path, segment_bytes=1)
    log.record([record("d1")])
    eventually(lambda: verify_log(tmp_path).sealed == 1)
    log.record([record("d2")])
    log.close()
    assert log.seal_failures == 2
    assert (verify_log(tmp_path).is_whole, verify_log(tmp_path).sealed) == (True, 2)


def test_sealing_does_not_hold_up_recording(tmp_path: Path, disk: Disk) -> None:
    log = opened(tmp_path, segment_bytes=1, open_segment=disk.open())
    disk.is_running.clear()
    for index in range(20):
        log.record([record(f"d{index}")])
    assert len(ids(tmp_path)) == 20
    assert verify_log(tmp_path).sealed == 0
    disk.is_running.set()
    log.close()
    assert (verify_log(tmp_path).is_whole, verify_log(tmp_path).sealed) == (True, 20)
