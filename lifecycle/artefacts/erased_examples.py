"""Removes an entity's rows from a frozen training set, and verifies what remains.

The description keeps the digest of the rows that the models learned from. Each erasure leaves a tombstone with the
number of removed rows and the digest of the others, so that these can still be verified. Rows plus erased rows make
the frozen number: an interrupted erasure shows as too many rows.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import msgspec

from lifecycle.errors import LifecycleError
from lifecycle.spec.examples import ColumnsSpec
from serving.storage.crash_points import crash_point
from serving.storage.durable import flush_path, replacing, write_file

if TYPE_CHECKING:
    import pyarrow as pa

EXAMPLES_FILE = "examples.parquet"
TOMBSTONES = "tombstones"
"""Folder of a snapshot with a file for each erased entity, named by the keyed hash of its key."""
ROWS_PER_BATCH = 100_000


class Tombstone(msgspec.Struct, frozen=True):
    """Removed rows of one entity, and the digest of the remaining ones.

    `digest` is ``None`` if the file was damaged before, or the erasure is one of a version without digests.
    """

    rows: int
    digest: str | None = None


@dataclass(frozen=True)
class SnapshotCheck:
    """Verification of a snapshot; `problem` is ``None`` if its rows are those of its digest, but for erased ones."""

    digest: str
    """Digest of the rows that were frozen."""
    rows_frozen: int
    rows: int
    """Rows of the file."""
    erased: dict[str, int]
    """Removed rows by the entity's keyed hash."""
    problem: str | None

    @property
    def rows_erased(self) -> int:
        """All removed rows."""
        return sum(self.erased.values())


def tombstones(folder: Path) -> dict[str, Tombstone]:
    """The tombstones of a snapshot by the entity's keyed hash."""
    return {
        file.stem: msgspec.json.decode(file.read_bytes(), type=Tombstone)
        for file in sorted((folder / TOMBSTONES).glob("*.json"))
    }


def erase_rows(folder: Path, columns: ColumnsSpec, digest: str, entity: str, entity_hash: str) -> int:
    """Replace the file of a snapshot by one without an entity's rows; idempotent, also after a crash.

    Reads the file batch by batch. The tombstone is written before the file is replaced, so that a crash leaves none of
    the rows without one.

    Parameters
    ----------
    digest
        Of the rows that were frozen.
    entity
        Id as text.

    Returns
    -------
    int
        Removed rows, those of an interrupted earlier call included.
    """
    known = tombstones(folder)
    rows = _count_rows(folder / EXAMPLES_FILE, columns.entity, entity)
    if not rows:
        return known[entity_hash].rows if entity_hash in known else 0
    with replacing(folder / EXAMPLES_FILE) as unfinished:
        before, after = _copy_without(folder / EXAMPLES_FILE, unfinished, columns, entity)
        flush_path(unfinished)
        is_known = before in {digest, *(tombstone.digest for tombstone in known.values())}
        tombstone = Tombstone(rows, after if is_known else None)
        write_file(folder / TOMBSTONES / f"{entity_hash}.json", msgspec.json.encode(tombstone))
        crash_point("training_set.tombstone")
    flush_path(folder)
    crash_point("training_set.erased")
    return rows


def check_snapshot(folder: Path, columns: ColumnsSpec, digest: str, rows_frozen: int) -> SnapshotCheck:
    """Verify the rows of a snapshot against its digest or, after an erasure, against that of its tombstones.

    Parameters
    ----------
    digest, rows_frozen
        From the snapshot's description.
    """
    found = tombstones(folder)
    erased = {entity_hash: tombstone.rows for entity_hash, tombstone in found.items()}
    try:
        rows, actual = _digest_of(folder / EXAMPLES_FILE, columns)
    except (LifecycleError, OSError, ValueError) as error:  # Arrow's errors are ValueErrors or OSErrors
        return SnapshotCheck(digest, rows_frozen, 0, erased, str(error))
    remaining = {tombstone.digest for tombstone in found.values()} if found else {digest}
    problem = None
    if rows + sum(erased.values()) > rows_frozen and actual in {digest, *remaining}:
        problem = f"an erasure was interrupted; run `lifecycle erase` again - in {folder}"
    elif None in remaining:
        problem = f"rows were erased without a digest of the others, which cannot be verified - in {folder}"
    elif actual not in remaining or rows + sum(erased.values()) != rows_frozen:
        wanted = digest if not found else "of a tombstone"
        problem = f"Expected rows with the digest {wanted}, got {actual} - in {folder / EXAMPLES_FILE}"
    return SnapshotCheck(digest, rows_frozen, rows, erased, problem)


def _count_rows(path: Path, column: str, entity: str) -> int:
    import pyarrow.compute as pc

    is_entity = (pc.equal(pc.cast(batch.column(0), "string"), entity) for batch in _batches(path, columns=[column]))
    return sum(pc.sum(found).as_py() or 0 for found in is_entity)


def _copy_without(path: Path, unfinished: Path, columns: ColumnsSpec, entity: str) -> tuple[str, str]:
    """Write the other rows to a file; returns the digest of all rows and of those that were written."""
    import pyarrow.compute as pc
    import pyarrow.parquet as pq

    from lifecycle.tables.content_digest import ContentDigest

    before, after = (ContentDigest(columns.occurred_at, columns.id) for _ in range(2))
    with pq.ParquetWriter(unfinished, pq.read_schema(path), compression="zstd") as writer:
        for batch in _batches(path):
            kept = batch.filter(pc.not_equal(pc.cast(batch.column(columns.entity), "string"), entity))
            before.update(batch)
            after.update(kept)
            writer.write_batch(kept)
    return before.hexdigest(), after.hexdigest()


def _digest_of(path: Path, columns: ColumnsSpec) -> tuple[int, str]:
    import pyarrow as pa
    import pyarrow.parquet as pq

    from lifecycle.tables.content_digest import ContentDigest

    digest = ContentDigest(columns.occurred_at, columns.id)
    digest.update(pa.RecordBatch.from_pylist([], schema=pq.read_schema(path)))  # all rows may have been erased
    for batch in _batches(path):
        digest.update(batch)
    return digest.rows, digest.hexdigest()


def _batches(path: Path, columns: list[str] | None = None) -> "Iterator[pa.RecordBatch]":
    import pyarrow.parquet as pq

    with pq.ParquetFile(path) as file:
        yield from file.iter_batches(ROWS_PER_BATCH, columns=columns)
