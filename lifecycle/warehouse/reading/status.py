"""Contents and size of the warehouse."""

import datetime as dt
from dataclasses import asdict, dataclass
from typing import Any

from lifecycle.warehouse.interface import Warehouse
from lifecycle.warehouse.raw_tables import LOADS_TABLE, RawRelation, declarations, raw_definitions


@dataclass(frozen=True)
class RelationStatus:
    """Row count of a raw relation, its first and last day (UTC; ``None`` without times or rows), and its loads."""

    relation: str
    rows: int
    first_day: dt.date | None
    last_day: dt.date | None
    loads: int
    loaded_at: dt.datetime | None
    """Time of the last load, UTC."""


@dataclass(frozen=True)
class WarehouseStatus:
    """Status of every raw relation, and the warehouse's location and size (``None`` if unknown)."""

    location: str
    size_bytes: int | None
    relations: tuple[RelationStatus, ...]

    def as_document(self) -> dict[str, Any]:
        """Plain JSON types; dates and times as ISO text."""
        document = asdict(self)
        for relation in document["relations"]:
            for key in ("first_day", "last_day", "loaded_at"):
                relation[key] = relation[key].isoformat() if relation[key] else None
        return document


def read_status(warehouse: Warehouse) -> WarehouseStatus:
    """Count the rows of the raw relations."""
    warehouse.ensure(raw_definitions(warehouse.dialect))
    relations = tuple(_relation_status(warehouse, relation) for relation in declarations().tables.values())
    location = warehouse.location()
    return WarehouseStatus(location.name, location.size_bytes, relations)


def _relation_status(warehouse: Warehouse, relation: RawRelation) -> RelationStatus:
    event_at = relation.event_at or "null"
    days = f"min({event_at})::date, max({event_at})::date"
    rows, first_day, last_day, loads, loaded_at = (
        column[0].as_py()
        for column in warehouse.query(
            f"select count(*), {days}, (select count(*) from {LOADS_TABLE} where relation = ?), "
            f"(select max(loaded_at) from {LOADS_TABLE} where relation = ?) from {relation.table}",
            [relation.name, relation.name],
        ).columns
    )
    return RelationStatus(relation.name, rows, first_day, last_day, loads, loaded_at)
