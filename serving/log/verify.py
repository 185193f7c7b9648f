"""``python -m serving.log.verify DIR`` checks that a decision log is complete and unchanged.

It reads every line and every seal, and may run while the server writes.
"""

import argparse
import itertools
import sys
from collections.abc import Iterator, Sequence
from collections.abc import Set as AbstractSet
from pathlib import Path
from typing import Final

import msgspec

from serving.contract.documents import ContractError, Struct, digest
from serving.log.head import HEAD_FILE, read_head
from serving.log.seals import Seal, file_digest, read_seal
from serving.log.segments import (
    DamagedLineError,
    has_checksum,
    log_folders,
    number_of,
    record_of,
    seal_path,
    seal_paths,
    segment_name,
    segment_paths,
)
from serving.log.shipping.cursor import delivered, finished_through
from serving.log.shipping.quarantine import QuarantinedRecord, damage_of

_DAMAGES_PER_SEGMENT: Final = 20
_HELP: Final = """\
Checks a decision log without changing it: the checksum of each line, the digests and the chain of the seals, and that
no segment is missing, the newest (head.json has its number) and the oldest ones included. DIR is the server's
SERVING_LOG_DIR; the folders of its workers are checked too.

Reported, but not as damage: segments at the end that are not sealed yet (the open one, or those that a killed server
left; its next start seals them), an unfinished last line of such a segment, lines of schema version 1, which have no
checksum, and deleted segments whose seals are still there, if the shipping cursor (shipped.json) confirms that their
destination has them, and records that the destination refuses because of their size, whose lines are in quarantine.

An attacker who can write to the folder can change head.json and the cursor too: compare the last seal's digest, printed
here, with one that was shipped elsewhere.

Exit code: 0 if the log is intact, 1 if anything is damaged or missing, 2 if DIR is not a folder.
"""


class Damage(Struct, frozen=True, kw_only=True):
    """One damage; `byte` is the offset of the damaged line, ``None`` if the damage is not in one line."""

    segment: str
    byte: int | None
    problem: str


class LogReport(Struct, frozen=True, kw_only=True):
    """Content and damages of a log.

    `quarantined` are the records that are not shipped because they are over the destination's limit.
    `retired` counts segments that were deleted after they were shipped, and whose seals exist; `unfinished_bytes` the
    bytes of incomplete last lines; `last_seals` holds the digest of the newest seal file by folder (``.`` for the log's
    own).
    """

    segments: int
    sealed: int
    retired: int
    records: int
    without_checksum: int
    bytes: int
    unfinished_bytes: int
    last_seals: dict[str, str]
    quarantined: tuple[QuarantinedRecord, ...]
    damages: tuple[Damage, ...]

    @property
    def is_whole(self) -> bool:
        """Whether nothing is damaged or missing."""
        return not self.damages


class _Tally:
    """The report while it is counted."""

    def __init__(self) -> None:
        self.segments = self.sealed = self.retired = self.records = self.without_checksum = 0
        self.bytes = self.unfinished_bytes = 0
        self.last_seals: dict[str, str] = {}
        self.quarantined: list[QuarantinedRecord] = []
        self.damages: list[Damage] = []

    def damage(self, segment: str, problem: str, byte: int | None = None) -> None:
        self.damages.append(Damage(segment=segment, byte=byte, problem=problem))


def verify_log(directory: Path) -> LogReport:
    """Check a log and the folders of its workers; changes nothing.

    Raises
    ------
    OSError
        If a file cannot be read.
    """
    tally = _Tally()
    for folder in log_folders(directory):
        _verify_folder(folder, directory, tally)
    return LogReport(
        segments=tally.segments,
        sealed=tally.sealed,
        retired=tally.retired,
        records=tally.records,
        without_checksum=tally.without_checksum,
        bytes=tally.bytes,
        unfinished_bytes=tally.unfinished_bytes,
        last_seals=tally.last_seals,
        quarantined=tuple(tally.quarantined),
        damages=tuple(tally.damages),
    )


def _verify_folder(folder: Path, directory: Path, tally: _Tally) -> None:
    segments = {number_of(path): path for path in segment_paths(folder)}
    # Newest first: a segment that is sealed while this runs must not look unsealed before a sealed one.
    contents = {number_of(path): path.read_bytes() for path in reversed(seal_paths(folder))}
    seals = dict(_seals(folder, directory, contents, tally))
    _verify_chain(folder, directory, contents, seals, tally)
    newest_seal, missing = max(contents, default=0), []
    for number in _expected_numbers(folder, directory, segments.keys() | contents.keys(), seals, tally):
        path = folder / segment_name(number)
        name = path.relative_to(directory).as_posix()
        if number in segments:
            if number not in contents and number < newest_seal:
                tally.damage(name, "its seal is missing, but a later segment is sealed")
            try:
                _verify_segment(path, name, seals.get(number), number in contents, tally)
                continue
            except FileNotFoundError:  # deleted since it was listed
                pass
        if number in contents and number <= finished_through(folder):
            tally.retired += 1
        else:
            missing.append(number)
    for first, count in _runs(missing):
        name = (folder / segment_name(first)).relative_to(directory).as_posix()
        others = f", and so are the {count - 1} after it" if count > 1 else ""
        tally.damage(name, f"the segment is missing{others}; no cursor confirms that it was shipped")
    _verify_quarantine(folder, tally)
    if contents:
        tally.last_seals[folder.relative_to(directory).as_posix()] = digest(contents[newest_seal])


def _expected_numbers(
    folder: Path, directory: Path, known: AbstractSet[int], seals: dict[int, Seal], tally: _Tally
) -> range:
    """Numbers of all segments that the folder has or had."""
    head = None
    try:
        head = read_head(folder)
    except ContractError as error:
        tally.damage((folder / HEAD_FILE).relative_to(directory).as_posix(), str(error))
    cursor = delivered(folder)
    shipped = (cursor.finished_through, *(number_of(Path(name)) for name in cursor.offsets))
    newest = max(0 if head is None else head.newest, *shipped, *known, 0)
    if head is not None:
        return range(head.oldest, newest + 1)
    # A log from before there were heads may have lost its oldest segments before: its first seal names no predecessor.
    oldest = min(known, default=1)
    return range(oldest if oldest in seals and seals[oldest].predecessor is None else 1, newest + 1)


def _verify_quarantine(folder: Path, tally: _Tally) -> None:
    """Check that the line of each record in quarantine is still there."""
    for record in delivered(folder).quarantined:
        tally.quarantined.append(record)
        problem = damage_of(folder, record)
        if problem is not None:
            tally.damage(record.segment, problem, record.byte)


def _runs(numbers: Sequence[int]) -> Iterator[tuple[int, int]]:
    """The first number and the length of each run of consecutive numbers.

    Examples
    --------
    >>> list(_runs([1, 2, 3, 7]))
    [(1, 3), (7, 1)]
    """
    for _, run in itertools.groupby(enumerate(numbers), key=lambda item: item[1] - item[0]):
        members = [number for _, number in run]
        yield members[0], len(members)


def _seals(folder: Path, directory: Path, contents: dict[int, bytes], tally: _Tally) -> Iterator[tuple[int, Seal]]:
    for number in sorted(contents):
        path = seal_path(folder / segment_name(number))
        try:
            yield number, read_seal(path)
        except ContractError as error:
            tally.damage(path.relative_to(directory).as_posix(), str(error))


def _verify_chain(
    folder: Path, directory: Path, contents: dict[int, bytes], seals: dict[int, Seal], tally: _Tally
) -> None:
    """Check that each seal names its own segment and the digest of the previous seal."""
    previous: int | None = None
    for number in sorted(contents):
        name = seal_path(folder / segment_name(number)).relative_to(directory).as_posix()
        predecessor = None if previous is None else digest(contents[previous])
        seal = seals.get(number)
        if seal is not None and seal.segment != segment_name(number):
            tally.damage(name, "the seal names another segment")
        if seal is not None and seal.predecessor != predecessor:
            tally.damage(name, "the previous seal is missing, or differs from the one that this seal names")
        previous = number


def _verify_segment(path: Path, name: str, seal: Seal | None, is_sealed: bool, tally: _Tally) -> None:
    records, size, unfinished = _verify_lines(path, name, tally)
    tally.segments += 1
    tally.sealed += is_sealed
    tally.records += records
    tally.bytes += size
    if unfinished and is_sealed:
        tally.damage(name, "the last line is not complete", size)
    elif unfinished:
        tally.unfinished_bytes += unfinished
    shipped = delivered(path.parent).offsets.get(path.name, 0)
    if size < shipped:
        tally.damage(name, f"Expected at least the {shipped} bytes that were shipped, got {size}")
    if seal is None:
        return
    if size + unfinished != seal.bytes:
        tally.damage(name, f"Expected {seal.bytes} bytes as sealed, got {size + unfinished}")
    elif file_digest(path) != seal.sha256:
        tally.damage(name, "its digest differs from the seal's")
    elif records != seal.records:
        tally.damage(name, f"Expected {seal.records} records as sealed, got {records}")


def _verify_lines(path: Path, name: str, tally: _Tally) -> tuple[int, int, int]:
    """Numbers of complete lines, of their bytes, and of the bytes after them."""
    records = offset = damaged = 0
    with path.open("rb") as segment:
        for line in segment:
            if not line.endswith(b"\n"):
                return records, offset, len(line)
            records += 1
            try:
                record_of(line)
                tally.without_checksum += not has_checksum(line)
            except (DamagedLineError, ContractError) as error:
                damaged += 1
                if damaged <= _DAMAGES_PER_SEGMENT:
                    tally.damage(name, f"Expected a record, got: {error}", offset)
            offset += len(line)
    if damaged > _DAMAGES_PER_SEGMENT:
        tally.damage(name, f"{damaged - _DAMAGES_PER_SEGMENT} more damaged lines")
    return records, offset, 0


def report_lines(report: LogReport) -> Iterator[str]:
    """The report as text."""
    yield (
        f"{report.records} records in {report.segments} segments, {report.sealed} of them sealed, {report.bytes} bytes"
    )
    if report.retired:
        yield f"{report.retired} older segments were deleted after they were shipped; their seals are here"
    if report.without_checksum:
        yield f"{report.without_checksum} records of schema version 1 have no checksum"
    if report.unfinished_bytes:
        yield f"{report.unfinished_bytes} bytes of unfinished lines at the end of unsealed segments"
    for folder, seal in report.last_seals.items():
        yield f"last seal of {folder}: {seal}"
    for record in report.quarantined:
        yield f"NOT SHIPPED: {record}; its line is in quarantine"
    for damage in report.damages:
        at = damage.segment if damage.byte is None else f"{damage.segment}, byte {damage.byte}"
        yield f"DAMAGED: {damage.problem} - at {at}"
    yield "The log is intact." if report.is_whole else f"The log is damaged in {len(report.damages)} places."


def main(arguments: Sequence[str] | None = None) -> int:
    """Verify the log that the arguments name; returns the exit code."""
    parser = argparse.ArgumentParser(
        prog="python -m serving.log.verify", description=_HELP, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("directory", metavar="DIR", type=Path, help="the decision log's folder")
    parser.add_argument("--json", action="store_true", help="print the report as one JSON document")
    chosen = parser.parse_args(arguments)
    if not chosen.directory.is_dir():
        sys.stderr.write(f"Error: Expected the folder of a decision log, got no folder - at {chosen.directory}\n")
        return 2
    report = verify_log(chosen.directory)
    if chosen.json:
        document = {"is_whole": report.is_whole, **msgspec.to_builtins(report)}
        sys.stdout.write(msgspec.json.format(msgspec.json.encode(document), indent=2).decode() + "\n")
    else:
        sys.stdout.write("".join(f"{line}\n" for line in report_lines(report)))
    return 0 if report.is_whole else 1


if __name__ == "__main__":
    sys.exit(main())
