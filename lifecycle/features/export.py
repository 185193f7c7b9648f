"""Exports the features of a model to one Parquet file."""

from collections.abc import Generator, Iterator, Sequence
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from lifecycle.errors import LifecycleError
from lifecycle.settings.platform import Settings
from lifecycle.spec.model_files import only_model, read_model
from lifecycle.warehouse import Warehouse, open_warehouse
from serving.storage.crash_points import crash_point
from serving.storage.durable import replacing

if TYPE_CHECKING:
    import pyarrow as pa

MARTS_SCHEMA = "marts"


@dataclass(frozen=True)
class FeatureExport:
    """A written file: its rows and its columns in order."""

    path: Path
    rows: int
    columns: tuple[str, ...]


def export(
    settings: Settings, out: Path, *, model: str | None = None, columns: Sequence[str] | None = None
) -> FeatureExport:
    """Write a model's features to `out`, atomically and ordered by the example's id.

    Parameters
    ----------
    settings
        The installation.
    out
        Parquet file; replaced if it is there.
    model
        Name of the model whose mart is read; ``None`` for the only one.
    columns
        Columns of the mart after the example's id; ``None`` for the model's features in schema order.

    Raises
    ------
    LifecycleError
        If the mart has not been built, lacks a column, or `out` cannot be written.
    """
    spec = read_model(model or only_model(), settings.profile)
    transaction = spec.columns.id
    wanted = (transaction, *(name for name in columns or spec.feature_names if name != transaction))
    warehouse = open_warehouse(settings)
    relation = f"{MARTS_SCHEMA}.{spec.mart}"
    _expect_columns(warehouse, relation, wanted)
    sql = f"select {', '.join(wanted)} from {relation} order by {transaction}"  # noqa: S608 - names checked above
    rows = warehouse.retrying(lambda: _write(warehouse, sql, out))
    return FeatureExport(out, rows, wanted)


def _expect_columns(warehouse: Warehouse, relation: str, wanted: Sequence[str]) -> None:
    try:
        present = warehouse.columns(relation)
    except LifecycleError as error:
        raise LifecycleError(f"{error}; run `lifecycle features build`") from error
    missing = [name for name in wanted if name not in present]
    if missing:
        raise LifecycleError(f"Expected columns of {relation}, got {missing}; it has {list(present)}")


def _write(warehouse: Warehouse, sql: str, out: Path) -> int:
    """Stream the rows of `sql` to a temporary file, then rename it to `out`."""
    try:
        out.parent.mkdir(parents=True, exist_ok=True)
        with replacing(out) as temporary:
            with closing(_canonical_batches(warehouse, sql)) as batches:
                rows = _write_parquet(temporary, batches)
            crash_point("features.export_written")
    except OSError as error:
        raise LifecycleError(f"Expected to write {out}, got {error.strerror or error}") from error
    return rows


def _canonical_batches(warehouse: Warehouse, sql: str) -> Generator["pa.RecordBatch", None, None]:
    """The rows in canonical types, equal for every warehouse; at least one batch, which may be empty."""
    import pyarrow as pa

    from lifecycle.tables.canonical import canonical_batch, canonical_schema

    schema: pa.Schema | None = None
    for batch in warehouse.batches(sql):
        schema = schema or canonical_schema(batch.schema)
        yield canonical_batch(batch, schema)
    if schema is None:
        # DuckDB sends no batch for an empty result, but the file needs its columns.
        empty = warehouse.query(f"select * from ({sql}) as no_rows limit 0")  # noqa: S608 - the caller's own
        yield pa.RecordBatch.from_pylist([], schema=canonical_schema(empty.schema))


def _write_parquet(path: Path, batches: Iterator["pa.RecordBatch"]) -> int:
    """Write a file in the schema of the first batch and return its number of rows."""
    import pyarrow.parquet as pq

    first = next(batches)
    rows: int = first.num_rows
    with pq.ParquetWriter(path, first.schema, compression="zstd") as writer:
        writer.write_batch(first)
        for batch in batches:
            writer.write_batch(batch)
            rows += batch.num_rows
    return rows
