"""What a load finds of the log's files, when something else moved, truncated or removed them."""

from pathlib import Path

from lifecycle.warehouse.reading.log_positions import LOST, Start, start_of_load
from serving.log.segments import seal_path, segment_name
from tests.harness.logs import write

NAMES = [segment_name(number) for number in range(1, 5)]


def sealed_log(log: Path) -> dict[str, int]:
    """Three sealed segments; their sizes, as a load that reached their ends keeps them."""
    for number in range(1, 4):
        write(log, [f"d{number}a", f"d{number}b"])
    return {path.name: path.stat().st_size for path in sorted(log.glob("*.jsonl"))}


def test_loaded_segments_that_the_shipper_deleted_are_not_lost(tmp_path: Path) -> None:
    sizes = sealed_log(tmp_path)
    for name in NAMES[:2]:
        (tmp_path / name).unlink()
    assert start_of_load(tmp_path, sizes) == Start(sizes, (), ())


def test_a_segment_that_is_gone_before_all_of_it_was_loaded_is_reported_once(tmp_path: Path) -> None:
    sizes = sealed_log(tmp_path)
    reached = {**sizes, NAMES[0]: sizes[NAMES[0]] - 1, NAMES[1]: sizes[NAMES[1]]}
    del reached[NAMES[2]]
    for name in NAMES[:3]:
        (tmp_path / name).unlink()
    start = start_of_load(tmp_path, reached)
    assert (start.lost, start.restarted) == ((NAMES[0], NAMES[2]), ())
    again = start_of_load(tmp_path, start.offsets)
    assert (again.lost, again.offsets) == ((), start.offsets)
    assert start_of_load(tmp_path, again.offsets).lost == ()


def test_a_segment_without_a_seal_that_is_gone_is_lost(tmp_path: Path) -> None:
    sizes = sealed_log(tmp_path)
    (tmp_path / NAMES[1]).unlink()
    seal_path(tmp_path / NAMES[1]).unlink()
    assert start_of_load(tmp_path, sizes).lost == (NAMES[1],)
    newest = {**sizes, NAMES[3]: 100}
    assert start_of_load(tmp_path, newest).lost == (NAMES[1], NAMES[3])


def test_a_segment_that_comes_back_is_loaded_from_its_start(tmp_path: Path) -> None:
    sizes = sealed_log(tmp_path)
    start = start_of_load(tmp_path, {**sizes, NAMES[1]: LOST})
    assert start == Start({**sizes, NAMES[1]: 0}, (), ())


def test_a_truncated_or_replaced_segment_is_loaded_again_and_named(tmp_path: Path) -> None:
    sizes = sealed_log(tmp_path)
    with (tmp_path / NAMES[2]).open("r+b") as segment:
        segment.truncate(10)
    start = start_of_load(tmp_path, sizes)
    assert (start.lost, start.restarted, start.offsets[NAMES[2]]) == ((NAMES[2],), (NAMES[2],), 0)
