"""Verifies a ledger offline, with public keys only, and names the first bad record and the kind of damage.

====================  ==================================================================================================
`changed`             a record's bytes do not have the hash that was written with them, or it cannot be read
`deleted`             a record is missing between two others
`inserted`            a record stands in the place of another one, or repeats one
`swapped`             records are not in their order
`rewritten`           a record and its hash were written again: the checkpoint that covers it has another root
`truncated`           records are missing that a checkpoint, a release or a saved checkpoint covers
`forked`              two signed heads of the same size differ
`foreign_key`         another key than the trusted ones signed a checkpoint
`bad_checkpoint`      a checkpoint was changed, repeated, removed between others, or names another ledger
`missing_release`     a release that was written is not in the store
`unrecorded_release`  a release names no head of this ledger, and no record names the release
`other_release`       a release differs from the record that announced it, or from the file that was recorded
`missing_approval`    an approval or a waiver that was written is not in the store
`other_approval`      an approval or a waiver was changed, or is not the one that the ledger recorded
`missing_order`       a freeze, the end of one or a resume that was written is not in the store
`other_order`         a freeze, the end of one or a resume was changed, or is not the one that the ledger recorded
====================  ==================================================================================================

A holder of the signing key can write another ledger with other releases. Records after the last head that a release
names can be removed together with their checkpoints. Only a checkpoint that somebody else keeps shows either of them:
`verify_ledger` takes such saved checkpoints.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from lifecycle.releases.ledger.files import (
    CHECKPOINTS_FILE,
    LEDGER_FOLDER,
    RECORDS_FILE,
    Lines,
    is_end_of_killed_writer,
    note_of,
    read_lines,
)
from lifecycle.releases.ledger.merkle import GrowingTree
from lifecycle.releases.ledger.notes import (
    Checkpoint,
    ForeignKeyError,
    Head,
    NoteError,
    open_checkpoint,
)
from lifecycle.releases.ledger.records import FIRST_PREVIOUS, LedgerError, Record, read_record, split_line
from serving.artefacts.signatures import PublicKeys

Damage = Literal[
    "changed",
    "deleted",
    "inserted",
    "swapped",
    "rewritten",
    "truncated",
    "forked",
    "foreign_key",
    "bad_checkpoint",
    "missing_release",
    "unrecorded_release",
    "other_release",
    "missing_approval",
    "other_approval",
    "missing_order",
    "other_order",
]


@dataclass(frozen=True, slots=True)
class Problem:
    """Damage, the first record that it concerns (``None`` if it concerns a release alone), and what was found."""

    damage: Damage
    sequence: int | None
    message: str


@dataclass(frozen=True, slots=True)
class Verification:
    """Result of a verification.

    `problems` begins with the ledger's own first one. `notices` are states that a killed writer leaves. `records` are
    those in front of the first problem.
    """

    origin: str | None
    head: Head | None
    records: tuple[Record, ...]
    roots: tuple[bytes, ...]
    problems: tuple[Problem, ...]
    notices: tuple[str, ...]
    last_note: str | None = None


def verify_ledger(store: Path, keys: PublicKeys, saved: Sequence[str] = ()) -> Verification:
    """Verify the ledger of a release store by itself and against saved checkpoints; `expect_releases` adds releases.

    Parameters
    ----------
    saved
        Notes of checkpoints that somebody kept.

    Raises
    ------
    OSError
        If a file cannot be read.
    """
    folder = store / LEDGER_FOLDER
    # The checkpoints first: a writer that is at work adds a record before its checkpoint.
    notes = read_lines(folder / CHECKPOINTS_FILE)
    written = read_lines(folder / RECORDS_FILE)
    checkpoints, fault = _signed_checkpoints(notes.lines, keys)
    records, roots, damage = _read_records(written.lines, checkpoints)
    earliest = min(filter(None, (damage, fault)), key=lambda problem: problem.sequence or 0, default=None)
    if earliest is None and len(records) < len(checkpoints):
        earliest = _truncated(len(records), len(checkpoints), f"checkpoint {len(checkpoints)}")
    if earliest is None:
        earliest = _unsigned_end(written, notes)
    head = Head(len(roots), roots[-1]) if roots and earliest is None else None
    origin = checkpoints[0].origin if checkpoints else None
    problems = [earliest] if earliest else list(_against_saved(origin, roots, saved, keys))
    notices = () if earliest else _notices(written, notes, len(checkpoints))
    last_note = note_of(notes.lines[-1]) if head is not None else None
    return Verification(origin, head, tuple(records), tuple(roots), tuple(problems), notices, last_note)


def _signed_checkpoints(lines: Sequence[bytes], keys: PublicKeys) -> tuple[list[Checkpoint], Problem | None]:
    """The checkpoints up to the first bad one."""
    checkpoints: list[Checkpoint] = []
    for number, line in enumerate(lines, start=1):
        checkpoint = _checkpoint(line, number, checkpoints, keys)
        if isinstance(checkpoint, Problem):
            return checkpoints, checkpoint
        checkpoints.append(checkpoint)
    return checkpoints, None


def _checkpoint(line: bytes, number: int, before: Sequence[Checkpoint], keys: PublicKeys) -> Checkpoint | Problem:
    try:
        note = note_of(line)
        checkpoint = open_checkpoint(note, keys)
        if note.count("\n") != _LINES_OF_A_NOTE:
            raise NoteError("Expected one signature, got further lines")
    except ForeignKeyError as error:
        return Problem("foreign_key", number, f"checkpoint {number}: {error}")
    except NoteError as error:
        return Problem("bad_checkpoint", number, f"checkpoint {number}: {error}")
    size = checkpoint.head.size
    if 0 < size < number and before[size - 1].head != checkpoint.head:
        return Problem("forked", size, f"two signed checkpoints of {size} records have different roots")
    if before and checkpoint.origin != before[0].origin:
        return Problem("bad_checkpoint", number, f"checkpoint {number} is one of another ledger, {checkpoint.origin}")
    if size != number:
        return Problem("bad_checkpoint", number, f"expected checkpoint {number}, found that of {size} records")
    return checkpoint


_LINES_OF_A_NOTE = 5


def _read_records(
    lines: Sequence[bytes], checkpoints: Sequence[Checkpoint]
) -> tuple[list[Record], list[bytes], Problem | None]:
    """The records that checkpoints cover, up to the first bad one, and the root after each."""
    tree, records, roots, previous = GrowingTree(), list[Record](), list[bytes](), FIRST_PREVIOUS
    for number, (line, checkpoint) in enumerate(zip(lines, checkpoints, strict=False), start=1):
        try:
            leaf, content = split_line(line)
            record = read_record(content)
        except LedgerError as error:
            return records, roots, Problem("changed", number, f"record {number} was changed: {error}")
        if record.sequence != number:
            return records, roots, _out_of_order(number, record.sequence, lines)
        tree.append(leaf)
        if record.previous != previous or tree.root() != checkpoint.head.root:
            return records, roots, _replaced(number, lines, is_linked=record.previous == previous)
        previous = leaf.hex()
        records.append(record)
        roots.append(checkpoint.head.root)
    return records, roots, None


def _replaced(number: int, lines: Sequence[bytes], *, is_linked: bool) -> Problem:
    if [_sequence_of(line) for line in lines].count(number) > 1:
        return Problem("inserted", number, f"another record {number} was inserted in front of record {number}")
    found = "another root than the signed one" if is_linked else f"no link to record {number - 1}"
    return Problem("rewritten", number, f"record {number} is not the one that was signed: it gives {found}")


def _out_of_order(number: int, found: int, lines: Sequence[bytes]) -> Problem:
    sequences = [_sequence_of(line) for line in lines]
    if sequences.count(found) > 1:
        message = f"a record {found} was inserted in the place of record {number}"
        return Problem("inserted", number, message)
    if number in sequences[number:]:
        return Problem("swapped", number, f"record {found} stands in the place of record {number}")
    if found > number:
        last = f" to {found - 1}" if found > number + 1 else ""
        return Problem("deleted", number, f"record {number}{last} is missing in front of record {found}")
    return Problem("inserted", number, f"a record {found} was inserted in the place of record {number}")


def _sequence_of(line: bytes) -> int | None:
    try:
        return read_record(split_line(line)[1]).sequence
    except LedgerError:
        return None


def _against_saved(
    origin: str | None, roots: Sequence[bytes], saved: Sequence[str], keys: PublicKeys
) -> Iterator[Problem]:
    for note in saved:
        try:
            checkpoint = open_checkpoint(note, keys)
        except NoteError as error:
            damage: Damage = "foreign_key" if isinstance(error, ForeignKeyError) else "bad_checkpoint"
            yield Problem(damage, None, f"the saved checkpoint: {error}")
            continue
        size = checkpoint.head.size
        if checkpoint.origin != origin:
            yield Problem("forked", None, f"the saved checkpoint is one of {checkpoint.origin}, the ledger is {origin}")
        elif (problem := head_problem(checkpoint.head, roots, f"the saved checkpoint of {size} records")) is not None:
            yield problem


def head_problem(head: Head, roots: Sequence[bytes], where: str) -> Problem | None:
    """Damage that a signed head shows, which something outside the ledger's files holds; ``None`` if it agrees."""
    if head.size > len(roots):
        return _truncated(len(roots), head.size, where)
    if head.size < 1 or roots[head.size - 1] != head.root:
        return Problem("forked", head.size, f"{where} has another root than this ledger had with {head.size} records")
    return None


def _truncated(found: int, expected: int, where: str) -> Problem:
    count = f"record {expected} is" if expected == found + 1 else f"records {found + 1} to {expected} are"
    return Problem("truncated", found + 1, f"{count} missing, which {where} covers")


def _unsigned_end(written: Lines, notes: Lines) -> Problem | None:
    """Damage at the end that no killed writer leaves: it writes a record once the one before it is signed."""
    unsigned, number = len(written.lines) - len(notes.lines), len(notes.lines) + 1
    if is_end_of_killed_writer(unsigned, written.torn, notes.torn):
        return None
    return Problem("bad_checkpoint", number, f"checkpoint {number} and what follows it are missing or torn")


def _notices(written: Lines, notes: Lines, covered: int) -> tuple[str, ...]:
    unsigned = len(written.lines) - covered
    notices = []
    if unsigned > 0:
        notices.append(f"{unsigned} record after the last checkpoint is not signed and not part of the ledger")
    if written.torn or notes.torn:
        notices.append("the last line is torn and not part of the ledger")
    return tuple(f"{notice}: a writer was killed, and the next one sets it aside" for notice in notices)
