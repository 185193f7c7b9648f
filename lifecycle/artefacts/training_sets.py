"""Frozen training sets: Parquet snapshots named by the digest of their content, written while their rows stream by."""

import datetime as dt
import os
import secrets
import shutil
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import msgspec

from lifecycle.errors import LifecycleError
from lifecycle.spec.risk_model import RiskModelSpec
from serving.storage.crash_points import crash_point
from serving.storage.durable import flush_file, flush_path, rename_flushed, write_file, write_flushed
from serving.storage.locks import lock_folder

if TYPE_CHECKING:
    import pyarrow as pa

EXAMPLES_FILE = "examples.parquet"
DESCRIPTION_FILE = "training_set.json"
ROWS_PER_GROUP = 100_000
"""Rows of one Parquet row group: this many and at most twice as many; 20 MB of 25 doubles before compression."""
UNIQUENESS_MEMORY = "256MB"
"""What finding a transaction that is there twice may keep in memory before it spills to the snapshot's folder."""


class TrainingSetDescription(msgspec.Struct, frozen=True, kw_only=True):
    """What a snapshot is: `training_set.json` beside its rows."""

    model: str
    digest: str
    as_of: str
    first_day: str
    end_day: str
    rows: int
    reported: int


@dataclass(frozen=True)
class Selection:
    """Which examples a snapshot holds: those of ``[first_day, end_day)`` as they were known before `as_of`."""

    as_of: dt.date
    first_day: dt.date
    end_day: dt.date


@dataclass(frozen=True)
class FrozenTrainingSet:
    """A snapshot in its place."""

    folder: Path
    description: TrainingSetDescription


class TrainingSetStore:
    """The snapshots of one model: a folder a digest, and for each `as_of` the digest that stands.

    Several processes may write at once: each locks a temporary folder for as long as it lives, and a new writer removes
    the folders whose lock is free.
    """

    def __init__(self, root: Path, model: str) -> None:
        self._model = model
        self._root = root / model

    def write(
        self, batches: "Iterable[pa.RecordBatch]", spec: RiskModelSpec, selection: Selection
    ) -> FrozenTrainingSet:
        """Freeze the rows and let them stand for their `as_of`; the same content again changes nothing.

        Holds a row group and a batch in memory, however many rows there are. Nothing is left if the rows end in an
        error.

        Parameters
        ----------
        batches
            The examples in order of time, then of the transaction's id, as `training_batches` gives them.
        spec
            The model.
        selection
            What they were selected by.

        Raises
        ------
        LifecycleError
            If there are no rows, they are not in order, or a transaction is there twice.
        """
        with self._unfinished() as folder:
            description = _write_rows(folder, batches, spec, selection)
            _expect_each_once(folder, spec.columns.transaction)
            write_flushed(folder / DESCRIPTION_FILE, msgspec.json.format(msgspec.json.encode(description), indent=2))
            flush_path(folder)
            crash_point("training_set.written")
            place = self._root / f"{description.as_of}-{description.digest[:16]}"
            with lock_folder(self._root):
                # Another writer of this name has written the same content.
                if not place.exists():
                    rename_flushed(folder, place)
                crash_point("training_set.frozen")
                write_file(self._pointer(description.as_of), place.name.encode())
        return FrozenTrainingSet(place, self.describe(description.as_of))

    def describe(self, as_of: str) -> TrainingSetDescription:
        """The snapshot that stands for `as_of`.

        Raises
        ------
        LifecycleError
            If there is none.
        """
        content = (self._folder(as_of) / DESCRIPTION_FILE).read_bytes()
        return msgspec.json.decode(content, type=TrainingSetDescription)

    def read(self, as_of: str) -> "pa.Table":
        """The rows of the snapshot that stands for `as_of`.

        Raises
        ------
        LifecycleError
            If there is none.
        """
        import pyarrow.parquet as pq

        return pq.read_table(self._folder(as_of) / EXAMPLES_FILE)

    def _pointer(self, as_of: str) -> Path:
        return self._root / "as_of" / as_of

    def _folder(self, as_of: str) -> Path:
        try:
            return self._root / self._pointer(as_of).read_text()
        except FileNotFoundError:
            raise LifecycleError(
                f"Expected a training set of {self._model} as of {as_of}, found none; materialise the asset "
                f"{self._model}/training_set for that partition - in {self._root}"
            ) from None

    @contextmanager
    def _unfinished(self) -> Iterator[Path]:
        """A temporary folder of this writer's own, gone after the block; what dead writers left goes first."""
        self._root.mkdir(parents=True, exist_ok=True)
        folder = self._root / f".{secrets.token_hex(8)}.tmp"
        with lock_folder(self._root):
            self._remove_abandoned()
            folder.mkdir(mode=0o700)
            lock = lock_folder(folder)
        with lock:
            try:
                yield folder
            finally:
                shutil.rmtree(folder, ignore_errors=True)

    def _remove_abandoned(self) -> None:
        """Remove what dead writers left; to be called alone, since a pointer's temporary file has no lock."""
        for folder in self._root.glob(".*.tmp"):
            # Blocking: its writer is alive. Not found: its writer has just removed it.
            with suppress(BlockingIOError, FileNotFoundError), lock_folder(folder, is_waiting=False):
                shutil.rmtree(folder, ignore_errors=True)
        for file in (self._root / "as_of").glob(".*.tmp"):
            file.unlink(missing_ok=True)


def _write_rows(
    folder: Path, batches: "Iterable[pa.RecordBatch]", spec: RiskModelSpec, selection: Selection
) -> TrainingSetDescription:
    """Write the rows to a file, row group by row group, and take their digest on the way."""
    import pyarrow.parquet as pq

    from lifecycle.tables.content_digest import ContentDigest

    digest = ContentDigest(spec.columns.occurred_at, spec.columns.transaction)
    reported, writer = 0, None
    with open(folder / EXAMPLES_FILE, "xb", opener=_private) as file:
        try:
            for group in _row_groups(batches):
                if writer is None:
                    writer = pq.ParquetWriter(file, group.schema, compression="zstd")
                for batch in group.to_batches():
                    digest.update(batch)
                reported += group.num_rows - group.column(spec.label.reported_at).null_count
                writer.write_table(group, row_group_size=2 * ROWS_PER_GROUP)
                crash_point("training_set.row_group")
                # Otherwise these rows would be held while the next ones are gathered.
                del group, batch
        finally:
            if writer is not None:
                writer.close()
        flush_file(file)
    if digest.rows == 0:
        raise LifecycleError(
            f"Expected examples from {selection.first_day} to {selection.end_day}, got none "
            f"- at the training set of {spec.name} as of {selection.as_of}"
        )
    return TrainingSetDescription(
        model=spec.name,
        digest=digest.hexdigest(),
        as_of=selection.as_of.isoformat(),
        first_day=selection.first_day.isoformat(),
        end_day=selection.end_day.isoformat(),
        rows=digest.rows,
        reported=reported,
    )


def _private(path: str, flags: int) -> int:
    return os.open(path, flags, 0o600)


def _row_groups(batches: "Iterable[pa.RecordBatch]") -> "Iterator[pa.Table]":
    """The rows in tables of at least `ROWS_PER_GROUP` but the last: days are often far smaller."""
    import pyarrow as pa

    gathered: list[pa.RecordBatch] = []
    for batch in batches:
        if batch.num_rows:
            gathered.append(batch)
        if sum(part.num_rows for part in gathered) >= ROWS_PER_GROUP:
            yield pa.Table.from_batches(gathered)
            gathered.clear()
    if gathered:
        yield pa.Table.from_batches(gathered)


def _expect_each_once(folder: Path, transaction: str) -> None:
    """Refuse a transaction that is there twice, at whatever times.

    Asked of the file and not of the warehouse: this is what a model will be fitted on, and DuckDB counts more ids than
    fit into memory. The order of rows has already shown that no two of the same moment are the same.
    """
    import duckdb

    spilled = folder / "spilled"
    configuration = {"memory_limit": UNIQUENESS_MEMORY, "threads": 1, "temp_directory": str(spilled)}
    configuration |= {"autoinstall_known_extensions": False, "autoload_known_extensions": False}
    with duckdb.connect(config=configuration) as connection:
        connection.execute("set enable_progress_bar = false; set preserve_insertion_order = false")
        repeated = connection.execute(
            f'select min(file_row_number) from read_parquet(?, file_row_number = true) group by "{transaction}" '  # noqa: S608 - the model's own column
            "having count(*) > 1 order by 1",
            [str(folder / EXAMPLES_FILE)],
        ).fetchmany(5)
    shutil.rmtree(spilled, ignore_errors=True)
    if repeated:
        raise LifecycleError(
            f"Expected each {transaction} once, got some again, first those of the rows "
            f"{[row for (row,) in repeated]} - at the training set"
        )
