"""Positions reached in the decision log, and segments that were lost before they were loaded."""

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from serving.contract.documents import ContractError
from serving.log.seals import read_seal
from serving.log.segments import log_folders, number_of, seal_path, seal_paths, segment_name, segment_paths

if TYPE_CHECKING:
    import pyarrow as pa

LOST = -1
"""Position of a segment whose loss was reported; if it comes back, it is loaded from its start."""


class Start(NamedTuple):
    """Where a load begins in each segment, the segments lost since the last load, and those that begin again."""

    offsets: dict[str, int]
    lost: tuple[str, ...]
    restarted: tuple[str, ...]


def start_of_load(log: Path, reached: Mapping[str, int]) -> Start:
    """Where to read on from, given the positions of the last load.

    A segment is lost if it is gone and its seal does not prove that all of it was loaded, or if it is shorter than its
    seal says. One that is shorter than what was loaded of it is another file: it is loaded from its start.
    """
    offsets = {name: max(offset, 0) for name, offset in reached.items()}
    lost, restarted = [], []
    for folder in log_folders(log):
        for path in _segments_until_newest(folder, log, reached):
            name = path.relative_to(log).as_posix()
            try:
                size = path.stat().st_size
            except FileNotFoundError:
                if reached.get(name) == LOST:
                    offsets[name] = LOST
                elif not _is_loaded(path, reached.get(name, 0)):
                    lost.append(name)
                    offsets[name] = LOST
                continue
            if size < offsets.get(name, 0):
                restarted.append(name)
                offsets[name] = 0
            if size < _sealed_bytes(path):
                lost.append(name)
    return Start(offsets, tuple(lost), tuple(restarted))


def offset_rows(offsets: Mapping[str, int]) -> "pa.Table":
    """The table of positions."""
    import pyarrow as pa

    return pa.table(
        {"segment": pa.array(list(offsets), pa.string()), "next_offset": pa.array(list(offsets.values()), pa.int64())}
    )


def _segments_until_newest(folder: Path, log: Path, reached: Mapping[str, int]) -> Iterator[Path]:
    """Paths of all segments that a folder has or had: numbers begin at 1 and have no gaps."""
    loaded = [log / name for name in reached if (log / name).parent == folder]
    newest = max(map(number_of, (*segment_paths(folder)[-1:], *seal_paths(folder)[-1:], *loaded)), default=0)
    return (folder / segment_name(number) for number in range(1, newest + 1))


def _is_loaded(segment: Path, offset: int) -> bool:
    return seal_path(segment).exists() and _sealed_bytes(segment) <= offset


def _sealed_bytes(segment: Path) -> float:
    """Length of a segment by its seal; 0 without a seal, infinite if the seal cannot be read."""
    try:
        return read_seal(seal_path(segment)).bytes
    except FileNotFoundError:
        return 0
    except ContractError:
        return float("inf")
