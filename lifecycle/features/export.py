"""Features of a model as one Parquet file."""

import secrets
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from lifecycle.crash_points import crash_point
from lifecycle.errors import LifecycleError
from lifecycle.settings import Settings
from lifecycle.spec import read_model
from lifecycle.warehouse import Warehouse, open_warehouse

MARTS_SCHEMA = "marts"


@dataclass(frozen=True)
class FeatureExport:
    """A written file: its rows and its columns in order."""

    path: Path
    rows: int
    columns: tuple[str, ...]


def export(
    settings: Settings, out: Path, *, model: str = "card_fraud", columns: Sequence[str] | None = None
) -> FeatureExport:
    """Write a model's features to `out`, ordered by the transaction's id; whole or not at all.

    Parameters
    ----------
    settings
        The installation.
    out
        Parquet file; replaced if it is there.
    model
        Name of the model whose mart is read.
    columns
        Columns of the mart after the transaction's id; ``None`` for the model's features in schema order.

    Raises
    ------
    LifecycleError
        If the mart has not been built, lacks a column, or `out` cannot be written.
    """
    spec = read_model(model, settings.profile)
    transaction = spec.columns.transaction
    wanted = (transaction, *(name for name in columns or spec.feature_names if name != transaction))
    warehouse = open_warehouse(settings)
    relation = f"{MARTS_SCHEMA}.{spec.mart}"
    _expect_columns(warehouse, relation, wanted)
    sql = f"select {', '.join(wanted)} from {relation} order by {transaction}"  # noqa: S608 - names checked above
    return FeatureExport(out, _write(warehouse, sql, out), wanted)


def _expect_columns(warehouse: Warehouse, relation: str, wanted: Sequence[str]) -> None:
    try:
        present = warehouse.columns(relation)
    except LifecycleError as error:
        raise LifecycleError(f"{error}; run `lifecycle features build`") from error
    missing = [name for name in wanted if name not in present]
    if missing:
        raise LifecycleError(f"Expected columns of {relation}, got {missing}; it has {list(present)}")


def _write(warehouse: Warehouse, sql: str, out: Path) -> int:
    """Stream the rows of `sql` to a temporary file beside `out`, then put it in its place."""
    import pyarrow.parquet as pq

    schema = warehouse.query(f"select * from ({sql}) limit 0").schema  # noqa: S608 - the caller's own
    temporary = out.with_name(f".{out.name}.{secrets.token_hex(4)}.tmp")
    rows = 0
    try:
        out.parent.mkdir(parents=True, exist_ok=True)
        with pq.ParquetWriter(temporary, schema, compression="zstd") as writer:
            for batch in warehouse.batches(sql):
                writer.write_batch(batch)
                rows += batch.num_rows
        crash_point("features.export_written")
        temporary.replace(out)
    except OSError as error:
        raise LifecycleError(f"Expected to write {out}, got {error.strerror or error}") from error
    finally:
        if temporary.exists():
            temporary.unlink()
    return rows
