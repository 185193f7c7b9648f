"""The shipper: nothing is lost whatever stops it, and it stops nothing else but by declared policy."""

import logging
import re
import threading
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest

from serving.contract.documents import ContractError
from serving.errors import LogUnavailableError
from serving.log.segments import leftover_folders, line_of, read_records, segment_name, segment_paths
from serving.log.shipping.cursor import CURSOR_FILE
from serving.log.shipping.directory import DirectorySink
from serving.log.shipping.shipper import Shipper
from serving.log.shipping.sink import OversizedLine, ShippingError
from serving.log.verify import verify_log
from tests.harness.logs import eventually, ids, line, opened, write
from tests.harness.records import record


class Crashed(BaseException):
    """The process dies here."""


class Collecting:
    """A sink in memory that can fail, hang, or lose what it had."""

    destination = "memory"

    def __init__(self) -> None:
        self.lines: dict[str, bytes] = {}
        self.seals: list[str] = []
        self.violation: Exception | None = None
        self.is_running = threading.Event()
        self.is_running.set()
        self.calls = 0

    def ship(self, segment_name: str, offset: int, lines: Sequence[bytes]) -> Sequence[OversizedLine]:
        self.calls += 1
        self.is_running.wait()
        if self.violation is not None:
            raise self.violation
        held = self.lines.get(segment_name, b"")
        assert len(held) >= offset, "nothing is left out"
        self.lines[segment_name] = held[:offset] + b"".join(lines)
        return ()

    def finish(self, segment_name: str, seal: bytes) -> None:
        assert seal
        self.seals.append(segment_name)

    def close(self) -> None:
        self.is_running.set()


@pytest.fixture
def log(tmp_path: Path) -> Path:
    """Three sealed segments and one that is not."""
    folder = tmp_path / "log"
    write(folder, [f"d{index}" for index in range(9)], segment_bytes=3 * len(line("d0")))
    (folder / segment_name(4)).write_bytes(line("d9") + line("x")[:50])
    return folder


@pytest.fixture
def sink() -> Iterator[Collecting]:
    sink = Collecting()
    yield sink
    sink.is_running.set()


def shipped(log: Path, sink: Any, **settings: Any) -> Shipper:
    """A shipper that has delivered all that is there, and is stopped."""
    shipper = Shipper(log, [log], sink, **settings)
    shipper.open()
    try:
        shipper.advance()
    finally:
        shipper.stop()
    return shipper


COPIED = ("decisions-*.jsonl", "decisions-*.json")


def contents(folder: Path, *patterns: str) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for pattern in patterns for path in folder.glob(pattern)}


def test_sealed_segments_and_the_complete_lines_of_the_open_one_are_delivered(log: Path, sink: Collecting) -> None:
    shipper = shipped(log, sink, batch_bytes=500)
    expected = contents(log, "*.jsonl")
    expected[segment_name(4)] = line("d9")
    assert sink.lines == expected
    assert sink.seals == [segment_name(number) for number in (1, 2, 3)]
    assert (shipper.shipped_records, shipper.lag_bytes) == (10, 50)
    assert shipped(log, sink).shipped_records == 0


def test_the_copy_in_a_folder_is_a_log(log: Path, tmp_path: Path) -> None:
    copy = tmp_path / "copy"
    shipped(log, DirectorySink(copy), batch_bytes=500)
    assert ids(copy) == [f"d{index}" for index in range(9)]
    assert contents(copy, "*.part") == {f"{segment_name(4)}.part": line("d9")}
    opened(log).close()
    shipped(log, DirectorySink(copy))
    assert contents(copy, *COPIED) == contents(log, *COPIED)
    assert verify_log(copy).is_whole
    assert not list(copy.glob("*.part"))


def test_the_same_lines_again_change_nothing(log: Path, tmp_path: Path) -> None:
    copy = tmp_path / "copy"
    shipped(log, DirectorySink(copy))
    before = contents(copy, "*")
    (log / CURSOR_FILE).unlink()
    assert shipped(log, DirectorySink(copy)).shipped_records == 10
    assert contents(copy, "*") == before


def test_a_copy_that_was_changed_is_not_overwritten(log: Path, tmp_path: Path) -> None:
    copy = tmp_path / "copy"
    shipped(log, DirectorySink(copy))
    (copy / segment_name(2)).write_bytes(line("x"))
    (log / CURSOR_FILE).unlink()
    with pytest.raises(ShippingError, match="Expected the lines shipped before, got others at byte 0"):
        shipped(log, DirectorySink(copy))
    assert (copy / segment_name(2)).read_bytes() == line("x")


@pytest.mark.parametrize("damage", [lambda part: part.unlink(), lambda part: part.write_bytes(line("x"))])
def test_an_unfinished_copy_that_is_lost_or_damaged_is_made_again(
    log: Path, tmp_path: Path, damage: Callable[[Path], None]
) -> None:
    copy = tmp_path / "copy"
    shipped(log, DirectorySink(copy))
    damage(copy / f"{segment_name(4)}.part")
    opened(log).close()
    with (log / segment_name(5)).open("ab") as later:
        later.write(line("d10"))
    for _ in range(3):
        shipper = Shipper(log, [log], DirectorySink(copy))
        shipper.open()
        try:
            shipper.advance()
        except ShippingError as error:
            assert "shipped again" in str(error)  # noqa: PT017 - it may take one attempt or two
        shipper.stop()
    assert (copy / segment_name(4)).read_bytes() == line("d9")


def test_another_destination_gets_the_log_from_its_beginning(log: Path, tmp_path: Path) -> None:
    for name in ("one", "two"):
        assert shipped(log, DirectorySink(tmp_path / name)).shipped_records == 10


def test_a_cursor_that_cannot_be_read_begins_anew(log: Path, sink: Collecting) -> None:
    shipped(log, sink)
    (log / CURSOR_FILE).write_bytes(b"{")
    assert shipped(log, sink).shipped_records == 10


STEPS = (
    ("serving.log.shipping.directory", "_write_at"),
    ("serving.log.shipping.directory", "write_file"),
    ("serving.log.shipping.directory", "_finish_part"),
    ("serving.log.shipping.cursor", "write_file"),
)


def test_a_crash_at_any_step_loses_nothing(log: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Dies before and after each call that changes the copy or the cursor, and begins again after each death."""
    opened(log).close()
    copy, state = tmp_path / "copy", {"left": 0, "deaths": 0}

    def dying(real: Callable[..., Any]) -> Callable[..., Any]:
        def step(*arguments: Any, **options: Any) -> Any:
            for act in (lambda: None, lambda: real(*arguments, **options)):
                result = act()
                state["left"] -= 1
                if state["left"] == 0:
                    state["deaths"] += 1
                    raise Crashed
            return result

        return step

    for module, name in STEPS:
        monkeypatch.setattr(f"{module}.{name}", dying(getattr(__import__(module, fromlist=[name]), name)))
    expected = contents(log, *COPIED)
    deaths = 0
    for turn in range(1, 200):
        for path in (*log.glob(f"*{CURSOR_FILE}*"), *copy.glob("*")):
            path.unlink()
        state["left"] = turn
        try:
            shipped(log, DirectorySink(copy), batch_bytes=500)
        except Crashed:
            deaths += 1
        else:
            break
        shipped(log, DirectorySink(copy), batch_bytes=2_000)
        assert contents(copy, *COPIED) == expected, f"after a death at step {turn}"
        assert shipped(log, DirectorySink(copy)).shipped_records == 0
    assert 40 < deaths < 199


def test_dying_again_and_again_still_arrives(log: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Each life gets one step further than the one before."""
    opened(log).close()
    copy = tmp_path / "copy"
    real = DirectorySink.ship

    def ships_once(sink: DirectorySink, *arguments: Any) -> Sequence[OversizedLine]:
        oversized = real(sink, *arguments)
        if lives:
            lives.pop()
            raise Crashed
        return oversized

    monkeypatch.setattr(DirectorySink, "ship", ships_once)
    lives = [1] * 20
    while lives:
        with pytest.raises(Crashed):
            shipped(log, DirectorySink(copy), batch_bytes=500)
    shipped(log, DirectorySink(copy), batch_bytes=500)
    assert ids(copy) == ids(log)


def test_a_live_log_is_shipped_while_it_is_written(tmp_path: Path) -> None:
    folder, copy = tmp_path / "log", tmp_path / "copy"
    log = opened(folder, segment_bytes=5_000)
    shipper = Shipper(folder, [folder], DirectorySink(copy), poll_seconds=0.005, batch_bytes=1_500)
    shipper.start()
    for index in range(500):
        log.record([record(f"d{index}")])
    eventually(lambda: shipper.shipped_records == 500)
    log.close()
    shipper.stop()
    assert ids(copy) == [f"d{index}" for index in range(500)]
    assert verify_log(copy).is_whole
    assert (shipper.lag_bytes, shipper.failure) == (0, None)


def test_a_failing_sink_is_tried_again_with_growing_pauses(
    tmp_path: Path, sink: Collecting, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO, "serving")
    log = opened(tmp_path)
    sink.violation = ShippingError("the topic is gone", cause="topic")
    shipper = Shipper(tmp_path, [tmp_path], sink, poll_seconds=0.02)
    shipper.start()
    log.record([record("d1")])
    eventually(lambda: sink.calls >= 4)
    assert shipper.failure == "the topic is gone"
    assert log.failure is None
    sink.violation = None
    eventually(lambda: shipper.shipped_records == 1)
    log.close()
    shipper.stop()
    assert shipper.failure is None
    assert caplog.text.count("the topic is gone") == 1, "said when it begins, not at every attempt"
    assert re.search(r"shipping works again; in \d+ s \d+ attempts failed", caplog.text)
    assert shipper.failures["topic"] >= 3
    assert sum(shipper.failures.values()) == shipper.failures["topic"]


def test_a_fault_in_a_sink_ends_nothing_and_is_told_without_its_text(tmp_path: Path, sink: Collecting) -> None:
    write(tmp_path, ["d1"])
    sink.violation = KeyError("a customer's value")
    shipper = Shipper(tmp_path, [tmp_path], sink, poll_seconds=0.01)
    shipper.start()
    eventually(lambda: shipper.failure == "KeyError in Collecting")
    sink.violation = None
    eventually(lambda: shipper.shipped_records == 1)
    shipper.stop()


def test_a_damaged_line_is_not_shipped_and_neither_is_what_follows(log: Path, sink: Collecting) -> None:
    content = (log / segment_name(2)).read_bytes()
    damaged = content.replace(b'"d4"', b'"x4"')
    (log / segment_name(2)).write_bytes(damaged)
    with pytest.raises(ContractError, match=f"a wrong checksum.*{segment_name(2)}, byte {len(line('d3'))}"):
        shipped(log, sink)
    assert sink.lines[segment_name(2)] == line("d3")


def test_a_stuck_sink_holds_nothing_up_and_is_noticed(tmp_path: Path, sink: Collecting) -> None:
    log = opened(tmp_path)
    shipper = Shipper(tmp_path, [tmp_path], sink, poll_seconds=0.01, stall_seconds=0.05, max_unshipped_bytes=1_000)
    sink.is_running.clear()
    shipper.start()
    for index in range(10):
        log.record([record(f"d{index}")])
    eventually(lambda: shipper.failure is not None)
    assert "the destination has not answered" in str(shipper.failure)
    eventually(lambda: (shipper.lag_bytes, shipper.overruns) == (log.bytes, 1))
    assert log.failure is None, "the policy is to go on and count"
    log.close()
    shipper.stop(0.05)
    sink.is_running.set()


def test_too_much_unshipped_refuses_until_it_is_shipped(tmp_path: Path, sink: Collecting) -> None:
    log = opened(tmp_path, on_failure="continue")
    shipper = Shipper(
        tmp_path, [tmp_path], sink, poll_seconds=0.01, max_unshipped_bytes=1_000, on_overrun="refuse",
        obstruct=log.obstruct,
    )  # fmt: skip
    sink.is_running.clear()
    shipper.start()
    log.record([record("d1"), record("d2")])
    eventually(lambda: log.failure == "more than 1000 bytes of the log are not shipped")
    with pytest.raises(LogUnavailableError):
        log.record([record("d3")])
    sink.is_running.set()
    eventually(lambda: log.failure is None)
    log.record([record("d4")])
    log.close()
    shipper.stop()
    assert ids(tmp_path) == ["d1", "d2", "d4"]
    assert shipper.overruns == 1


def test_refusing_needs_something_to_refuse_with(tmp_path: Path, sink: Collecting) -> None:
    with pytest.raises(ValueError, match="Expected obstruct"):
        Shipper(tmp_path, [tmp_path], sink, on_overrun="refuse")


def test_a_segment_that_was_cut_after_it_was_shipped_ends_as_it_was_sealed(tmp_path: Path) -> None:
    folder, copy = tmp_path / "log", tmp_path / "copy"
    folder.mkdir()
    (folder / segment_name(1)).write_bytes(line("d1") + line("d2"))
    shipped(folder, DirectorySink(copy))
    (folder / segment_name(1)).write_bytes(line("d1"))
    opened(folder).close()
    shipped(folder, DirectorySink(copy))
    assert ids(copy) == ["d1"]
    assert verify_log(copy).is_whole


def test_a_worker_ships_its_folder_and_those_left_over(tmp_path: Path) -> None:
    folder, copy = tmp_path / "log", tmp_path / "copy"
    for name in (".", "worker-0", "worker-3"):
        write(folder / name, [f"{name}-d"])
    shipper = Shipper(folder, [folder / "worker-0", *leftover_folders(folder, 2)], DirectorySink(copy))
    shipper.open()
    with pytest.raises(ContractError, match="another server ships"):
        Shipper(folder, [folder / "worker-3"], DirectorySink(copy)).open()
    shipper.advance()
    shipper.stop()
    assert list(read_records(copy)) == list(read_records(folder))
    assert verify_log(copy).is_whole


def test_only_what_was_shipped_and_is_old_is_deleted_and_its_seal_stays(log: Path, sink: Collecting) -> None:
    opened(log).close()
    assert shipped(log, sink).deleted_segments == 0, "off by default"
    assert shipped(log, sink, retention_days=1).deleted_segments == 0
    write(log, ["d10"])
    sink.violation = ShippingError("the topic is gone")
    with pytest.raises(ShippingError):
        shipped(log, sink, retention_days=0)
    assert len(segment_paths(log)) == 5
    sink.violation = None
    assert shipped(log, sink, retention_days=0).deleted_segments == 5
    assert segment_paths(log) == []
    report = verify_log(log)
    assert (report.is_whole, report.retired) == (True, 5)
    write(log, ["d11"])
    assert [path.name for path in segment_paths(log)] == [segment_name(6)]
    assert verify_log(log).is_whole
    assert line_of(next(read_records(log)).record) == line("d11")
