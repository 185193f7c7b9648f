"""The decision log on disk: numbered segments of JSON lines, read while they grow.

The segment with the highest number is open; all others are sealed and never change. A segment that was cut after a
crash or a failed write is never appended to again, so that an offset somebody remembers stays true.
"""

import os
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Final, NamedTuple

import msgspec

from serving.contract import ContractError, DecisionRecord

_PREFIX: Final = "decisions-"
_SUFFIX: Final = ".jsonl"
_decoder = msgspec.json.Decoder(DecisionRecord)


class LoggedRecord(NamedTuple):
    """A record and where it stands: read on from `end` and no line is read twice."""

    segment: str
    offset: int
    end: int
    record: DecisionRecord


def segment_name(number: int) -> str:
    """Name of a segment.

    Examples
    --------
    >>> segment_name(12)
    'decisions-000000000012.jsonl'
    """
    return f"{_PREFIX}{number:012d}{_SUFFIX}"


def segment_paths(directory: Path) -> list[Path]:
    """The segments in `directory`, oldest first; empty if there is no such folder."""
    return sorted(directory.glob(f"{_PREFIX}{'[0-9]' * 12}{_SUFFIX}"))


def next_number(directory: Path) -> int:
    """Number of the segment after the last one."""
    paths = segment_paths(directory)
    return int(paths[-1].name[len(_PREFIX) : -len(_SUFFIX)]) + 1 if paths else 1


def read_records(directory: Path, offsets: Mapping[str, int] | None = None) -> Iterator[LoggedRecord]:
    """Every record of the log, oldest segment first, complete lines only.

    Parameters
    ----------
    offsets
        Byte offset to start from by segment name, as `LoggedRecord.end` gave it; a segment not named is read whole.

    Raises
    ------
    ContractError
        If a complete line is no decision record; names the segment and the offset.
    """
    for path in segment_paths(directory):
        yield from read_segment(path, (offsets or {}).get(path.name, 0))


def read_segment(path: Path, offset: int = 0) -> Iterator[LoggedRecord]:
    """The records of one segment from `offset` on; raises as `read_records`."""
    with path.open("rb") as segment:
        segment.seek(offset)
        for line in segment:
            if not line.endswith(b"\n"):
                return
            end = offset + len(line)
            yield LoggedRecord(path.name, offset, end, _decoded(line, path, offset))
            offset = end


def find_records(directory: Path, decision_id: str) -> list[LoggedRecord]:
    """The records of one decision, oldest first; only lines that mention the id are decoded.

    Raises
    ------
    ContractError
        If such a line is no decision record.
    """
    mention = msgspec.json.encode(decision_id)
    found = []
    for path in segment_paths(directory):
        offset = 0
        with path.open("rb") as segment:
            for line in segment:
                end = offset + len(line)
                if mention in line and line.endswith(b"\n"):
                    record = _decoded(line, path, offset)
                    if record.decision_id == decision_id:
                        found.append(LoggedRecord(path.name, offset, end, record))
                offset = end
    return found


def recent_records(directory: Path, limit: int) -> list[DecisionRecord]:
    """The last records of the log, at most `limit`, oldest first; raises as `read_records`."""
    records: list[DecisionRecord] = []
    for path in reversed(segment_paths(directory)):
        records = [logged.record for logged in read_segment(path)] + records
        if len(records) >= limit:
            break
    return records[-limit:] if limit else []


def mend_tail(directory: Path) -> int:
    """Cut what a crash left at the end of the last segment behind its last record; returns the bytes cut.

    None of them was answered: an answer waits until its line is on the disk. They are kept beside the segment, in a
    file that ends in ``.torn``.
    """
    paths = segment_paths(directory)
    if not paths:
        return 0
    path = paths[-1]
    content = path.read_bytes()
    whole = _end_of_last_record(content)
    if whole == len(content):
        return 0
    torn = os.open(path.with_suffix(".torn"), os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
    with os.fdopen(torn, "ab") as kept:
        kept.write(content[whole:])
        kept.flush()
        os.fsync(kept.fileno())
    with path.open("r+b") as segment:
        segment.truncate(whole)
        os.fsync(segment.fileno())
    return len(content) - whole


def _end_of_last_record(content: bytes) -> int:
    end = content.rfind(b"\n") + 1
    while end > 0:
        start = content.rfind(b"\n", 0, end - 1) + 1
        try:
            _decoder.decode(content[start:end])
        except (msgspec.DecodeError, UnicodeDecodeError):
            end = start
        else:
            break
    return end


def _decoded(line: bytes, path: Path, offset: int) -> DecisionRecord:
    try:
        return _decoder.decode(line)
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise ContractError(
            f"Expected a decision record, got {type(error).__name__}; the segment was damaged after it was written "
            f"- at {path}, byte {offset}"
        ) from None
