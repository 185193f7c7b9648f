"""The models' SQL as dbt compiles it, run in this process: a build costs milliseconds instead of dbt's seconds."""

import datetime as dt
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import duckdb
import pyarrow as pa

from lifecycle.warehouse.duckdb.warehouse import DIALECT
from lifecycle.warehouse.raw_tables import raw_definitions
from tests.harness.features_generated import RawRows

SENTINEL_START = dt.date(2000, 1, 1)
SENTINEL_END = dt.date(2001, 1, 1)
LOOK_BACK_DAYS = (0, 30, 37, 67)
VIEWS = ("staging/stg_card_transactions", "staging/stg_fraud_reports")
TABLES = {
    "intermediate/int_reported_transactions": 37,
    "intermediate/int_customer_windows": 0,
    "intermediate/int_terminal_windows": 0,
    "marts/card_transaction_features": 0,
}
"""Models in the order they are built, with the number of days before a range that are rebuilt with it."""


@dataclass
class InProcessBuild:
    """A warehouse in memory, built by the days with the SQL compiled for the sentinel days."""

    compiled: Path
    rows: RawRows
    connection: Any = field(init=False)

    def __post_init__(self) -> None:
        self.connection = duckdb.connect(config={"threads": 1})
        self.connection.execute("attach ':memory:' as warehouse; use warehouse")
        for statement in (
            *(found.sql for found in raw_definitions(DIALECT)),
            *(f"create schema {name}" for name in ("staging", "intermediate", "marts")),
        ):
            self.connection.execute(statement)
        self.insert(self.rows)
        for view in VIEWS:
            self.connection.execute(f"create view {view.replace('/', '.')} as {self._sql(view)}")
        for table in TABLES:
            empty = self._sql(table, dt.date(1970, 3, 1), dt.date(1970, 3, 2))
            self.connection.execute(f"create table {table.replace('/', '.')} as {empty}")

    def insert(self, rows: RawRows) -> None:
        """Append to the raw tables."""
        for relation, appended in (
            ("card_transactions", rows.transactions),
            ("fraud_reports", rows.reports),
            ("report_withdrawals", rows.withdrawals),
        ):
            self.connection.register("appended", appended)
            self.connection.execute(f"insert into raw.{relation} by name select * from appended")

    def build(self, start: dt.date, end: dt.date) -> None:
        """Delete and insert the days ``[start, end)``, as the incremental strategy of the project does."""
        for table, days_before in TABLES.items():
            relation = table.replace("/", ".")
            self.connection.execute("begin")
            self.connection.execute(f"create temp table built as {self._sql(table, start, end)}")
            first = start - dt.timedelta(days=days_before)
            self.connection.execute(
                f"delete from {relation} where occurred_at >= date '{first}' and occurred_at < date '{end}'"
            )
            self.connection.execute(f"insert into {relation} by name select * from built")
            self.connection.execute("drop table built")
            self.connection.execute("commit")

    def features(self) -> pa.Table:
        """The mart, by transaction_id."""
        return self.connection.sql(
            "select * from marts.card_transaction_features order by transaction_id"
        ).to_arrow_table()

    def _sql(self, model: str, start: dt.date = SENTINEL_START, end: dt.date = SENTINEL_END) -> str:
        sql = (self.compiled / f"{model}.sql").read_text()
        for days in LOOK_BACK_DAYS:
            back = dt.timedelta(days=days)
            sql = sql.replace(f"'{SENTINEL_START - back}'", f"'{start - back}'")
        return sql.replace(f"'{SENTINEL_END}'", f"'{end}'")
