"""Where the loaded data begin."""

import datetime as dt
from pathlib import Path

from lifecycle.artefacts.first_day import record_first_day
from lifecycle.warehouse.interface import Warehouse
from lifecycle.warehouse.raw_tables import SCHEMA, declarations


def note_first_day(warehouse: Warehouse, root: Path) -> bool:
    """Record `first_days`, if there are any; returns whether one has changed and partitions must follow it."""
    first = first_days(warehouse)
    return bool(first) and record_first_day(root, first)


def first_days(warehouse: Warehouse) -> dict[str, dt.date]:
    """The first day of each table of events that has rows, by the table's name.

    Both warehouses answer from the tables' metadata. Tables that refer to others begin no model's days, and a declared
    table that no load has made yet has none.
    """
    present = {
        row["name"]
        for row in warehouse.query(
            "select lower(table_schema) || '.' || lower(table_name) as name from information_schema.tables"
        ).to_pylist()
    }
    tables = [
        table
        for table in declarations().tables.values()
        if table.event_at and not table.refers_to and table.schema == SCHEMA and table.table in present
    ]
    if not tables:
        return {}
    days = warehouse.query(
        " union all ".join(
            f"select '{table.name}' as name, min({table.event_at})::date as first_day from {table.table}"
            for table in tables
        )
    ).to_pylist()
    return {row["name"]: row["first_day"] for row in days if row["first_day"] is not None}
