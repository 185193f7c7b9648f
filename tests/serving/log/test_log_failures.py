"""The log's writer when the disk is full, broken or stuck, and when the process dies."""

import asyncio
import errno
import os
import random
import resource
import signal
import subprocess
import sys
import time
from collections import Counter
from pathlib import Path
from typing import Any

import pytest

from serving.log.segments import read_records, segment_name
from serving.log.verify import verify_log
from serving.log.writer import Durability
from tests.harness.failing_disk import Disk, refused
from tests.harness.logs import eventually, ids, line, opened, record_all
from tests.harness.paths import ROOT
from tests.harness.records import record

BOTH = pytest.mark.parametrize("durability", ["written", "fsync"])


@BOTH
@pytest.mark.parametrize(("violation", "written"), [(errno.ENOSPC, 40), (errno.EIO, 10_000), (errno.EDQUOT, 0)])
def test_a_failed_write_is_refused_and_leaves_no_trace(
    tmp_path: Path, disk: Disk, durability: Durability, violation: int, written: int
) -> None:
    log = opened(tmp_path, durability=durability, open_segment=disk.open())
    assert record_all(log, [record("d1")]) == [None]
    disk.write_violation, disk.written = violation, written
    assert refused(record_all(log, [record("d2"), record("d3")])) == [True, True]
    assert ids(tmp_path) == ["d1"]
    assert (log.write_failures, log.unrecorded, log.records) == (1, 0, 1)
    disk.write_violation = None
    eventually(lambda: log.failure is None)
    assert record_all(log, [record("d4")]) == [None]
    log.close()
    assert ids(tmp_path) == ["d1", "d4"]
    assert verify_log(tmp_path).is_whole
    assert not list(tmp_path.glob("*.torn"))


def test_a_failing_log_says_why_until_the_disk_recovers(
    tmp_path: Path, disk: Disk, monkeypatch: pytest.MonkeyPatch
) -> None:
    is_full = True
    real = os.fsync

    def fsync(descriptor: int) -> None:
        if is_full:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        real(descriptor)

    monkeypatch.setattr(os, "fsync", fsync)
    monkeypatch.setattr("serving.log.writer._PROBE_SECONDS", 0.02)
    log = opened(tmp_path, open_segment=disk.open())
    disk.write_violation = errno.ENOSPC
    assert refused(record_all(log, [record("d1")])) == [True]
    disk.write_violation = None
    time.sleep(0.2)
    assert log.failure == "No space left on device"
    assert refused(record_all(log, [record("d1")])) == [True]
    is_full = False
    eventually(lambda: log.failure is None)
    log.close()


@BOTH
def test_the_other_policy_goes_on_and_counts(tmp_path: Path, disk: Disk, durability: Durability) -> None:
    log = opened(tmp_path, durability=durability, on_failure="continue", open_segment=disk.open())
    disk.write_violation = errno.ENOSPC
    assert record_all(log, [record("d1"), record("d2")]) == [None, None]
    assert log.record([record("d3"), record("d4")]) is None
    assert log.unrecorded == 4
    disk.write_violation = None
    eventually(lambda: log.failure is None)
    assert record_all(log, [record("d5")]) == [None]
    log.close()
    assert ids(tmp_path) == ["d5"]
    assert (log.unrecorded, log.records) == (4, 1)


def test_a_tail_that_cannot_be_cut_is_cut_before_the_segment_is_sealed(tmp_path: Path, disk: Disk) -> None:
    log = opened(tmp_path, open_segment=disk.open())
    log.record([record("d1")])
    disk.write_violation, disk.can_cut = errno.EIO, False
    assert refused(record_all(log, [record("d2")])) == [True]
    disk.write_violation, disk.can_cut = None, True
    eventually(lambda: log.failure is None)
    log.record([record("d3")])
    log.close()
    assert ids(tmp_path) == ["d1", "d3"]
    assert verify_log(tmp_path).is_whole


@pytest.mark.parametrize(("on_failure", "outcome"), [("refuse", True), ("continue", False)])
def test_a_failed_flush_loses_what_it_was_for_and_nothing_else(
    tmp_path: Path, disk: Disk, on_failure: Any, outcome: bool
) -> None:
    log = opened(tmp_path, durability="fsync", on_failure=on_failure, open_segment=disk.open())
    assert record_all(log, [record("d1")]) == [None]
    disk.sync_violation = errno.EIO
    assert refused(record_all(log, [record("d2"), record("d3")])) == [outcome] * 2
    assert log.write_failures == 1
    disk.sync_violation = None
    eventually(lambda: log.failure is None)
    assert record_all(log, [record("d4")]) == [None]
    log.close()
    assert ids(tmp_path) == ["d1", "d4"]
    assert log.unrecorded == (0 if outcome else 2)
    assert log.records == 2
    assert verify_log(tmp_path).is_whole


def test_a_failed_flush_that_nobody_waits_for_is_counted(tmp_path: Path, disk: Disk) -> None:
    log = opened(tmp_path, durability="fsync", on_failure="continue", open_segment=disk.open())
    disk.sync_violation = errno.EIO
    assert log.record([record("d1"), record("d2")]) is None
    eventually(lambda: log.unrecorded == 2)
    disk.sync_violation = None
    log.close()


@pytest.mark.parametrize(("on_failure", "outcome"), [("refuse", True), ("continue", False)])
def test_a_stuck_disk_is_not_waited_for(tmp_path: Path, disk: Disk, on_failure: Any, outcome: bool) -> None:
    log = opened(tmp_path, durability="fsync", on_failure=on_failure, open_segment=disk.open(), stall_seconds=1)

    async def scenario() -> None:
        disk.is_running.clear()
        early = log.record([record("d1")])
        assert early is not None
        assert refused(await asyncio.gather(early, return_exceptions=True)) == [outcome]
        assert "the disk has not answered" in str(log.failure), "also once its future has failed"
        late = await asyncio.gather(asyncio.to_thread(log.record, [record("d2")]), return_exceptions=True)
        assert refused(late) == [outcome]

    asyncio.run(scenario())
    assert log.unrecorded == (0 if outcome else 2)
    disk.is_running.set()
    eventually(lambda: log.failure is None)
    assert record_all(log, [record("d3")]) == [None]
    log.close()
    assert ids(tmp_path) == ["d1", "d3"], "the disk had it after all"


def test_more_waiting_than_allowed_is_refused_at_once(tmp_path: Path, disk: Disk) -> None:
    log = opened(tmp_path, durability="fsync", open_segment=disk.open(), max_pending=5)
    assert refused(record_all(log, [record(f"d{index}") for index in range(8)])) == [False] * 5 + [True] * 3
    log.close()
    assert len(ids(tmp_path)) == 5


def test_an_obstruction_refuses_whatever_the_policy(tmp_path: Path) -> None:
    log = opened(tmp_path, on_failure="continue")
    log.obstruct("too much of it is not shipped")
    assert log.failure == "too much of it is not shipped"
    assert refused(record_all(log, [record("d1")])) == [True]
    log.obstruct(None)
    assert record_all(log, [record("d2")]) == [None]
    log.close()
    assert log.unrecorded == 0


def test_a_disk_that_is_full_at_the_start_is_begun_with_once_it_has_room(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / segment_name(1)).write_bytes(line("d1") + b"{")
    is_full = True
    real = os.fsync

    def fsync(descriptor: int) -> None:
        if is_full:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        real(descriptor)

    monkeypatch.setattr(os, "fsync", fsync)
    monkeypatch.setattr("serving.log.writer._PROBE_SECONDS", 0.02)
    log = opened(tmp_path)
    assert log.failure == "No space left on device"
    is_full = False
    eventually(lambda: log.failure is None)
    log.record([record("d2")])
    log.close()
    assert ids(tmp_path) == ["d1", "d2"]
    assert verify_log(tmp_path).is_whole


# Real limits and real deaths.


def test_a_write_that_the_system_cuts_short_leaves_nothing_torn(tmp_path: Path) -> None:
    """In a process of its own, since the limit on file sizes is the process's."""
    code = f"""
import resource, sys
from pathlib import Path
from serving.errors import LogUnavailableError
from tests.harness.logs import opened, eventually
from tests.harness.records import record
log = opened(Path({str(tmp_path)!r}))
log.record([record("d1")])
limits = resource.getrlimit(resource.RLIMIT_FSIZE)
resource.setrlimit(resource.RLIMIT_FSIZE, (log.bytes + 100, limits[1]))
try:
    log.record([record("d2"), record("d3")])
except LogUnavailableError:
    print("refused", log.failure)
resource.setrlimit(resource.RLIMIT_FSIZE, limits)
eventually(lambda: log.failure is None)
log.record([record("d4")])
log.close()
"""
    run = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=False)
    assert (run.stdout, run.returncode) == ("refused File too large\n", 0), run.stderr
    assert ids(tmp_path) == ["d1", "d4"]
    assert verify_log(tmp_path).is_whole
    assert resource.getrlimit(resource.RLIMIT_FSIZE)[0] == resource.RLIM_INFINITY


@BOTH
def test_every_record_that_was_confirmed_survives_kill_9(tmp_path: Path, durability: Durability) -> None:
    confirmed: list[str] = []
    generator = random.Random(7)
    for turn in range(8):
        command = [sys.executable, "-m", "tests.harness.writing_process", str(tmp_path), durability, f"r{turn}"]
        with subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, text=True) as process:
            assert process.stdout is not None
            assert process.stdout.readline().startswith("cut ")
            lines = [process.stdout.readline() for _ in range(generator.randrange(1, 150))]
            process.send_signal(signal.SIGKILL)
            lines += process.stdout.read().splitlines(keepends=True)
        confirmed += [each.strip() for each in lines if each.endswith("\n")]
    opened(tmp_path).close()
    report = verify_log(tmp_path)
    assert report.is_whole
    assert report.sealed == report.segments
    found = Counter(logged.record.decision_id for logged in read_records(tmp_path))
    assert set(confirmed) <= set(found)
    assert set(found.values()) == {1}
    assert len(confirmed) > 100
