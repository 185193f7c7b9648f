"""What `verify_log` finds, and what it does not mind."""

import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from serving.contract.documents import encode
from serving.log.seals import read_seal, seal_of_file, write_seal
from serving.log.segments import seal_path, segment_name, segment_paths
from serving.log.shipping.cursor import Cursor, write_cursor
from serving.log.verify import main, verify_log
from tests.harness.logs import first_version_line, line, opened, write
from tests.harness.paths import ROOT
from tests.harness.records import record


@pytest.fixture
def log(tmp_path: Path) -> Path:
    """Four sealed segments of two records each."""
    for first in range(0, 8, 2):
        write(tmp_path / "log", [f"d{first}", f"d{first + 1}"])
    return tmp_path / "log"


def segment(log: Path, number: int) -> Path:
    return log / segment_name(number)


def problems(log: Path) -> list[str]:
    return [f"{damage.segment}: {damage.problem}" for damage in verify_log(log).damages]


def test_a_whole_log_says_what_it_holds(log: Path) -> None:
    write(log / "worker-1", ["w1"])
    report = verify_log(log)
    assert report.is_whole
    assert (report.segments, report.sealed, report.records) == (5, 5, 9)
    assert report.bytes == sum(path.stat().st_size for path in log.rglob("*.jsonl"))
    assert set(report.last_seals) == {".", "worker-1"}


def test_a_log_that_is_being_written_is_whole(tmp_path: Path) -> None:
    writing = opened(tmp_path)
    writing.record([record("d1")])
    with segment_paths(tmp_path)[0].open("ab") as unfinished:
        unfinished.write(line("d2")[:50])
    report = verify_log(tmp_path)
    writing.close()
    assert report.is_whole
    assert (report.sealed, report.records, report.unfinished_bytes) == (0, 1, 50)


def test_a_log_from_before_there_were_seals_is_whole_and_is_sealed_by_the_next_start(tmp_path: Path) -> None:
    for number in (1, 2):
        segment(tmp_path, number).write_bytes(first_version_line(f"d{number}"))
    report = verify_log(tmp_path)
    assert (report.is_whole, report.sealed, report.without_checksum) == (True, 0, 2)
    opened(tmp_path).close()
    report = verify_log(tmp_path)
    assert (report.is_whole, report.sealed, report.without_checksum) == (True, 2, 2)


def confirm(log: Path, through: int) -> None:
    """The cursor of a destination that has the segments up to a number, with their seals."""
    write_cursor(log, Cursor(schema_version=1, destination="x", finished_through=through, offsets={}))


@pytest.mark.parametrize("with_seal", [False, True], ids=["seal left", "seal removed"])
@pytest.mark.parametrize("shipped_through", [0, 2, 4])
@pytest.mark.parametrize("removed", [[1], [1, 2], [2], [3], [4], [3, 4], [1, 2, 3, 4]])
def test_a_segment_may_be_gone_only_if_its_seal_is_there_and_a_cursor_confirms_that_it_was_shipped(
    log: Path, removed: list[int], shipped_through: int, with_seal: bool
) -> None:
    if shipped_through:
        confirm(log, shipped_through)
    for number in removed:
        segment(log, number).unlink()
        if with_seal:
            seal_path(segment(log, number)).unlink()
    report = verify_log(log)
    assert report.is_whole == (not with_seal and max(removed) <= shipped_through), report.damages
    if report.is_whole:
        assert report.retired == len(removed)


def test_an_open_segment_that_was_shipped_further_than_it_is_long_is_damaged(log: Path) -> None:
    segment(log, 5).write_bytes(line("d9"))
    shipped = len(line("d9"))
    write_cursor(log, Cursor(schema_version=1, destination="x", finished_through=4, offsets={segment_name(5): shipped}))
    assert verify_log(log).is_whole
    segment(log, 5).write_bytes(b"")
    assert problems(log) == [f"{segment_name(5)}: Expected at least the {shipped} bytes that were shipped, got 0"]
    segment(log, 5).unlink()
    assert problems(log) == [f"{segment_name(5)}: the segment is missing; no cursor confirms that it was shipped"]


def test_a_log_that_lost_everything_but_the_number_of_its_newest_segment_is_damaged(log: Path) -> None:
    for path in log.glob("decisions-*"):
        path.unlink()
    assert problems(log) == [
        f"{segment_name(1)}: the segment is missing, and so are the 3 after it; no cursor confirms that it was shipped"
    ]
    write(log, ["d9"])
    assert segment(log, 5).exists(), "no number is used again"
    assert len(problems(log)) == 1


def test_a_log_without_seals_must_begin_at_its_first_segment(tmp_path: Path) -> None:
    segment(tmp_path, 3).write_bytes(line("d1"))
    assert problems(tmp_path) == [
        f"{segment_name(1)}: the segment is missing, and so are the 1 after it; no cursor confirms that it was shipped"
    ]


def flip(path: Path, place: int) -> None:
    content = bytearray(path.read_bytes())
    content[place] ^= 1
    path.write_bytes(content)


def rewrite(log: Path) -> None:
    """Replace a record by another one, its checksum and its seal made new: the chain still tells."""
    segment(log, 2).write_bytes(line("d2", decision="decline") + line("d3"))
    write_seal(segment(log, 2), seal_of_file(segment(log, 2), read_seal(seal_path(segment(log, 2))).predecessor))


def remove(log: Path, number: int) -> None:
    segment(log, number).unlink()
    seal_path(segment(log, number)).unlink()


TAMPERINGS: dict[str, tuple[Callable[[Path], object], str]] = {
    "a bit of a line": (lambda log: flip(segment(log, 2), 40), f"{segment_name(2)}: Expected a record, got: a wrong"),
    "a record with a new checksum": (
        lambda log: segment(log, 2).write_bytes(line("d2") + line("x3")),
        f"{segment_name(2)}: its digest differs from the seal's",
    ),
    "a record added": (
        lambda log: segment(log, 2).write_bytes(segment(log, 2).read_bytes() + line("x")),
        f"{segment_name(2)}: Expected {2 * len(line('d2'))} bytes as sealed, got {3 * len(line('d2')) - 1}",
    ),
    "the last record removed": (
        lambda log: segment(log, 4).write_bytes(line("d6")),
        f"{segment_name(4)}: Expected {2 * len(line('d6'))} bytes as sealed, got {len(line('d6'))}",
    ),
    "the last line torn": (
        lambda log: segment(log, 4).write_bytes(segment(log, 4).read_bytes()[:-1]),
        f"{segment_name(4)}: the last line is not complete",
    ),
    "a segment removed": (lambda log: segment(log, 2).unlink(), f"{segment_name(2)}: the segment is missing"),
    "a segment and its seal removed": (
        lambda log: remove(log, 2),
        f"{segment_name(2)}: the segment is missing",
    ),
    "a seal removed": (
        lambda log: seal_path(segment(log, 2)).unlink(),
        f"{segment_name(2)}: its seal is missing, but a later segment is sealed",
    ),
    "the oldest segments and seals removed": (
        lambda log: remove(log, 1),
        f"{seal_path(segment(Path(), 2))}: the previous seal is missing, or differs from the one that this seal names",
    ),
    "a record and its seal made new": (
        rewrite,
        f"{seal_path(segment(Path(), 3))}: the previous seal is missing, or differs from the one that this seal names",
    ),
    "a file that is not a seal": (
        lambda log: seal_path(segment(log, 2)).write_bytes(b"{}"),
        f"{seal_path(segment(Path(), 2))}: ",
    ),
    "a seal of another segment": (
        lambda log: seal_path(segment(log, 4)).write_bytes(
            encode(read_seal(seal_path(segment(log, 4)))).replace(b"0004.jsonl", b"0005.jsonl")
        ),
        f"{seal_path(segment(Path(), 4))}: the seal names another segment",
    ),
}


@pytest.mark.parametrize("tampering", TAMPERINGS)
def test_tampering_is_found(log: Path, tampering: str) -> None:
    tamper, violation = TAMPERINGS[tampering]
    tamper(log)
    assert [problem for problem in problems(log) if problem.startswith(violation)], problems(log)


def test_every_byte_of_a_sealed_segment_counts(log: Path) -> None:
    content = segment(log, 3).read_bytes()
    for place in range(0, len(content), 7):
        flip(segment(log, 3), place)
        assert problems(log)
        segment(log, 3).write_bytes(content)
    assert not problems(log)


def test_many_damaged_lines_are_not_all_told(log: Path) -> None:
    segment(log, 2).write_bytes(b"x\n" * 100)
    told = problems(log)
    assert len(told) == 22
    assert f"{segment_name(2)}: 80 more damaged lines" in told


def test_the_command_says_where_and_exits_with_1(log: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main([str(log)]) == 0
    assert capsys.readouterr().out.endswith("The log is intact.\n")
    flip(segment(log, 2), len(line("d2")) + 40)
    assert main([str(log)]) == 1
    assert f"- at {segment_name(2)}, byte {len(line('d2'))}\n" in capsys.readouterr().out
    assert main([str(log), "--json"]) == 1
    report = json.loads(capsys.readouterr().out)
    assert report["is_whole"] is False
    assert report["damages"][0]["byte"] == len(line("d2"))


def test_the_command_runs_by_itself_and_teaches(log: Path) -> None:
    command = [sys.executable, "-m", "serving.log.verify"]
    run = subprocess.run([*command, str(log), "--json"], cwd=ROOT, capture_output=True, text=True, check=False)
    assert (run.returncode, json.loads(run.stdout)["records"], run.stderr) == (0, 8, "")
    run = subprocess.run([*command, "--help"], cwd=ROOT, capture_output=True, text=True, check=False)
    assert "Exit code: 0 if the log is intact" in run.stdout
    run = subprocess.run([*command, "nowhere"], cwd=ROOT, capture_output=True, text=True, check=False)
    assert (run.returncode, run.stderr) == (
        2,
        "Error: Expected the folder of a decision log, got no folder - at nowhere\n",
    )
