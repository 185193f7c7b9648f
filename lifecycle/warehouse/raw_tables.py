"""The raw relations, which are loaded from files and read by dbt: their tables, and those that loads keep."""

from lifecycle.spec.declarations import Declarations, declarations
from lifecycle.spec.raw_table import PROTECTED, SCHEMA, TIMESTAMP, Column, RawRelation
from lifecycle.warehouse.interface import Definition, Dialect

__all__ = ["PROTECTED", "SCHEMA", "Column", "Declarations", "RawRelation", "declarations"]

LOADS_TABLE = f"{SCHEMA}.loads"
_LOADS_COLUMNS = """
    relation varchar not null,
    content_digest varchar not null,
    mapping_digest varchar not null,
    source_name varchar not null,
    rows_read bigint not null,
    rows_inserted bigint not null,
    first_day date,
    last_day date,
    loaded_at {timestamp} not null
"""

REJECTS_TABLE = f"{SCHEMA}.load_rejects"
_REJECTS_COLUMNS = """
    relation varchar not null,
    content_digest varchar not null,
    source_name varchar not null,
    reason varchar not null,
    rows_rejected bigint not null,
    loaded_at {timestamp} not null
"""
ERASED_TABLE = f"{SCHEMA}.erased_keys"
"""Tombstones: keyed hashes of erased entities and of the keys of their rows, which are never loaded again."""
_ERASED_COLUMNS = "kind varchar not null, key_hash varchar not null, erased_at {timestamp} not null"
REMOVALS_TABLE = f"{SCHEMA}.removed_rows"
"""Rows that a person removed because no load would accept them any more, one row for each table and removal."""
_REMOVALS_COLUMNS = """
    table_name varchar not null,
    reason varchar not null,
    rows_removed bigint not null,
    removed_by varchar not null,
    removed_at {timestamp} not null
"""


def tables_of_loads(declared: Declarations | None = None) -> tuple[str, ...]:
    """Every table that a load changes."""
    relations = (declared or declarations()).tables.values()
    return (
        *(relation.table for relation in relations),
        *(relation.versions_table for relation in relations if relation.corrected),
        LOADS_TABLE,
        REJECTS_TABLE,
        ERASED_TABLE,
    )


def raw_definitions(dialect: Dialect, declared: Declarations | None = None) -> tuple[Definition, ...]:
    """Definitions of the schemas and raw tables.

    They have no primary keys: DuckDB would keep an index of every id in memory, and Snowflake does not enforce keys.
    Loads check the ids instead.
    """
    definitions = [Definition(schema, f"create schema if not exists {schema}") for schema in (SCHEMA, PROTECTED)]
    for relation in (declared or declarations()).tables.values():
        columns = ", ".join(_column_definition(column, dialect) for column in relation.columns)
        definitions.append(Definition(relation.table, f"create table if not exists {relation.table} ({columns})"))
        if relation.corrected:
            table, known_at = relation.versions_table, f"known_at {dialect.timestamp} not null"
            definitions.append(Definition(table, f"create table if not exists {table} ({columns}, {known_at})"))
    templates = {
        LOADS_TABLE: _LOADS_COLUMNS,
        REJECTS_TABLE: _REJECTS_COLUMNS,
        ERASED_TABLE: _ERASED_COLUMNS,
        REMOVALS_TABLE: _REMOVALS_COLUMNS,
    }
    for table, template in templates.items():
        columns = template.format(timestamp=dialect.timestamp)
        definitions.append(Definition(table, f"create table if not exists {table} ({columns})"))
    return tuple(definitions)


def sql_type(column: Column, timestamp: str) -> str:
    """A column's type in a warehouse whose timestamps have this type."""
    return timestamp if column.type == TIMESTAMP else column.type


def _column_definition(column: Column, dialect: Dialect) -> str:
    definition = f"{column.name} {sql_type(column, dialect.timestamp)}"
    return definition if column.is_nullable else f"{definition} not null"
