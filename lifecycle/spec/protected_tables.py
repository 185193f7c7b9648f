"""Protected attributes stay in tables of their own: declared, with the columns that a model names, and in no mart."""

from collections.abc import Iterator, Sequence
from pathlib import Path

from lifecycle.errors import LifecycleError
from lifecycle.spec.arrivals import arrival_in
from lifecycle.spec.declarations import Declarations, declared_in
from lifecycle.spec.raw_table import PROTECTED
from lifecycle.spec.ref_graph import ref_graph
from lifecycle.spec.risk_model import RiskModelSpec
from lifecycle.spec.suggestions import suggestion


def check_protected(spec: RiskModelSpec, projects: Sequence[Path]) -> None:
    """Check the table of a model's protected attributes, and that its mart and outcomes read no such table.

    A column of another name is found, too: what counts is the table that a dbt model reads, directly or not.

    Raises
    ------
    LifecycleError
        With the key, and the dbt model that reads a protected table.
    """
    declared = declared_in(projects)
    faults = [
        *_table_faults(spec, declared),
        *_entity_faults(spec, projects, declared),
        *_source_faults(spec, projects, declared),
    ]
    if faults:
        raise LifecycleError("; ".join(faults))


def _table_faults(spec: RiskModelSpec, declared: Declarations) -> Iterator[str]:
    if spec.protected is None or spec.protected.relation is None:
        return
    name, protected = spec.protected.relation, _protected(declared)
    if own := declared.fault_of(name):
        yield f"Expected a table whose declaration is right, got {own} - at `protected.relation`"
    elif name not in protected:
        near = suggestion(name, protected, "table")
        yield f"Expected a table of the schema {PROTECTED}, got {name!r}{near} - at `protected.relation`"
    if name not in protected:
        return
    columns = [column.name for column in declared.tables[name].columns]
    for index, column in enumerate(spec.protected.columns):
        if column not in columns:
            near = suggestion(column, columns, "column")
            yield f"Expected a column of {name}, got {column!r}{near} - at `protected.columns.{index}`"


def _entity_faults(spec: RiskModelSpec, projects: Sequence[Path], declared: Declarations) -> Iterator[str]:
    """What keeps the attributes of an example's entity from being found by its id."""
    name = spec.protected.relation if spec.protected else None
    if name is None or name not in _protected(declared):
        return
    table, arrival = declared.tables[name], arrival_in(spec, projects, declared)
    if table.entity != table.key:
        yield (
            f"Expected a table with one row an entity, whose key is its entity, got {name} with the key {table.key!r} "
            f"and the entity {table.entity!r} - at `protected.relation`"
        )
    elif arrival.entity_kind is not None and table.entity_kind != arrival.entity_kind:
        yield (
            f"Expected a table about the examples' kind of entity, {arrival.entity_kind!r}, got {name} about "
            f"{table.entity_kind!r} - at `protected.relation`"
        )


def _source_faults(spec: RiskModelSpec, projects: Sequence[Path], declared: Declarations) -> Iterator[str]:
    graph, protected = ref_graph(projects), set(_protected(declared))
    for key, name in (("examples.mart", spec.mart), ("label.relation", spec.label.relation)):
        for model in sorted(graph.upstream(name)) if name else ():
            for table in sorted(graph.models[model].tables & protected):
                yield (
                    f"Expected a dbt model that reads no protected table, got {table} read by {model}; only the "
                    f"fairness gate reads it - at `{key}` - in {graph.models[model].path}"
                )


def _protected(declared: Declarations) -> list[str]:
    return [name for name, table in declared.tables.items() if table.schema == PROTECTED]
