"""The raw relations, which are loaded from files and read by dbt."""

from dataclasses import dataclass
from typing import Literal, get_args

from lifecycle.warehouse.interface import Definition, Dialect

RelationName = Literal["card_transactions", "fraud_reports", "report_withdrawals", "customers", "terminals"]
RELATIONS: tuple[RelationName, ...] = get_args(RelationName)
SCHEMA = "raw"
PROTECTED = "protected"
"""Schema of the attributes that only the fairness gate may read."""
TIMESTAMP = "TIMESTAMP"


@dataclass(frozen=True)
class Column:
    """A required column; `type` is its SQL type in the warehouse."""

    name: str
    type: str


@dataclass(frozen=True)
class RawRelation:
    """A raw table: `key` identifies a row, and loads are reported by the day of `event_at`.

    A row is never changed. A later load with other values of the `corrected` columns adds a version, with the time
    from which it is known; the first version keeps its place in the table. With `is_repeatable`, one key may have
    several rows, which differ in `event_at`.
    """

    name: RelationName
    grain: str
    columns: tuple[Column, ...]
    key: str
    event_at: str | None = None
    schema: str = SCHEMA
    corrected: tuple[str, ...] = ()
    is_repeatable: bool = False

    @property
    def versions_table(self) -> str:
        """Qualified name of the table of later versions: the columns of the table, and `known_at`."""
        return f"{self.table}_versions"

    @property
    def identity(self) -> tuple[str, ...]:
        """Columns that identify a row."""
        return (self.key, self.event_at) if self.is_repeatable and self.event_at else (self.key,)

    @property
    def table(self) -> str:
        """Qualified name."""
        return f"{self.schema}.{self.name}"

    @property
    def column_names(self) -> tuple[str, ...]:
        """Names in table order."""
        return tuple(column.name for column in self.columns)


RAW: dict[RelationName, RawRelation] = {
    relation.name: relation
    for relation in (
        RawRelation(
            "card_transactions",
            "One row per card transaction.",
            (
                Column("transaction_id", "BIGINT"),
                Column("occurred_at", TIMESTAMP),
                Column("customer_id", "BIGINT"),
                Column("terminal_id", "BIGINT"),
                Column("amount", "DECIMAL(12,2)"),
            ),
            key="transaction_id",
            event_at="occurred_at",
            corrected=("amount",),
        ),
        RawRelation(
            "fraud_reports",
            "One row per report of a transaction as fraudulent; the earliest counts.",
            (Column("transaction_id", "BIGINT"), Column("reported_at", TIMESTAMP)),
            key="transaction_id",
            event_at="reported_at",
            is_repeatable=True,
        ),
        RawRelation(
            "report_withdrawals",
            "One row per withdrawal: earlier reports of the transaction no longer count.",
            (Column("transaction_id", "BIGINT"), Column("withdrawn_at", TIMESTAMP)),
            key="transaction_id",
            event_at="withdrawn_at",
            is_repeatable=True,
        ),
        RawRelation(
            "customers",
            "One row per customer.",
            (
                Column("customer_id", "BIGINT"),
                Column("segment", "VARCHAR"),
                Column("age_band", "VARCHAR"),
                Column("sex", "VARCHAR"),
            ),
            key="customer_id",
            schema=PROTECTED,
            corrected=("segment", "age_band", "sex"),
        ),
        RawRelation(
            "terminals",
            "One row per terminal.",
            (Column("terminal_id", "BIGINT"), Column("kind", "VARCHAR")),
            key="terminal_id",
            corrected=("kind",),
        ),
    )
}

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
"""Tombstones: keyed hashes of erased customers and of their transactions, whose rows are never loaded again."""
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
TABLES_OF_LOADS = (
    *(relation.table for relation in RAW.values()),
    *(relation.versions_table for relation in RAW.values() if relation.corrected),
    LOADS_TABLE,
    REJECTS_TABLE,
    ERASED_TABLE,
)
"""Every table that a load changes."""


def raw_definitions(dialect: Dialect) -> tuple[Definition, ...]:
    """Definitions of the schemas and raw tables.

    They have no primary keys: DuckDB would keep an index of every id in memory, and Snowflake does not enforce keys.
    Loads check the ids instead.
    """
    definitions = [Definition(schema, f"create schema if not exists {schema}") for schema in (SCHEMA, PROTECTED)]
    for relation in RAW.values():
        columns = ", ".join(
            f"{column.name} {dialect.timestamp if column.type == TIMESTAMP else column.type} not null"
            for column in relation.columns
        )
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
