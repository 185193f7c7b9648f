"""Rows that a relation already contains, and later versions of them.

A first version stays as it was loaded: what was known when the row was new. A later version has the time of its load as
`known_at`, so that a reader as of an earlier time does not see it.
"""

import datetime as dt

from lifecycle.warehouse.interface import Session
from lifecycle.warehouse.raw_tables import Column, RawRelation, sql_type


def known_columns(relation: RawRelation, timestamp: str) -> str:
    """Columns of the scratch table of staged rows that the relation contains.

    `is_same`: 1 if the row equals a known version; `is_version`: 1 if it differs in corrected columns at most.
    """
    identity = [f"{name} {sql_type(relation.column(name), timestamp)}" for name in relation.identity]
    return f"{', '.join(identity)}, is_same integer, is_version integer"


def insert_known(relation: RawRelation, staged: str, known: str) -> str:
    """SQL that fills the scratch table `known`."""
    key, names = relation.key, ", ".join(relation.column_names)
    others = [column for column in relation.columns if column.name not in relation.identity]
    fixed = [column for column in others if column.name not in relation.corrected]
    later = f" union all select {names} from {relation.versions_table}" if relation.corrected else ""
    identity = ", ".join(f"s.{column}" for column in relation.identity)
    joined = " and ".join(f"s.{column} = r.{column}" for column in relation.identity)
    return (
        f"insert into {known} select {identity}, {_all_same(others)} as is_same, {_all_same(fixed)} as is_version "
        f"from {staged} s join (select {names} from (select {names} from {relation.table}{later}) as versions "
        f"where {key} between (select min({key}) from {staged}) and (select max({key}) from {staged})) r "
        f"on {joined} group by {identity}"
    )


def add_versions(session: Session, relation: RawRelation, staged: str, known: str) -> int:
    """Insert the staged rows that are new versions of known rows; returns their number."""
    key, names = relation.key, ", ".join(relation.column_names)
    changed = f"from {staged} where {key} in (select {key} from {known} where is_same = 0)"
    count: int = session.query(f"select count(*) as row_count {changed}").column(0)[0].as_py()
    if count:
        known_at = dt.datetime.now(dt.UTC).replace(tzinfo=None)
        session.execute(
            f"insert into {relation.versions_table} ({names}, known_at) select {names}, ? {changed}", [known_at]
        )
    return count


def delete_known(relation: RawRelation, staged: str, known: str) -> str:
    """SQL that deletes the known rows from `staged`."""
    identity = ", ".join(relation.identity)
    columns = f"({identity})" if relation.is_repeatable else identity
    return f"delete from {staged} where {columns} in (select {identity} from {known})"


def _all_same(columns: list[Column]) -> str:
    if not columns:
        return "1"
    is_same = " and ".join(_is_same(column) for column in columns)
    return f"max(case when {is_same} then 1 else 0 end)"


def _is_same(column: Column) -> str:
    operator = "is not distinct from" if column.is_nullable else "="
    return f"s.{column.name} {operator} r.{column.name}"
