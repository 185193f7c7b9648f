"""Reads the signed part of a ledger without verifying it."""

from pathlib import Path

from lifecycle.releases.ledger.files import CHECKPOINTS_FILE, LEDGER_FOLDER, RECORDS_FILE, note_of, read_lines
from lifecycle.releases.ledger.records import LedgerError, Record, read_record, split_line


def read_records(store: Path) -> list[Record]:
    """The records that checkpoints cover, oldest first.

    Raises
    ------
    LedgerError
        If there is no ledger, or a record is damaged.
    """
    folder = store / LEDGER_FOLDER
    count = len(_checkpoints(store))
    records = []
    for number, line in enumerate(read_lines(folder / RECORDS_FILE).lines[:count], start=1):
        try:
            records.append(read_record(split_line(line)[1]))
        except LedgerError as error:
            raise LedgerError(
                f"Expected record {number} as it was written, but {error}; run `lifecycle ledger verify` - at {folder}"
            ) from error
    return records


def last_note(store: Path) -> str:
    """The note of the last checkpoint; raises `LedgerError` without one, `NoteError` if it cannot be read."""
    return note_of(_checkpoints(store)[-1])


def _checkpoints(store: Path) -> list[bytes]:
    folder = store / LEDGER_FOLDER
    try:
        lines = read_lines(folder / CHECKPOINTS_FILE).lines
    except OSError as error:
        cause = (error.strerror or type(error).__name__).lower()
        raise LedgerError(f"Expected a readable ledger, got {cause} - at {folder}") from error
    if not lines:
        raise LedgerError(
            f"Expected a ledger, found none: the first training, verdict or release begins it - at {folder}"
        )
    return lines
