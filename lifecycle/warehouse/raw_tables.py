"""The raw relations, which are loaded from files and read by dbt."""

from dataclasses import dataclass
from typing import Literal, get_args

from lifecycle.warehouse.interface import Definition, Dialect

RelationName = Literal["card_transactions", "fraud_reports", "customers", "terminals"]
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
    """A raw table: `key` identifies a row, and loads are reported by the day of `event_at`."""

    name: RelationName
    grain: str
    columns: tuple[Column, ...]
    key: str
    event_at: str | None = None
    schema: str = SCHEMA

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
        ),
        RawRelation(
            "fraud_reports",
            "One row per transaction that was reported as fraudulent.",
            (Column("transaction_id", "BIGINT"), Column("reported_at", TIMESTAMP)),
            key="transaction_id",
            event_at="reported_at",
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
        ),
        RawRelation(
            "terminals",
            "One row per terminal.",
            (Column("terminal_id", "BIGINT"), Column("kind", "VARCHAR")),
            key="terminal_id",
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
    loads = _LOADS_COLUMNS.format(timestamp=dialect.timestamp)
    definitions.append(Definition(LOADS_TABLE, f"create table if not exists {LOADS_TABLE} ({loads})"))
    return tuple(definitions)
