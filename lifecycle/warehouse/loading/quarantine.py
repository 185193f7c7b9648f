"""Rows that a person lets a load leave out: counted, and written to a file that the person named."""

import csv
import io
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from lifecycle.errors import LifecycleError
from serving.storage.durable import create_once

if TYPE_CHECKING:
    from lifecycle.warehouse.loading.source_files import Source

FILE, ROW, REASON = "rejected_file", "rejected_row", "rejected_because"
"""Columns that the rejects have before those of their file; a load leaves them out, so that corrected rejects load."""


@dataclass(frozen=True)
class RejectedRow:
    """A row that is left out; `values` are the texts of its columns."""

    file: str
    digest: str
    row: int
    reason: str
    values: dict[str, str | None]


@dataclass
class Quarantine:
    """Rejected rows of one load: at most `maximum`, written to `path`; without a path, no row may be rejected."""

    path: Path | None = None
    maximum: int = 0
    rows: list[RejectedRow] = field(default_factory=list)

    def __post_init__(self) -> None:
        if (self.path is None) != (self.maximum == 0):
            raise LifecycleError(
                "Expected --reject-to FILE and --max-rejects N (at least 1) together, got one of them: "
                "rejected rows are written to the file and never dropped"
            )

    @property
    def room(self) -> int:
        """Rows that may still be rejected."""
        return self.maximum - len(self.rows)

    def remedy(self, rows: int) -> str:
        """What to do about `rows` further bad rows that the quarantine does not take."""
        if not self.maximum:
            return "Fix the file, then load it again, or leave such rows out with --reject-to FILE --max-rejects N."
        return f"{len(self.rows) + rows:,} rows would be rejected, more than --max-rejects {self.maximum:,}."

    def add(self, source: "Source", rows: Sequence[dict[str, Any]], reasons: Sequence[str]) -> None:
        """Reject rows of a file, given as texts by column with their number as `_row`."""
        for values, reason in zip(rows, reasons, strict=True):
            number = values.pop("_row")
            self.rows.append(RejectedRow(source.file.name, source.file.digest, number, reason, values))

    def counts(self) -> Counter[tuple[str, str, str]]:
        """Rejected rows by digest and name of their file, and reason."""
        return Counter((row.digest, row.file, row.reason) for row in self.rows)

    def write(self) -> None:
        """Write the rejected rows as CSV, mode 0600; idempotent.

        Raises
        ------
        LifecycleError
            If the file exists with other content, which may hold the only copy of earlier rejects.
        """
        if self.path is None or not self.rows:
            return
        content = self._as_csv()
        try:
            if create_once(self.path, content, "load.rejects") or self.path.read_bytes() == content:
                return
        except OSError as error:
            raise LifecycleError(f"Expected a writable file, got {error.strerror} - at {self.path}") from None
        raise LifecycleError(
            f"Expected a new file for rejected rows, got one that exists - at {self.path}. Nothing was loaded; "
            "name another file with --reject-to."
        )

    def _as_csv(self) -> bytes:
        rows = sorted(self.rows, key=lambda row: (row.file, row.row))
        columns = dict.fromkeys(name for row in rows for name in row.values)
        text = io.StringIO()
        writer = csv.DictWriter(text, [FILE, ROW, REASON, *columns], lineterminator="\n")
        writer.writeheader()
        for row in rows:
            writer.writerow({FILE: row.file, ROW: row.row, REASON: row.reason, **row.values})
        return text.getvalue().encode()
