"""Protected attributes of some entities, for the fairness gate alone; never kept, logged or sent on."""

import datetime as dt
from collections.abc import Iterator, Sequence

import numpy as np

from lifecycle.errors import LifecycleError
from lifecycle.spec.raw_table import PROTECTED, WHOLE, RawRelation
from lifecycle.tables.arrays import AnyArray
from lifecycle.warehouse.interface import Warehouse
from lifecycle.warehouse.reading.examples import midnight

BATCH = 5000
"""Entities that one statement names."""


def protected_attributes(
    warehouse: Warehouse, table: RawRelation, columns: Sequence[str], entities: AnyArray, as_of: dt.date
) -> dict[str, AnyArray]:
    """The attributes of each entity as known before `as_of`; reads these columns of these entities and no others.

    The newest version whose load was before `as_of` counts. The first version always does, since it keeps no time of
    its load. Ids are compared as text, so that a mart may have cast them.

    Parameters
    ----------
    warehouse
        Opened for the step ``fairness``, whose role alone may read the table.
    table
        A table of the schema ``protected`` with one row an entity, by its key.
    entities
        Ids of the entities, shape ``(n,)``.

    Returns
    -------
    dict
        A value for each entity by column, ``None`` where it has no row, shape ``(n,)``.

    Raises
    ------
    LifecycleError
        If the table does not exist, may not be read, or lacks a column.
    """
    if table.schema != PROTECTED:
        raise LifecycleError(f"Expected a table of the schema {PROTECTED}, got {table.table} - at `protected.relation`")
    _expect_columns(warehouse, table.table, [table.key, *columns])
    unique, positions = np.unique(np.array([str(entity) for entity in entities.tolist()]), return_inverse=True)
    found: dict[str, tuple[object, ...]] = {}
    for rows in _versions(warehouse, table, columns, unique.tolist(), as_of):
        found |= rows
    unknown = (None,) * len(columns)
    values = [found.get(entity, unknown) for entity in unique.tolist()]
    return {
        name: np.array([row[index] for row in values], dtype=object)[positions.reshape(-1)]
        for index, name in enumerate(columns)
    }


def _expect_columns(warehouse: Warehouse, table: str, needed: Sequence[str]) -> None:
    known = warehouse.columns(table)
    missing = [name for name in needed if name.lower() not in {column.lower() for column in known}]
    if missing:
        raise LifecycleError(f"Expected the columns {', '.join(needed)} in {table}, missing {', '.join(missing)}")


def _versions(
    warehouse: Warehouse, table: RawRelation, columns: Sequence[str], entities: list[str], as_of: dt.date
) -> Iterator[dict[str, tuple[object, ...]]]:
    """Attributes by entity, the first versions before the later ones in order of their loads."""
    selected = ", ".join([table.key, *columns])
    for ids in _batches(table, entities):
        of_entities = f"{table.key} in ({', '.join('?' * len(ids))})"
        sources = [(f"select {selected} from {table.table} where {of_entities}", ids)]
        if table.corrected:
            later = f"select {selected} from {table.versions_table} where {of_entities} and known_at < ?"
            sources.append((f"{later} order by known_at", [*ids, midnight(as_of)]))
        for sql, parameters in sources:
            rows = zip(*(column.to_pylist() for column in warehouse.query(sql, parameters).columns), strict=True)
            yield {str(key): tuple(values) for key, *values in rows}


def _batches(table: RawRelation, entities: list[str]) -> Iterator[list[object]]:
    """The ids in the type of the table's key; one that is not of this type has no row there."""
    is_whole = table.column(table.key).type == WHOLE
    ids: list[object] = [int(entity) for entity in entities if _is_whole(entity)] if is_whole else [*entities]
    for start in range(0, len(ids), BATCH):
        yield ids[start : start + BATCH]


def _is_whole(text: str) -> bool:
    return text.removeprefix("-").isdecimal()
