"""What the warehouse holds."""

import datetime as dt
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from lifecycle.warehouse.interface import Warehouse
from lifecycle.warehouse.raw import LOADS_TABLE, RAW, RawRelation, RelationName


@dataclass(frozen=True)
class RelationStatus:
    """Rows of a raw relation, its first and last day (UTC; ``None`` where it has no time or no rows), and its loads."""

    relation: RelationName
    rows: int
    first_day: dt.date | None
    last_day: dt.date | None
    loads: int
    loaded_at: dt.datetime | None
    """When it was last loaded, UTC."""


@dataclass(frozen=True)
class WarehouseStatus:
    """Every raw relation, and the size of the file on disk."""

    path: Path
    size_bytes: int
    relations: tuple[RelationStatus, ...]

    def as_document(self) -> dict[str, Any]:
        """Plain JSON types; dates and moments as ISO text."""
        document = asdict(self)
        document["path"] = str(self.path)
        for relation in document["relations"]:
            for key in ("first_day", "last_day", "loaded_at"):
                relation[key] = relation[key].isoformat() if relation[key] else None
        return document


def read_status(warehouse: Warehouse, path: Path) -> WarehouseStatus:
    """Count what lies in the raw relations of the warehouse whose file is `path`."""
    relations = tuple(_relation_status(warehouse, relation) for relation in RAW.values())
    return WarehouseStatus(path, path.stat().st_size, relations)


def _relation_status(warehouse: Warehouse, relation: RawRelation) -> RelationStatus:
    days = f"min({relation.event_at})::date, max({relation.event_at})::date" if relation.event_at else "null, null"
    rows, first_day, last_day, loads, loaded_at = (
        column[0].as_py()
        for column in warehouse.query(
            f"select count(*), {days}, (select count(*) from {LOADS_TABLE} where relation = ?), "
            f"(select max(loaded_at) from {LOADS_TABLE} where relation = ?) from {relation.table}",
            [relation.name, relation.name],
        ).columns
    )
    return RelationStatus(relation.name, rows, first_day, last_day, loads, loaded_at)
