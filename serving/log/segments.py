"""The decision log on disk: numbered segments of JSON lines, read while they grow.

A line is the record's JSON object with one more member at its end, ``"crc32"``: the CRC-32 of all bytes before that
member. Lines of version 1 have no checksum. The segment with the highest number in a folder is open; all others are
sealed and never change. A segment that was truncated after a crash or a failed write is never appended to again, so
that offsets stored elsewhere stay valid. A server with one worker writes to the log's folder itself, each of several
workers to ``worker-<i>`` below it; a segment's name is its path relative to the log's folder.
"""

import logging
import os
import zlib
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Final, Generic, NamedTuple, TypeVar

import msgspec

from serving.contract.documents import (
    DECISION_RECORD_VERSION,
    REJECTION_RECORD_VERSION,
    ContractError,
    DecisionRecord,
    RejectionRecord,
    readable_versions,
)
from serving.log.head import known_head
from serving.storage.durable import flush_file

logger = logging.getLogger(__name__)

LogRecord = DecisionRecord | RejectionRecord
Record_co = TypeVar("Record_co", covariant=True, bound=LogRecord)

_PREFIX: Final = "decisions-"
_SUFFIX: Final = ".jsonl"
_SEAL_SUFFIX: Final = ".seal.json"
_DIGITS: Final = "[0-9]" * 12
_WORKER_PREFIX: Final = "worker-"
_CHECKSUM: Final = b',"crc32":"'
_TAIL_BYTES: Final = len(_CHECKSUM) + len('01234567"}\n')
_REJECTION: Final = b'{"record":"rejection"'

_encode = msgspec.json.Encoder().encode
_decisions = msgspec.json.Decoder(DecisionRecord)
_rejections = msgspec.json.Decoder(RejectionRecord)


class LoggedRecord(NamedTuple, Generic[Record_co]):
    """A record and its position; reading that resumes at `end` reads no line twice."""

    segment: str
    offset: int
    end: int
    record: Record_co


class DamagedLineError(ValueError):
    """A complete line that differs from what was written; the message says how."""


def line_of(record: LogRecord) -> bytes:
    r"""The line of a record, with checksum and newline.

    Examples
    --------
    >>> import datetime as dt
    >>> now = dt.datetime(2026, 1, 31, tzinfo=dt.UTC)
    >>> line_of(RejectionRecord(schema_version=1, rejected_at=now, kind="Overloaded", status=429))[-22:]
    b'l,"crc32":"a340c6d8"}\n'
    """
    body = _encode(record)[:-1]
    return body + b',"crc32":"%08x"}\n' % zlib.crc32(body)


def check_line(line: bytes) -> bytes:
    """The record's JSON in a complete line; raises `DamagedLineError` if its checksum does not match."""
    start = len(line) - _TAIL_BYTES
    if start < 0 or not line.startswith(_CHECKSUM, start):
        return line
    body = line[:start]
    if line[start:] != b'%b%08x"}\n' % (_CHECKSUM, zlib.crc32(body)):
        raise DamagedLineError("a wrong checksum")
    return body + b"}"


def has_checksum(line: bytes) -> bool:
    """Whether a complete line carries a checksum; those of version 1 do not."""
    return line.startswith(_CHECKSUM, max(len(line) - _TAIL_BYTES, 0))


def record_of(line: bytes) -> LogRecord:
    """The record of a complete line.

    Raises
    ------
    DamagedLineError
        If the checksum is wrong, or missing from a record newer than version 1, or the line is not a record.
    ContractError
        If this code cannot read the record's version.
    """
    body = check_line(line)
    is_rejection = body.startswith(_REJECTION)
    current = REJECTION_RECORD_VERSION if is_rejection else DECISION_RECORD_VERSION
    try:
        record: LogRecord = (_rejections if is_rejection else _decisions).decode(body)
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        _refuse_newer(body, current)
        raise DamagedLineError(type(error).__name__) from None
    if record.schema_version not in readable_versions(current):
        raise ContractError(_version_message(record.schema_version, current))
    if body is line and (is_rejection or record.schema_version > 1):
        raise DamagedLineError("no checksum")
    return record


def segment_name(number: int) -> str:
    """Name of a segment.

    Examples
    --------
    >>> segment_name(12)
    'decisions-000000000012.jsonl'
    """
    return f"{_PREFIX}{number:012d}{_SUFFIX}"


def number_of(path: Path) -> int:
    """Number of a segment, from its path or its seal's."""
    return int(path.name[len(_PREFIX) :].partition(".")[0])


def seal_path(segment: Path) -> Path:
    """Path of a segment's seal.

    Examples
    --------
    >>> seal_path(Path("log") / segment_name(12)).name
    'decisions-000000000012.seal.json'
    """
    return segment.with_name(segment.name.removesuffix(_SUFFIX) + _SEAL_SUFFIX)


def segment_paths(directory: Path) -> list[Path]:
    """The segments in one folder, oldest first; empty if the folder is missing."""
    return sorted(directory.glob(f"{_PREFIX}{_DIGITS}{_SUFFIX}"))


def seal_paths(directory: Path) -> list[Path]:
    """The seals in one folder, oldest first; the seal of a segment that was shipped and deleted stays."""
    return sorted(directory.glob(f"{_PREFIX}{_DIGITS}{_SEAL_SUFFIX}"))


def next_number(directory: Path) -> int:
    """Number after the highest one that the folder has or had; a number is never used again."""
    known = map(number_of, (*segment_paths(directory)[-1:], *seal_paths(directory)[-1:]))
    head = known_head(directory)
    return max(0 if head is None else head.newest, *known, 0) + 1


def log_folders(directory: Path) -> list[Path]:
    """The folders that hold a log's segments: its own, then the workers' by number."""
    workers = [
        path
        for path in directory.glob(f"{_WORKER_PREFIX}*")
        if path.name.removeprefix(_WORKER_PREFIX).isdecimal() and path.is_dir()
    ]
    return [directory, *sorted(workers, key=_worker_number)]


def worker_folder(directory: Path, worker: int, workers: int) -> Path:
    """The folder that one of a server's workers writes to.

    Examples
    --------
    >>> worker_folder(Path("log"), 0, 1), worker_folder(Path("log"), 1, 4)
    (PosixPath('log'), PosixPath('log/worker-1'))
    """
    return directory if workers == 1 else directory / f"{_WORKER_PREFIX}{worker}"


def leftover_folders(directory: Path, workers: int) -> list[Path]:
    """Folders with segments that none of `workers` writes to, left by an earlier number of workers."""
    in_use = {worker_folder(directory, worker, workers) for worker in range(workers)}
    return [folder for folder in log_folders(directory) if folder not in in_use and segment_paths(folder)]


def read_records(directory: Path, offsets: Mapping[str, int] | None = None) -> Iterator[LoggedRecord[LogRecord]]:
    """Every record of the log, complete lines only, folder by folder, oldest segment first.

    Parameters
    ----------
    offsets
        Byte offset to start from (`LoggedRecord.end`) by segment name; other segments are read from the beginning.

    Raises
    ------
    ContractError
        If a complete line is not a record or was damaged; names the segment and the offset.
    """
    for folder in log_folders(directory):
        for path in segment_paths(folder):
            name = path.relative_to(directory).as_posix()
            yield from read_segment(path, (offsets or {}).get(name, 0), name)


def read_segment(path: Path, offset: int = 0, name: str | None = None) -> Iterator[LoggedRecord[LogRecord]]:
    """The records of one segment from `offset`; raises as `read_records`."""
    name = path.name if name is None else name
    with path.open("rb") as segment:
        segment.seek(offset)
        for line in segment:
            if not line.endswith(b"\n"):
                return
            end = offset + len(line)
            yield LoggedRecord(name, offset, end, _read(line, path, offset))
            offset = end


def find_records(directory: Path, decision_id: str) -> list[LoggedRecord[DecisionRecord]]:
    """The decision records of one id in any slot, oldest first; only lines that contain the id are decoded.

    Raises
    ------
    ContractError
        If such a line is not a record.
    """
    mention = msgspec.json.encode(decision_id)
    matches = []
    for folder in log_folders(directory):
        for path in segment_paths(folder):
            name = path.relative_to(directory).as_posix()
            for offset, line in lines_with(path, mention):
                record = _read(line, path, offset)
                if isinstance(record, DecisionRecord) and record.decision_id == decision_id:
                    matches.append(LoggedRecord(name, offset, offset + len(line), record))
    return sorted(matches, key=lambda logged: logged.record.decided_at)


def lines_with(path: Path, mention: bytes) -> Iterator[tuple[int, bytes]]:
    """The complete lines of a segment that contain some bytes, each with its offset; nothing is decoded."""
    offset = 0
    with path.open("rb") as segment:
        for line in segment:
            if mention in line and line.endswith(b"\n"):
                yield offset, line
            offset += len(line)


def recent_records(directory: Path, limit: int) -> list[DecisionRecord]:
    """The last answered decisions of the log, at most `limit`, oldest first; no shadows, no rejections.

    After a line that is damaged or of a newer version, the rest of its segment is skipped and logged: it must not
    prevent a server from starting.
    """
    if limit == 0:
        return []
    recent: list[DecisionRecord] = []
    for folder in log_folders(directory):
        recent += _recent_of(folder, limit)
    return sorted(recent, key=lambda record: record.decided_at)[-limit:]


def repair_segment(path: Path) -> int:
    """Truncate a segment after its last complete record, as a crash requires; returns the bytes removed.

    None of them was answered: an answer waits until its line is written. They are appended to a file next to the
    segment that ends in ``.torn``. Only the folder's writer may call this.
    """
    content = path.read_bytes()
    whole = _end_of_last_record(content)
    if whole == len(content):
        return 0
    torn = os.open(path.with_suffix(".torn"), os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
    with os.fdopen(torn, "ab") as kept:
        kept.write(content[whole:])
        flush_file(kept)
    with path.open("r+b") as segment:
        segment.truncate(whole)
        flush_file(segment)
    return len(content) - whole


def _recent_of(folder: Path, limit: int) -> list[DecisionRecord]:
    recent: list[DecisionRecord] = []
    for path in reversed(segment_paths(folder)):
        recent = _answers_of(path) + recent
        if len(recent) >= limit:
            break
    return recent[-limit:]


def _answers_of(path: Path) -> list[DecisionRecord]:
    answers: list[DecisionRecord] = []
    try:
        records = (logged.record for logged in read_segment(path))
        answers.extend(record for record in records if isinstance(record, DecisionRecord) and record.slot != "shadow")
    except ContractError as error:
        logger.error("repeats of the decisions after this line are not recognised: %s", error)
    return answers


def _end_of_last_record(content: bytes) -> int:
    end = content.rfind(b"\n") + 1
    while end > 0:
        start = content.rfind(b"\n", 0, end - 1) + 1
        if _is_whole(content[start:end]):
            break
        end = start
    return end


def _is_whole(line: bytes) -> bool:
    """Whether a line was written completely; a line of a newer version is, if its checksum matches."""
    try:
        check_line(line)
    except DamagedLineError:
        return False
    if has_checksum(line):
        return True
    try:
        record_of(line)
    except (DamagedLineError, ContractError):
        return False
    return True


def _read(line: bytes, path: Path, offset: int) -> LogRecord:
    try:
        return record_of(line)
    except DamagedLineError as error:
        raise ContractError(
            f"Expected a decision record, got {error}; the segment was damaged after it was written "
            f"- at {path}, byte {offset}"
        ) from None
    except ContractError as error:
        raise ContractError(f"{error} - at {path}, byte {offset}") from None


def _refuse_newer(body: bytes, current: int) -> None:
    try:
        loose = msgspec.json.decode(body)
    except (msgspec.DecodeError, UnicodeDecodeError):
        return
    version = loose.get("schema_version") if isinstance(loose, dict) else None
    if isinstance(version, int) and version > current:
        raise ContractError(_version_message(version, current)) from None


def _version_message(version: int, current: int) -> str:
    readable = " or ".join(map(str, readable_versions(current)))
    return f"Expected schema_version {readable}, got {version}; upgrade this installation"


def _worker_number(folder: Path) -> int:
    return int(folder.name.removeprefix(_WORKER_PREFIX))
