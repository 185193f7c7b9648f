"""Frozen training sets: Parquet snapshots named by the digest of their content, written as a stream."""

import datetime as dt
import os
import shutil
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import msgspec

from lifecycle.artefacts.erased_examples import EXAMPLES_FILE, SnapshotCheck, check_snapshot, erase_rows, tombstones
from lifecycle.errors import LifecycleError
from lifecycle.spec.risk_model import RiskModelSpec
from serving.storage.crash_points import crash_point
from serving.storage.durable import (
    flush_file,
    flush_path,
    rename_flushed,
    write_file,
    write_flushed,
)
from serving.storage.locks import lock_folder
from serving.storage.temporary_folders import temporary_folder

if TYPE_CHECKING:
    import pyarrow as pa

DESCRIPTION_FILE = "training_set.json"
ROWS_PER_GROUP = 100_000
"""Minimum rows of one Parquet row group, at most twice as many; 20 MB of 25 doubles before compression."""
UNIQUENESS_MEMORY = "256MB"
"""Memory limit of the search for repeated transactions; beyond it DuckDB spills to the snapshot's folder."""


class TrainingSetDescription(msgspec.Struct, frozen=True, kw_only=True):
    """Description of a snapshot: its ``training_set.json``."""

    model: str
    digest: str
    as_of: str
    first_day: str
    end_day: str
    rows: int
    reported: int


@dataclass(frozen=True)
class Selection:
    """The examples of a snapshot: those of ``[first_day, end_day)`` as known before `as_of`."""

    as_of: dt.date
    first_day: dt.date
    end_day: dt.date


@dataclass(frozen=True)
class FrozenTrainingSet:
    """A stored snapshot."""

    folder: Path
    description: TrainingSetDescription


class TrainingSetStore:
    """The snapshots of one model: a folder for each digest, and a pointer for each `as_of`.

    Several processes may write at once. Each locks its temporary folder for as long as it lives, and each writer first
    removes the folders of crashed processes, which are no longer locked.
    """

    def __init__(self, root: Path, model: str) -> None:
        self._model = model
        self._root = root / model

    def write(
        self,
        batches: "Iterable[pa.RecordBatch]",
        spec: RiskModelSpec,
        selection: Selection,
        *,
        is_current: bool = True,
    ) -> FrozenTrainingSet:
        """Freeze the rows as the training set of their `as_of`; idempotent.

        Keeps one row group and one batch in memory. Nothing remains if the rows end with an error. Without
        `is_current` the snapshot is found by its digest alone, as a backtest needs it.

        Parameters
        ----------
        batches
            The examples in order of time, then of transaction id, as `training_batches` yields them.

        Raises
        ------
        LifecycleError
            If there are no rows, they are not in order, or a transaction occurs twice.
        """
        with self._unfinished() as folder:
            description = _write_rows(folder, batches, spec, selection)
            _expect_each_once(folder, spec.columns.id)
            write_flushed(folder / DESCRIPTION_FILE, msgspec.json.format(msgspec.json.encode(description), indent=2))
            flush_path(folder)
            crash_point("training_set.written")
            place = self._root / _name(description.as_of, description.digest)
            with lock_folder(self._root):
                # A concurrent writer of the same name has written the same content.
                if not place.exists():
                    rename_flushed(folder, place)
                crash_point("training_set.frozen")
                if is_current:
                    write_file(self._pointer(description.as_of), place.name.encode())
        return FrozenTrainingSet(place, _described(place / DESCRIPTION_FILE))

    def dates(self) -> set[str]:
        """Every `as_of` that has a snapshot."""
        return {path.name for path in (self._root / "as_of").glob("[0-9]*")}

    def describe(self, as_of: str) -> TrainingSetDescription:
        """The snapshot of an `as_of`.

        Raises
        ------
        LifecycleError
            If it was never frozen.
        """
        return _described(self._folder(as_of) / DESCRIPTION_FILE)

    def find(self, as_of: str, digest: str) -> FrozenTrainingSet | None:
        """The snapshot with this digest, current or not; ``None`` if its folder is gone."""
        file = self._root / _name(as_of, digest) / DESCRIPTION_FILE
        description = _described(file) if file.exists() else None
        if description is None or description.digest != digest:
            return None
        return FrozenTrainingSet(file.parent, description)

    def all(self) -> list[FrozenTrainingSet]:
        """Every snapshot, current or not, by the name of its folder."""
        return [
            FrozenTrainingSet(file.parent, _described(file))
            for file in sorted(self._root.glob(f"*/{DESCRIPTION_FILE}"))
        ]

    def read(self, as_of: str) -> "pa.Table":
        """The rows of the snapshot of an `as_of`.

        Raises
        ------
        LifecycleError
            If it was never frozen.
        """
        import pyarrow.parquet as pq

        return pq.read_table(self._folder(as_of) / EXAMPLES_FILE)

    def read_whole(self, as_of: str, digest: str | None = None) -> "pa.Table":
        """The rows of the snapshot of an `as_of`, from which none was erased: what its digest names.

        Parameters
        ----------
        digest
            Of the snapshot; ``None`` for the current one.

        Raises
        ------
        LifecycleError
            If it was never frozen, or rows were erased.
        """
        import pyarrow.parquet as pq

        folder = self._folder(as_of) if digest is None else self._root / _name(as_of, digest)
        if not folder.is_dir():
            raise LifecycleError(
                f"Expected the training set {digest} of {self._model} as of {as_of}, found none; train again "
                f"- in {self._root}"
            )
        erased = sum(tombstone.rows for tombstone in tombstones(folder).values())
        if erased:
            raise LifecycleError(
                f"Expected the rows that were frozen as of {as_of}, {erased:,} of them were erased; materialise "
                f"{self._model}/training_set and then {self._model}/candidate for that partition - in {self._root}"
            )
        return pq.read_table(folder / EXAMPLES_FILE)

    def check(self, spec: RiskModelSpec, as_of: str, digest: str | None = None) -> SnapshotCheck:
        """Verify the rows of a snapshot of an `as_of`, but for erased ones, against the digest they were frozen with.

        Parameters
        ----------
        digest
            Of the snapshot; ``None`` for the current one.

        Raises
        ------
        LifecycleError
            If there is no such snapshot.
        """
        folder = self._folder(as_of) if digest is None else self._root / _name(as_of, digest)
        try:
            description = _described(folder / DESCRIPTION_FILE)
        except FileNotFoundError:
            raise LifecycleError(
                f"Expected a training set of {self._model} as of {as_of}, found none - at {folder}"
            ) from None
        return check_snapshot(folder, spec.columns, description.digest, description.rows)

    def erase(self, spec: RiskModelSpec, entity: str, entity_hash: str) -> dict[str, int]:
        """Remove an entity's rows from every snapshot and leave a tombstone in its folder; idempotent.

        The tombstone is written first, so that a crash leaves none of the rows without one. The snapshot keeps its
        digest, which names the examples that its models learned from.

        Returns
        -------
        dict
            Removed rows by snapshot, those of an interrupted earlier call included.
        """
        removed = {}
        with lock_folder(self._root) if self._root.exists() else nullcontext():
            for description in sorted(self._root.glob(f"*/{DESCRIPTION_FILE}")):
                digest = _described(description).digest
                rows = erase_rows(description.parent, spec.columns, digest, entity, entity_hash)
                if rows:
                    removed[description.parent.name] = rows
        return removed

    def _pointer(self, as_of: str) -> Path:
        return self._root / "as_of" / as_of

    def _folder(self, as_of: str) -> Path:
        try:
            return self._root / self._pointer(as_of).read_text()
        except FileNotFoundError:
            raise LifecycleError(
                f"Expected a training set of {self._model} as of {as_of}, found no pointer; materialise the asset "
                f"{self._model}/training_set for that partition - in {self._root}"
            ) from None

    @contextmanager
    def _unfinished(self) -> Iterator[Path]:
        """A temporary folder for the block; what crashed writers left is removed first, their pointers' files too."""
        with temporary_folder(self._root) as folder:
            with lock_folder(self._root):  # a pointer's temporary file has no lock of its own
                for file in (self._root / "as_of").glob(".*.tmp"):
                    file.unlink(missing_ok=True)
            yield folder


def _name(as_of: str, digest: str) -> str:
    return f"{as_of}-{digest[:16]}"


def _described(file: Path) -> TrainingSetDescription:
    return msgspec.json.decode(file.read_bytes(), type=TrainingSetDescription)


def _write_rows(
    folder: Path, batches: "Iterable[pa.RecordBatch]", spec: RiskModelSpec, selection: Selection
) -> TrainingSetDescription:
    """Write the rows to a file, row group by row group, and compute their digest."""
    import pyarrow.parquet as pq

    from lifecycle.tables.content_digest import ContentDigest

    digest = ContentDigest(spec.columns.occurred_at, spec.columns.id)
    reported, writer = 0, None
    with open(folder / EXAMPLES_FILE, "xb", opener=_private) as file:
        try:
            for group in _row_groups(batches):
                if writer is None:
                    writer = pq.ParquetWriter(file, group.schema, compression="zstd")
                for batch in group.to_batches():
                    digest.update(batch)
                reported += group.num_rows - group.column(spec.label.known_column).null_count
                writer.write_table(group, row_group_size=2 * ROWS_PER_GROUP)
                crash_point("training_set.row_group")
                # Free these rows before the next ones are gathered.
                del group, batch
        finally:
            if writer is not None:
                writer.close()
        flush_file(file)
    if digest.rows == 0:
        raise LifecycleError(
            f"Expected examples from {selection.first_day} to {selection.end_day}, got no rows "
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
    """The rows in tables of at least `ROWS_PER_GROUP`, except the last: a day is often far smaller."""
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
    """Refuse a transaction that occurs twice, even at different times.

    Checks the file, not the warehouse, because a model will be fitted on the file; DuckDB counts more ids than fit into
    memory. The check of the order has already refused repeats at the same time.
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
            f"Expected each {transaction} once, got repeats, first in the rows "
            f"{[row for (row,) in repeated]} - at the training set"
        )
