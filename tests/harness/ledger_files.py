"""A ledger's files, and ways to damage them as somebody would who can write but not sign."""

import json
from pathlib import Path

import msgspec

from lifecycle.releases.ledger.files import CHECKPOINTS_FILE, RECORDS_FILE, note_line
from lifecycle.releases.ledger.log import Ledger
from lifecycle.releases.ledger.merkle import GrowingTree, leaf_hash
from lifecycle.releases.ledger.notes import Checkpoint, Head, sign_note
from lifecycle.releases.ledger.records import content_of, line_of, read_record, split_line
from lifecycle.signing.keys import Keys
from tests.harness.ledger_process import event
from tests.harness.small_models import SmallStore

RECORDS = 8
"""Records of `filled_ledger`, the genesis included."""


class LedgerFiles:
    """The lines of a ledger, to be changed and written back."""

    def __init__(self, store: Path) -> None:
        self._folder = store / "ledger"
        self.records = (self._folder / RECORDS_FILE).read_bytes().splitlines(keepends=True)
        self.checkpoints = (self._folder / CHECKPOINTS_FILE).read_bytes().splitlines(keepends=True)

    def write(self) -> None:
        """Write the lines back."""
        (self._folder / RECORDS_FILE).write_bytes(b"".join(self.records))
        (self._folder / CHECKPOINTS_FILE).write_bytes(b"".join(self.checkpoints))

    def forged(self, number: int, model: str) -> bytes:
        """The line of record `number` with another model, its hash computed again."""
        record = read_record(split_line(self.records[number - 1][:-1])[1])
        return line_of(content_of(msgspec.structs.replace(record, model=model)))

    def chain(self, start: int) -> None:
        """Link the records from `start` on again: numbers, predecessors and hashes as a writer would have made them."""
        for index in range(start - 1, len(self.records)):
            previous = self.records[index - 1][:64].decode() if index else "0" * 64
            record = read_record(split_line(self.records[index][:-1])[1])
            linked = msgspec.structs.replace(record, sequence=index + 1, previous=previous)
            self.records[index] = line_of(content_of(linked))

    def sign(self, keys: Keys, origin: str | None = None) -> None:
        """Sign every state again with a key."""
        name = origin or json.loads(self.checkpoints[0]).partition("\n")[0]
        tree = GrowingTree()
        self.checkpoints = []
        for line in self.records:
            tree.append(leaf_hash(line[65:-1]))
            text = Checkpoint(name, Head(tree.size, tree.root())).text()
            self.checkpoints.append(note_line(sign_note(text, name, keys)))


def filled_ledger(store: SmallStore) -> Path:
    """A ledger of `RECORDS` records; returns the release store."""
    ledger = Ledger(store.settings.release_store, store.keys)
    for number in range(RECORDS - 1):
        ledger.append(event("run", number))
    return store.settings.release_store


def flipped(line: bytes, place: int) -> bytes:
    """A line with one bit changed."""
    return line[:place] + bytes([line[place] ^ 1]) + line[place + 1 :]
