"""Files of a log that something else removes, moves, replaces or truncates while a server writes to it."""

import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from serving.log.segments import read_records, segment_name
from serving.log.verify import verify_log
from serving.log.writer import DecisionLog
from tests.harness.logs import eventually, line, opened
from tests.harness.records import record


@pytest.fixture
def make_log(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[..., DecisionLog]]:
    """Logs that look at their files 50 times a second; closed at the end."""
    monkeypatch.setattr("serving.log.writer._PROBE_SECONDS", 0.02)
    logs: list[DecisionLog] = []

    def make(**settings: Any) -> DecisionLog:
        logs.append(opened(tmp_path / "log", **settings))
        return logs[-1]

    yield make
    for log in logs:
        log.close()


def newest(log: DecisionLog) -> Path:
    return max(log.directory.glob("decisions-*.jsonl"))


def truncate(path: Path, size: int = 0) -> None:
    with path.open("r+b") as file:
        file.truncate(size)


def replace(path: Path) -> None:
    path.unlink()
    path.write_bytes(line("other"))


CHANGES: dict[str, tuple[Callable[[Path], object], int]] = {
    "removed": (lambda path: path.unlink(), 3),
    "moved": (lambda path: path.rename(path.with_name("elsewhere")), 3),
    "replaced": (replace, 2),
    "truncated": (truncate, 3),
    "last record cut": (lambda path: truncate(path, 2 * len(line("d0"))), 1),
    "folder removed": (lambda path: shutil.rmtree(path.parent), 3),
    "folder moved": (lambda path: path.parent.rename(path.parent.with_name("elsewhere")), 3),
}


@pytest.mark.parametrize("on_failure", ["refuse", "continue"])
@pytest.mark.parametrize("change", CHANGES)
def test_a_changed_open_segment_is_noticed_counted_and_followed_by_another(
    make_log: Callable[..., DecisionLog], change: str, on_failure: str
) -> None:
    alter, lost = CHANGES[change]
    log = make_log(on_failure=on_failure)
    log.record([record("d0"), record("d1"), record("d2")])
    alter(newest(log))
    eventually(lambda: log.lost_segments == 1, seconds=20)
    eventually(lambda: log.failure is None, seconds=20)
    assert log.unrecorded == lost
    log.record([record("d3")])
    assert newest(log).name == segment_name(2), "another segment begins"
    log.close()
    report = verify_log(log.directory)
    assert not report.is_whole
    assert {damage.segment for damage in report.damages} == {segment_name(1)}
    assert (log.directory.stat().st_mode & 0o777, newest(log).stat().st_mode & 0o777) == (0o700, 0o600)
    # The loss stays known: a restart neither seals what is left nor uses the number again.
    again = make_log()
    again.record([record("d4")])
    again.close()
    assert not verify_log(log.directory).is_whole
    assert newest(log).name == segment_name(3)


@pytest.mark.parametrize(
    ("change", "is_damage"), [(lambda path: path.unlink(), True), (truncate, True), (lambda path: path.touch(), False)]
)
def test_a_changed_sealed_segment_is_noticed_once_and_reported_by_the_verifier(
    make_log: Callable[..., DecisionLog], change: Callable[[Path], object], is_damage: bool
) -> None:
    log = make_log(segment_bytes=1)
    for number in range(3):
        log.record([record(f"d{number}")])
    eventually(lambda: len(list(log.directory.glob("*.seal.json"))) == 3)
    change(log.directory / segment_name(2))
    if is_damage:
        eventually(lambda: log.lost_segments == 1, seconds=20)
    log.record([record("d3")])
    eventually(lambda: len(list(log.directory.glob("*.seal.json"))) == 4)
    log.close()
    assert log.lost_segments == int(is_damage)
    assert log.unrecorded == 0
    assert [damage.segment for damage in verify_log(log.directory).damages] == [segment_name(2)] * is_damage


def test_a_folder_that_another_server_has_taken_meanwhile_is_refused_until_it_is_free(
    make_log: Callable[..., DecisionLog], tmp_path: Path
) -> None:
    log = make_log()
    log.record([record("d0")])
    log.directory.rename(tmp_path / "elsewhere")
    other: list[DecisionLog] = []

    def takes_it() -> bool:
        try:
            other.append(opened(log.directory))
        except Exception:
            return False
        return True

    # One of the two gets the new folder; they never write to it together.
    if takes_it():
        eventually(lambda: log.failure is not None, seconds=20)
        other[0].close()
    eventually(lambda: log.failure is None, seconds=20)
    log.record([record("d1")])
    assert [each.record.decision_id for each in read_records(log.directory)] == ["d1"]
