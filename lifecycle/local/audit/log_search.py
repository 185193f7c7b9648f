"""Finds one decision in a decision log of any size, and checks the segment that holds it.

The log is read line by line, and only lines that contain the id are decoded. Sealed segments outside the span of time
are not read: their seals hold the times of their first and last lines.
"""

import datetime as dt
from collections.abc import Iterator
from pathlib import Path

import msgspec

from lifecycle.artefacts.log_replay import Scope
from lifecycle.errors import LifecycleError
from lifecycle.local.audit.checks import Check, failed, passed, unknown
from serving.contract.documents import ContractError, DecisionRecord, RejectionRecord, digest
from serving.log.seals import Seal, file_digest, read_seal
from serving.log.segments import (
    DamagedLineError,
    lines_with,
    log_folders,
    number_of,
    record_of,
    seal_path,
    seal_paths,
    segment_paths,
)

LISTED = 20
"""Records of one id that are kept; all are counted."""
SEAL_TOLERANCE = dt.timedelta(hours=1)
"""Lines of several connections are not in the order of their times: a segment is skipped only if its first and last
line are this far outside the span."""
DECISION_LOG = "decision log"


class FoundRecord(msgspec.Struct, frozen=True):
    """A record of the decision, and its place."""

    segment: str
    offset: int
    record: DecisionRecord


class RemovedSegments(msgspec.Struct, frozen=True):
    """Segments that are gone and whose seals remain: how many, and the times of their lines."""

    count: int = 0
    first: dt.datetime | None = None
    last: dt.datetime | None = None


class Search(msgspec.Struct, frozen=True):
    """Result of a search.

    `records` are at most `LISTED`, oldest first; `count` is the number of all. `damaged` are lines that name the id and
    cannot be trusted, with their place and fault. `skipped` segments are outside the span by their seals.
    """

    log: str
    records: tuple[FoundRecord, ...]
    count: int
    rejections: tuple[RejectionRecord, ...]
    damaged: tuple[str, ...]
    searched: int
    skipped: int
    removed: RemovedSegments


def search_log(log: Path, decision_id: str, scope: Scope) -> Search:
    """Every record of one decision id, in any slot.

    Raises
    ------
    LifecycleError
        If the log's folder is missing.
    """
    if not log.is_dir():
        raise LifecycleError(
            f"Expected a decision log, found no folder; the first decision of a server makes it - at {log}"
        )
    mention = msgspec.json.encode(decision_id)
    records: list[FoundRecord] = []
    rejections: list[RejectionRecord] = []
    damaged: list[str] = []
    count = searched = skipped = 0
    for path in _segments(log):
        if _is_outside(path, scope):
            skipped += 1
            continue
        searched += 1
        name = path.relative_to(log).as_posix()
        for offset, line in _mentions(path, mention):
            try:
                record = record_of(line)
            except (DamagedLineError, ContractError) as error:
                damaged.append(f"{error} - at {path}, byte {offset}")
                continue
            if record.decision_id != decision_id:
                continue
            if isinstance(record, RejectionRecord):
                if len(rejections) < LISTED:
                    rejections.append(record)
            elif scope.has(record):
                count += 1
                if len(records) < LISTED:
                    records.append(FoundRecord(name, offset, record))
    records.sort(key=lambda found: found.record.decided_at)
    return Search(
        str(log), tuple(records), count, tuple(rejections), tuple(damaged[:LISTED]), searched, skipped, _removed(log)
    )


def not_found(search: Search, decision_id: str, scope: Scope) -> str:
    """Message that there is no record of a decision: where it was searched, and what the log says instead."""
    narrowed = "".join(
        f", {name} {value}"
        for name, value in (("model", scope.model), ("since", scope.since), ("until", scope.until))
        if value is not None
    )
    where = f"{search.searched:,} segments{narrowed}"
    if search.skipped:
        where += f", {search.skipped:,} others are outside the span by their seals"
    found = f"Expected decision {decision_id} in the decision log, found no record in {where}"
    if search.damaged:
        found += f"; {len(search.damaged)} damaged lines name it, first: {search.damaged[0]}"
    if search.rejections:
        kinds = ", ".join(sorted({rejection.kind for rejection in search.rejections}))
        found += f"; requests with this id were rejected and got no decision: {kinds}"
    removed = search.removed
    if removed.count:
        span = (
            f", decided {removed.first:%Y-%m-%d} to {removed.last:%Y-%m-%d}" if removed.first and removed.last else ""
        )
        found += (
            f"; {removed.count:,} segments{span}, were removed after they were shipped, and their seals remain: search "
            "the archive with --log"
        )
    return f"{found} - in {search.log}"


def segment_check(log: Path, segment: str) -> Check:
    """Whether the segment of a record is as it was sealed, and its seal is the one that the next seal names."""
    path = log / segment
    seal_file = seal_path(path)
    later = [seal for seal in seal_paths(path.parent) if number_of(seal) > number_of(path)]
    if not seal_file.exists():
        if later:
            return failed(DECISION_LOG, f"the seal of {segment} is missing, but a later segment is sealed")
        return unknown(
            DECISION_LOG, f"{segment} is not sealed yet: its lines have checksums, and its seal follows when it is full"
        )
    try:
        seal = read_seal(seal_file)
        fault = _seal_fault(path, seal, later[0] if later else None)
    except ContractError as error:
        fault = str(error)
    if fault is not None:
        return failed(DECISION_LOG, fault)
    return passed(DECISION_LOG, f"{segment} is as it was sealed at {seal.sealed_at:%Y-%m-%d %H:%M:%S} UTC")


def _seal_fault(path: Path, seal: Seal, next_file: Path | None) -> str | None:
    """How a segment differs from its seal, or the seal from the one that the next seal names; ``None`` if in nothing.

    Raises `ContractError` if the next seal cannot be read.
    """
    actual = file_digest(path)
    if actual != seal.sha256:
        return f"{path.name} was changed after it was sealed: expected the digest {seal.sha256}, got {actual}"
    if next_file is None or number_of(next_file) != number_of(path) + 1:
        return None
    if read_seal(next_file).predecessor == digest(seal_path(path).read_bytes()):
        return None
    return f"the seal of {path.name} is not the one that the next seal names"


def _segments(log: Path) -> Iterator[Path]:
    for folder in log_folders(log):
        yield from segment_paths(folder)


def _mentions(path: Path, mention: bytes) -> Iterator[tuple[int, bytes]]:
    try:
        yield from lines_with(path, mention)
    except FileNotFoundError:
        return  # shipped and removed while this runs


def _is_outside(path: Path, scope: Scope) -> bool:
    if scope.since is None and scope.until is None:
        return False
    seal = _seal_of(seal_path(path))
    if seal is None or seal.first_decided_at is None or seal.last_decided_at is None:
        return False
    first, last = sorted((seal.first_decided_at, seal.last_decided_at))
    return (scope.since is not None and last + SEAL_TOLERANCE < scope.since) or (
        scope.until is not None and first - SEAL_TOLERANCE >= scope.until
    )


def _removed(log: Path) -> RemovedSegments:
    count, firsts, lasts = 0, list[dt.datetime](), list[dt.datetime]()
    for folder in log_folders(log):
        present = {number_of(path) for path in segment_paths(folder)}
        for path in seal_paths(folder):
            if number_of(path) in present:
                continue
            count += 1
            seal = _seal_of(path)
            if seal is not None and seal.first_decided_at is not None and seal.last_decided_at is not None:
                firsts.append(seal.first_decided_at)
                lasts.append(seal.last_decided_at)
    return RemovedSegments(count, min(firsts, default=None), max(lasts, default=None))


def _seal_of(path: Path) -> Seal | None:
    """A segment's seal; ``None`` if it has none, or one that cannot be read."""
    try:
        return read_seal(path)
    except (OSError, ContractError):
        return None
