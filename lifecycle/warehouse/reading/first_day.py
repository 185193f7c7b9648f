"""Where the loaded data begin."""

from pathlib import Path

from lifecycle.artefacts.first_day import record_first_day
from lifecycle.warehouse.interface import Warehouse
from lifecycle.warehouse.raw_tables import RAW


def note_first_day(warehouse: Warehouse, root: Path) -> bool:
    """Record the first day of the loaded transactions; returns whether it has changed and partitions must follow it.

    Both warehouses answer from the table's metadata. Without a transaction, nothing is recorded.
    """
    relation = RAW["card_transactions"]
    day = warehouse.query(f"select min({relation.event_at})::date as day from {relation.table}").to_pylist()[0]["day"]
    return day is not None and record_first_day(root, day)
