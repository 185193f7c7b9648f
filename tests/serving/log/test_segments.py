"""The log's format: lines, their checksums, and what is read of folders that crashed or are still written to."""

import json
from pathlib import Path

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from serving.contract.documents import ContractError, DecisionRecord, Reason
from serving.log.seals import settle
from serving.log.segments import (
    DamagedLineError,
    find_records,
    leftover_folders,
    line_of,
    log_folders,
    next_number,
    read_records,
    recent_records,
    record_of,
    repair_segment,
    segment_name,
    worker_folder,
)
from tests.harness.logs import MOMENT, first_version_line, ids, line, rejection, write
from tests.harness.records import record


def test_a_line_is_plain_json_that_ends_with_its_checksum() -> None:
    written = line("d1", reasons=(Reason(code="amount", text="large", contribution=0.5),))
    document = json.loads(written)
    assert list(document)[-1] == "crc32"
    assert document["decision_id"] == "d1"
    assert len(document["crc32"]) == 8


@given(
    text=st.text(),
    features=st.lists(st.one_of(st.none(), st.text(), st.integers(-(2**53), 2**53), st.floats(allow_nan=False))),
)
def test_any_record_is_read_as_it_was_written(text: str, features: list[float | int | str | None]) -> None:
    finite = tuple(value for value in features if not (isinstance(value, float) and abs(value) == float("inf")))
    written = record(text, features=finite, error=text, caller=text)
    assert record_of(line_of(written)) == written


def test_a_rejection_is_read_as_it_was_written() -> None:
    written = rejection(path="$.features.amount", decision_id="d1", count=3)
    assert record_of(line_of(written)) == written


@given(place=st.integers(0, 10_000), bit=st.integers(0, 7))
def test_a_flipped_bit_is_always_noticed(place: int, bit: int) -> None:
    damaged = bytearray(line("d1"))
    damaged[place % (len(damaged) - 1)] ^= 1 << bit
    with pytest.raises((DamagedLineError, ContractError)):
        record_of(bytes(damaged))


def test_lines_of_version_1_have_no_checksum_and_stay_readable(tmp_path: Path) -> None:
    (tmp_path / segment_name(1)).write_bytes(first_version_line("d1") + line("d2"))
    assert ids(tmp_path) == ["d1", "d2"]
    assert [type(logged.record) for logged in read_records(tmp_path)] == [DecisionRecord] * 2


def test_a_newer_line_needs_its_checksum() -> None:
    with pytest.raises(DamagedLineError, match="no checksum"):
        record_of(msgspec.json.encode(record()) + b"\n")
    with pytest.raises(DamagedLineError, match="no checksum"):
        record_of(msgspec.json.encode(rejection()) + b"\n")


def test_a_newer_version_is_refused_by_name_and_not_cut(tmp_path: Path) -> None:
    path = tmp_path / segment_name(1)
    path.write_bytes(line("d1") + line("d2", schema_version=4))
    assert repair_segment(path) == 0
    with pytest.raises(
        ContractError, match=f"Expected schema_version 1 or 2 or 3, got 4; .* - at {path}, byte {len(line('d1'))}"
    ):
        ids(tmp_path)


@pytest.mark.parametrize("damaged", [b"{}\n", line("d3").replace(b"d3", b"d4"), line("d3")[:-30] + b"\n"])
def test_a_line_damaged_between_others_is_an_error_and_not_cut(tmp_path: Path, damaged: bytes) -> None:
    path = tmp_path / segment_name(1)
    path.write_bytes(line("d1") + damaged + line("d2"))
    assert repair_segment(path) == 0
    with pytest.raises(ContractError, match=f"at {path}, byte {len(line('d1'))}"):
        ids(tmp_path)


@pytest.mark.parametrize("last", [line("d2"), first_version_line("d2"), line_of(rejection())])
def test_whatever_a_crash_left_of_the_last_record_is_cut(tmp_path: Path, last: bytes) -> None:
    path = tmp_path / segment_name(1)
    for kept in range(1, len(last)):
        path.write_bytes(line("d1") + last[:kept])
        assert repair_segment(path) == kept
        assert path.read_bytes() == line("d1")
        torn = path.with_suffix(".torn")
        assert torn.read_bytes() == last[:kept]
        torn.unlink()
    path.write_bytes(line("d1") + last)
    assert repair_segment(path) == 0


@pytest.mark.parametrize("tail", [b"\x00" * 300, b"\x00\x00\n" + line("d3")[:9], b"\n\n", line("d3")[:-3] + b"\n"])
def test_a_tail_that_is_no_record_is_cut(tmp_path: Path, tail: bytes) -> None:
    path = tmp_path / segment_name(1)
    path.write_bytes(line("d1") + tail)
    assert repair_segment(path) == len(tail)
    assert ids(tmp_path) == ["d1"]


def test_a_sealed_segment_and_an_empty_folder_are_left_alone(tmp_path: Path) -> None:
    assert settle(tmp_path / "nowhere").cut_bytes == 0
    write(tmp_path, ["d1"])
    with (tmp_path / segment_name(1)).open("ab") as segment:
        segment.write(b"{")
    assert settle(tmp_path).cut_bytes == 0


def test_reading_goes_on_where_it_ended_and_leaves_an_unfinished_line(tmp_path: Path) -> None:
    path = tmp_path / segment_name(1)
    path.write_bytes(line("d1") + line("d2")[:30])
    first = list(read_records(tmp_path))
    assert [logged.record.decision_id for logged in first] == ["d1"]
    path.write_bytes(line("d1") + line("d2"))
    (tmp_path / segment_name(2)).write_bytes(line("d3"))
    offsets = {first[-1].segment: first[-1].end}
    assert [logged.record.decision_id for logged in read_records(tmp_path, offsets)] == ["d2", "d3"]


def test_the_log_of_several_workers_is_read_as_one(tmp_path: Path) -> None:
    write(tmp_path, ["d1"])
    for worker in (10, 2):
        write(worker_folder(tmp_path, worker, 11), [f"w{worker}"])
    (tmp_path / "worker-x").mkdir()
    assert [(logged.segment, logged.record.decision_id) for logged in read_records(tmp_path)] == [
        (segment_name(1), "d1"),
        (f"worker-2/{segment_name(1)}", "w2"),
        (f"worker-10/{segment_name(1)}", "w10"),
    ]
    ends = {logged.segment: logged.end for logged in read_records(tmp_path)}
    write(tmp_path / "worker-2", ["w3"])
    assert [(logged.segment, logged.record.decision_id) for logged in read_records(tmp_path, ends)] == [
        (f"worker-2/{segment_name(2)}", "w3")
    ]
    assert [folder.name for folder in log_folders(tmp_path)][1:] == ["worker-2", "worker-10"]


def test_folders_that_no_worker_writes_to_any_more_are_known(tmp_path: Path) -> None:
    write(tmp_path, ["d1"])
    for worker in range(3):
        write(tmp_path / f"worker-{worker}", [f"w{worker}"])
    assert leftover_folders(tmp_path, 2) == [tmp_path, tmp_path / "worker-2"]
    assert leftover_folders(tmp_path, 1) == [tmp_path / f"worker-{worker}" for worker in range(3)]


def test_a_decision_is_found_in_any_segment_slot_and_worker(tmp_path: Path) -> None:
    later = MOMENT.replace(hour=13)
    (tmp_path / segment_name(1)).write_bytes(line("d1") + line("d2", decided_at=later, slot="shadow"))
    (tmp_path / segment_name(2)).write_bytes(line("d3") + line_of(rejection(decision_id="d2")))
    (tmp_path / "worker-0").mkdir()
    (tmp_path / "worker-0" / segment_name(1)).write_bytes(line("d2"))
    assert [(logged.segment, logged.offset) for logged in find_records(tmp_path, "d2")] == [
        (f"worker-0/{segment_name(1)}", 0),
        (segment_name(1), len(line("d1"))),
    ]
    assert find_records(tmp_path, "d") == []


def test_the_last_answers_are_read_across_segments_and_workers(tmp_path: Path) -> None:
    moments = [MOMENT.replace(minute=minute) for minute in range(5)]
    shadow = line("d9", decided_at=moments[4], slot="shadow")
    (tmp_path / segment_name(1)).write_bytes(line("d0", decided_at=moments[0]) + line("d2", decided_at=moments[2]))
    (tmp_path / segment_name(2)).write_bytes(line("d3", decided_at=moments[3], slot="canary") + shadow)
    (tmp_path / "worker-0").mkdir()
    (tmp_path / "worker-0" / segment_name(1)).write_bytes(
        line("d1", decided_at=moments[1]) + line_of(rejection()) + line("d4", decided_at=moments[4])
    )
    for limit, expected in ((2, ["d3", "d4"]), (4, ["d1", "d2", "d3", "d4"]), (9, ["d0", "d1", "d2", "d3", "d4"])):
        assert [each.decision_id for each in recent_records(tmp_path, limit)] == expected
    assert recent_records(tmp_path, 0) == []


def test_a_number_is_not_given_again_when_its_segment_is_gone(tmp_path: Path) -> None:
    assert next_number(tmp_path) == 1
    write(tmp_path, ["d1"])
    (tmp_path / segment_name(1)).unlink()
    assert next_number(tmp_path) == 2
