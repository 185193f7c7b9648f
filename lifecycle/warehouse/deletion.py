"""Deletes rows of several tables, each step's tables in one transaction."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass

from lifecycle.settings.platform import Settings
from lifecycle.settings.snowflake import Step
from lifecycle.spec.arrivals import arrival_of
from lifecycle.spec.dbt_projects import dbt_projects
from lifecycle.spec.model_files import read_specs
from lifecycle.spec.raw_table import RawRelation
from lifecycle.spec.ref_graph import ref_graph
from lifecycle.warehouse import Use, open_warehouse
from lifecycle.warehouse.interface import Session

_SERIALS: Mapping[Step, str] = {"load": "loads", "log": "decisions"}
"""Other transactions that must not run at the same time; builds of this machine wait for the session."""


@dataclass(frozen=True)
class Rows:
    """A condition in SQL, and the values of its parameters."""

    condition: str
    parameters: tuple[object, ...]


@dataclass(frozen=True)
class BuiltTable:
    """A table that dbt built from a raw table's rows, and its columns that hold their key or their entity."""

    name: str
    keys: tuple[str, ...]
    entities: tuple[str, ...]


def built_tables(settings: Settings, relation: RawRelation) -> tuple[BuiltTable, ...]:
    """Existing tables of the models that read a raw table, directly or not.

    Their columns have the raw names, or those that a model's file gives the mart and the outcomes.
    """
    graph = ref_graph(dbt_projects(settings))
    names = {model.relation: model.name for model in graph.downstream_of(relation.name)}
    keys: dict[str, set[str]] = {name: {relation.key} for name in names.values()}
    entities: dict[str, set[str]] = {name: {relation.entity} if relation.entity else set() for name in names.values()}
    for spec in read_specs().values():
        if arrival_of(spec, settings) == relation:
            for name in spec.relations:
                keys.setdefault(name, set()).add(spec.columns.id)
                entities.setdefault(name, set()).add(spec.columns.entity)
    rows = open_warehouse(settings, Use("transform")).query(
        "select lower(columns.table_schema) || '.' || lower(columns.table_name) as relation, "
        "lower(columns.column_name) as name from information_schema.columns as columns "
        "inner join information_schema.tables as tables on tables.table_schema = columns.table_schema "
        "and tables.table_name = columns.table_name where tables.table_type = 'BASE TABLE'"
    )
    present: dict[str, set[str]] = {}
    for row in rows.to_pylist():
        present.setdefault(row["relation"], set()).add(row["name"])
    return tuple(
        BuiltTable(
            built,
            tuple(sorted(keys[name] & present[built])),
            tuple(sorted((entities[name] - keys[name]) & present[built])),
        )
        for built, name in names.items()
        if built in present
    )


def delete_rows(
    settings: Settings,
    step: Step,
    rows: Mapping[str, Rows],
    purpose: str,
    *,
    is_counting: bool = False,
    and_record: Callable[[Session, Mapping[str, int]], None] | None = None,
) -> dict[str, int]:
    """Delete the matching rows of the tables that exist, in order, or count them; returns their numbers.

    Parameters
    ----------
    step
        Whose role writes these tables.
    purpose
        What waiting processes log.
    and_record
        Called with the session and the numbers, in the transaction that deletes.
    """
    warehouse = open_warehouse(settings, Use(step))
    present = {
        row["name"]
        for row in warehouse.query(
            "select lower(table_schema) || '.' || lower(table_name) as name from information_schema.tables"
        ).to_pylist()
    }

    def attempt() -> dict[str, int]:
        counts = {}
        with warehouse.session(purpose) as session, session.transaction(serial=_SERIALS.get(step)):
            for table, matching in rows.items():
                if table not in present:
                    continue
                where = f"from {table} where {matching.condition}"
                counted = session.query(f"select count(*) as row_count {where}", matching.parameters)
                counts[table] = int(counted.column(0)[0].as_py())
                if counts[table] and not is_counting:
                    session.execute(f"delete {where}", matching.parameters)
            if and_record is not None and not is_counting:
                and_record(session, counts)
        return counts

    return warehouse.retrying(attempt)
