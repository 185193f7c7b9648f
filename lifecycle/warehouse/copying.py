"""Copies all raw rows of a DuckDB file into the installation's empty warehouse, for a move to Snowflake."""

from collections.abc import Callable
from pathlib import Path

import pyarrow as pa

from lifecycle.errors import LifecycleError
from lifecycle.settings.platform import Settings
from lifecycle.spec.declaration_schema import OWN_TABLES
from lifecycle.warehouse import Use, open_warehouse
from lifecycle.warehouse.duckdb.warehouse import DuckDBWarehouse
from lifecycle.warehouse.raw_tables import (
    ERASED_TABLE,
    PROTECTED,
    SCHEMA,
    Declarations,
    declarations,
    raw_definitions,
    tables_of_loads,
)
from serving.storage.crash_points import crash_point

ROWS_AT_ONCE = 1_000_000

Progress = Callable[[str, int, int], None]
"""Called with the table, its rows copied so far, and its rows."""


def copy_raw(settings: Settings, file: Path, progress: Progress) -> dict[str, int]:
    """Copy every table of loads: the rows, their corrections, the manifest, and the tombstones of erased persons.

    One transaction: after an interruption at any point nothing is copied, and the same call starts again.

    Returns
    -------
    dict[str, int]
        Rows copied, by table.

    Raises
    ------
    LifecycleError
        If there is no such file, the target already has rows in one of the tables, or the file has rows in a raw table
        that is not declared here.
    """
    if not file.is_file():
        raise LifecycleError(f"Expected the DuckDB file of an installation, found none - at {file}")
    if settings.target == "duckdb" and file.resolve() == settings.warehouse_path.resolve():
        raise LifecycleError(f"Expected the file of another installation, got this one's own - at {file}")
    source = DuckDBWarehouse(file, settings.duckdb_memory_limit, settings.duckdb_threads)
    declared = declarations(settings)
    source.ensure(raw_definitions(source.dialect, declared))
    _expect_declared(source, declared)
    target = open_warehouse(settings, Use("load"))
    target.ensure(raw_definitions(target.dialect, declared))
    tables = tables_of_loads(declared)
    copied: dict[str, int] = {}
    with target.session(f"copying {file.name}") as session, session.transaction(serial="loads"):
        for table in tables:
            if session.query(f"select count(*) as n from {table}").to_pylist()[0]["n"]:
                raise LifecycleError(f"Expected an empty {table} to copy into, it has rows; nothing was copied")
        for table in tables:
            rows = int(source.query(f"select count(*) as n from {table}").to_pylist()[0]["n"])
            copied[table] = 0
            for batch in source.batches(f"select * from {table}", rows_per_batch=ROWS_AT_ONCE):
                session.append(table, pa.Table.from_batches([batch]))
                copied[table] += batch.num_rows
                progress(table, copied[table], rows)
            crash_point(f"copy.{table}")
    return copied


def _expect_declared(source: DuckDBWarehouse, declared: Declarations) -> None:
    """Check that every raw table with rows is declared, so that none is left behind."""
    present = source.query(
        "select table_schema || '.' || table_name as name from information_schema.tables "
        "where table_schema in (?, ?) and table_type = 'BASE TABLE' order by 1",
        [SCHEMA, PROTECTED],
    )
    known = {*tables_of_loads(declared), *(f"{SCHEMA}.{name}" for name in OWN_TABLES)}
    left = [
        name
        for name in present.column("name").to_pylist()
        if name not in known and source.query(f"select 1 as one from {name} limit 1").num_rows
    ]
    if left:
        raise LifecycleError(
            f"Expected every raw table of the file to be declared here, got rows in {', '.join(left)}; set "
            "LIFECYCLE_MODELS to the folder of that installation. Nothing was copied"
        )


def has_tombstones(copied: dict[str, int]) -> bool:
    """Whether persons were erased, so that the target needs the key of their hashes."""
    return copied.get(ERASED_TABLE, 0) > 0
