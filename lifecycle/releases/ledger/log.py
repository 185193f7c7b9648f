"""Appends to the ledger: one writer at a time, each record signed before it counts, nothing recorded twice.

An append locks the folder, reads what other processes appended since, writes the record, flushes it, and then writes
and flushes a checkpoint. A writer that is killed leaves at most one record without a checkpoint, or a torn line. It was
never acknowledged: the next writer moves it to ``unsigned/``, and the repeated command records its event again. A
writer signs no record that it did not write itself, and continues no ledger that is damaged.
"""

import datetime as dt
import logging
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from secrets import token_hex

from lifecycle.errors import LifecycleError
from lifecycle.releases.ledger.files import (
    CHECKPOINTS_FILE,
    LEDGER_FOLDER,
    RECORDS_FILE,
    append_line,
    cut,
    is_end_of_killed_writer,
    note_line,
    note_of,
    read_lines,
)
from lifecycle.releases.ledger.merkle import GrowingTree
from lifecycle.releases.ledger.notes import Checkpoint, Head, open_checkpoint, read_checkpoint, sign_note
from lifecycle.releases.ledger.records import (
    FIRST_PREVIOUS,
    Actor,
    Event,
    LedgerError,
    Link,
    Record,
    content_of,
    line_of,
    read_link,
    read_record,
    record_of,
    split_line,
)
from lifecycle.releases.ledger.releases_seen import KINDS_WITH_RELEASES, ReleasesSeen, released_files
from lifecycle.signing.keys import Keys
from serving.storage.locks import lock_folder

PLATFORM = Actor(kind="platform", name="lifecycle")
ORIGIN_PREFIX = "lifecycle-ledger/"
_REMEDY = "`lifecycle ledger verify` names the damage; restore the folder from a backup"
_log = logging.getLogger(__name__)


class Ledger:
    """The ledger of a release store, in its folder ``ledger/``.

    Parameters
    ----------
    store
        The release store.
    keys
        Signs the checkpoints, and verifies the last one before anything is appended.
    """

    def __init__(self, store: Path, keys: Keys) -> None:
        self.folder = store / LEDGER_FOLDER
        self._store = store
        self._keys = keys
        self._state = _State()

    def append(self, event: Event) -> Head:
        """Record an event; returns the head that covers it. Idempotent: the same event is recorded once.

        Raises
        ------
        LedgerError
            If the ledger is damaged or cannot be written.
        """
        with self.locked() as writer:
            return writer.append(event)

    @contextmanager
    def locked(self) -> Iterator["Writer"]:
        """Lock the ledger for several records, or for a record and the act that it announces; raises as `append`."""
        try:
            self.folder.mkdir(parents=True, exist_ok=True, mode=0o700)
            lock = lock_folder(self.folder)
        except OSError as error:
            raise _not_written(error, self.folder) from error
        with lock:
            try:
                self._catch_up()
                writer = Writer(self.folder, self._keys, self._state)
                if not self._state.tree.size:
                    self._begin(writer)
            except OSError as error:
                raise _not_written(error, self.folder) from error
            yield writer

    def _begin(self, writer: "Writer") -> None:
        files = released_files(self._store)
        if files.named_head is not None:
            raise LedgerError(
                f"Expected the ledger that {files.named_head} names, found none; restore it from a backup "
                f"- at {self.folder}"
            )
        origin = f"{ORIGIN_PREFIX}{token_hex(8)}"
        self._state.origin = origin
        facts = {"origin": origin, "releases": files.digests, "switches": files.switches}
        writer.append(Event(kind="genesis", model=None, actor=PLATFORM, facts=facts, occasion="genesis"))

    def _catch_up(self) -> None:
        """Read what was appended since the last call, and set an unsigned end aside."""
        try:
            self._state = _caught_up(self.folder, self._keys, self._state)
        except LifecycleError as error:
            self._state = _State()
            raise LedgerError(f"{error}; {_REMEDY} - at {self.folder}") from error


class Writer:
    """Appends while the ledger is locked."""

    def __init__(self, folder: Path, keys: Keys, state: "_State") -> None:
        self._folder = folder
        self._keys = keys
        self._state = state

    @property
    def head(self) -> Head:
        """Head of the ledger."""
        return self._state.head

    @property
    def releases(self) -> ReleasesSeen:
        """Releases that the ledger holds."""
        return self._state.releases

    def latest_subjects(self, kind: str, model: str) -> tuple[int, Mapping[str, str]] | None:
        """Sequence number and subjects of the last record of a kind and a model."""
        return self._state.latest.get((kind, model))

    def has_head(self, head: Head) -> bool:
        """Whether this is a state that the ledger had."""
        return self._state.heads.get(head.size) == head.root

    def append(self, event: Event) -> Head:
        """As `Ledger.append`."""
        state = self._state
        if event.event_id in state.event_ids:
            return state.head
        record = record_of(event, state.tree.size + 1, dt.datetime.now(dt.UTC), state.previous)
        line = line_of(content_of(record))
        try:
            append_line(self._folder / RECORDS_FILE, line, "ledger.record")
            state.add(record, line)
            state.learn(record)
            note = sign_note(Checkpoint(state.origin, state.head).text(), state.origin, self._keys)
            signed = note_line(note)
            append_line(self._folder / CHECKPOINTS_FILE, signed, "ledger.checkpoint")
            state.confirm(signed)
        except BaseException as error:
            state.forget()
            if isinstance(error, OSError):
                raise _not_written(error, self._folder) from error
            raise
        return state.head


class _State:
    """What is read of a ledger so far: up to a record that a checkpoint covers."""

    def __init__(self) -> None:
        self.forget()

    def forget(self) -> None:
        """Begin again, so that the next call reads the files from their beginning."""
        self.tree = GrowingTree()
        self.origin = ""
        self.previous = FIRST_PREVIOUS
        self.event_ids: set[str] = set()
        self.latest: dict[tuple[str, str | None], tuple[int, Mapping[str, str]]] = {}
        self.releases = ReleasesSeen()
        self.heads: dict[int, bytes] = {}
        self.records_size = 0
        self.checkpoints_size = 0

    @property
    def head(self) -> Head:
        return Head(self.tree.size, self.tree.root())

    def learn(self, record: Record) -> None:
        """Add what the facts of a record say: the origin of the ledger, and the releases that were written."""
        self.releases.add(record)
        if record.kind == "genesis":
            self.origin = str(record.facts["origin"])

    def add(self, record: Link | Record, line: bytes) -> None:
        """Add a record, whose line ends with a line break."""
        hash_in_hex = line[:64].decode()
        self.tree.append(bytes.fromhex(hash_in_hex))
        self.previous = hash_in_hex
        self.event_ids.add(record.event_id)
        self.latest[record.kind, record.model] = (record.sequence, record.subjects)
        self.records_size += len(line)

    def confirm(self, line: bytes) -> None:
        """Add the checkpoint that covers all records so far."""
        self.heads[self.tree.size] = self.tree.root()
        self.checkpoints_size += len(line)


def _caught_up(folder: Path, keys: Keys, state: _State) -> _State:
    records, checkpoints = folder / RECORDS_FILE, folder / CHECKPOINTS_FILE
    if _is_shorter(records, state.records_size) or _is_shorter(checkpoints, state.checkpoints_size):
        state = _State()
    notes = read_lines(checkpoints, state.checkpoints_size)
    written = read_lines(records, state.records_size)
    if len(written.lines) < len(notes.lines):
        raise LedgerError(
            f"Expected {state.tree.size + len(notes.lines)} records, which the checkpoints cover, found "
            f"{state.tree.size + len(written.lines)}"
        )
    for note, line in zip(notes.lines, written.lines, strict=False):
        _read_signed(state, line, note)
    if notes.lines:
        last = open_checkpoint(note_of(notes.lines[-1]), keys.public_keys)
        if last != Checkpoint(state.origin, state.head):
            raise LedgerError(f"Expected the signed state of {last.head.size} records, got another one")
    unsigned = len(written.lines) - len(notes.lines)
    if not is_end_of_killed_writer(unsigned, written.torn, notes.torn):
        raise LedgerError(f"Expected at most one unsigned record at the end, found {unsigned}, or a torn checkpoint")
    if unsigned or written.torn or notes.torn:
        _log.warning("The ledger ends with %d unsigned records, or a torn line; they are set aside", unsigned)
        # The torn checkpoint goes first: until then its record is known to be unsigned.
        _cut_if_longer(checkpoints, state.checkpoints_size)
        _cut_if_longer(records, state.records_size)
    return state


def _read_signed(state: _State, line: bytes, note: bytes) -> None:
    """Add a record and its checkpoint; only the root of the last checkpoint is compared, which covers all."""
    sequence = state.tree.size + 1
    try:
        _, content = split_line(line)
        link = read_link(content)
        if link.kind in KINDS_WITH_RELEASES:
            state.learn(read_record(content))
    except LedgerError as error:
        raise LedgerError(f"Expected record {sequence} as it was written, but {error}") from error
    if (link.sequence, link.previous) != (sequence, state.previous):
        raise LedgerError(f"Expected record {sequence} after record {sequence - 1}, got another one in its place")
    checkpoint = read_checkpoint(note_of(note))
    if checkpoint.head.size != sequence:
        raise LedgerError(f"Expected checkpoint {sequence}, got checkpoint {checkpoint.head.size}")
    state.add(link, line + b"\n")
    state.heads[sequence] = checkpoint.head.root
    state.checkpoints_size += len(note) + 1


def _cut_if_longer(path: Path, size: int) -> None:
    """Cut what follows the first `size` bytes of a file that may be missing."""
    if path.exists():
        cut(path, size)


def _is_shorter(path: Path, size: int) -> bool:
    return (path.stat().st_size if path.exists() else 0) < size


def _not_written(error: OSError, folder: Path) -> LedgerError:
    cause = (error.strerror or type(error).__name__).lower()
    return LedgerError(
        f"Expected to write to the release store, got {cause} - at {folder}; run the command as its owner on a machine "
        "that can write there. Until then the servers go on with the releases that are there; in an emergency stop "
        "scoring at the risk engine"
    )
