"""A writing connection to Snowflake."""

import datetime as dt
import secrets
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING

from lifecycle.errors import LifecycleError
from lifecycle.settings.platform import Settings
from lifecycle.warehouse.duckdb.warehouse import DuckDBSession, open_file
from lifecycle.warehouse.snowflake import arrow, staged
from lifecycle.warehouse.snowflake.failures import StaleSessionError
from lifecycle.warehouse.snowflake.queries import SnowflakeQueries
from serving.storage.crash_points import crash_point
from serving.storage.temporary_folders import temporary_folder

if TYPE_CHECKING:
    import pyarrow as pa
    from snowflake.connector import SnowflakeConnection

INSERTED_BY_VALUES = 200
"""Rows that one statement inserts as values; outside of a transaction, more rows are loaded from a staged file."""


class SnowflakeSession(SnowflakeQueries):
    """A connection with scratch tables, staged files and transactions.

    DuckDB reads, casts and checks files in this process, so that a bad file is rejected before any row leaves the
    machine; accepted rows are staged as Parquet.
    """

    def __init__(self, connection: "SnowflakeConnection", settings: Settings, purpose: str) -> None:
        super().__init__(connection, settings.snowflake)
        self.purpose = purpose
        self._memory_limit, self._threads = settings.duckdb_memory_limit, settings.duckdb_threads
        self._staged_dir = settings.staged_dir
        self._folders = ExitStack()
        self._is_in_transaction = False

    @cached_property
    def folder(self) -> Path:
        """The session's temporary folder for staged files; what a killed session left of its own is removed first."""
        return self._folders.enter_context(temporary_folder(self._staged_dir))

    @cached_property
    def files(self) -> DuckDBSession:
        """An in-process DuckDB that spills into the session's folder."""
        return open_file(self.folder / "files.duckdb", self._memory_limit, self._threads)

    def share(self, table: str) -> str:
        """Copy a temporary table of `files` into a scratch table through staged Parquet; returns the scratch table."""
        schema = self.files.query(f"select * from {table} limit 0").schema
        columns = ", ".join(f"{field.name} {arrow.column_type(field.type)}" for field in schema)
        name = self.scratch(table, columns)
        parts = self.folder / name
        self.files.execute(
            f"copy {table} to '{parts}' (format parquet, compression zstd, file_size_bytes '{staged.FILE_SIZE}')"
        )
        rows = self.files.query(f"select count(*) as row_count from {table}").column(0)[0].as_py()
        self._copy_in(name, parts, rows)
        return name

    def scratch(self, name: str, columns: str) -> str:
        """Create an empty temporary table, which no other session can read."""
        self._expect_no_transaction()
        table = f"raw.scratch_{name}_{secrets.token_hex(4)}"
        self.execute(f"create temporary table {table} ({columns})")
        return table

    def append(self, relation: str, rows: "pa.Table") -> None:
        """Insert `rows` into an existing relation, columns matched by name.

        Many rows are loaded from a staged file, except in a transaction, which creating a stage would commit.
        """
        if self._is_in_transaction or rows.num_rows <= INSERTED_BY_VALUES:
            for start in range(0, rows.num_rows, INSERTED_BY_VALUES):
                self._insert_values(relation, rows.slice(start, INSERTED_BY_VALUES))
            return
        import pyarrow.parquet as pq

        parts = self.folder / f"appended_{secrets.token_hex(4)}"
        parts.mkdir()
        pq.write_table(rows, parts / "rows.parquet", compression="zstd")
        self._copy_in(relation, parts, rows.num_rows)

    @contextmanager
    def transaction(self, serial: str | None = None) -> Iterator[None]:
        """An atomic transaction; rolled back if the block raises.

        Transactions with the same `serial` first update the same row and therefore wait for its lock: Snowflake does
        not enforce unique keys, and neither of two concurrent loads would see the other's rows.

        Raises
        ------
        StaleSessionError
            If another transaction with this `serial` has committed since this one began: a session may not see other
            sessions' commits at once, so the operation has to be retried from its start in a new session
            (https://docs.snowflake.com/en/sql-reference/transactions, read consistency across sessions).
        """
        self._expect_no_transaction()
        turn = self._turn(serial) if serial else 0
        self.execute("begin")
        self._is_in_transaction = True
        try:
            if serial:
                self._take_lock(serial, turn)
            yield
            crash_point("snowflake.before_commit")
            self.execute("commit")
        except BaseException:
            self._roll_back()
            raise
        finally:
            self._is_in_transaction = False

    def close_files(self) -> None:
        """Remove the temporary folder of staged files."""
        if "files" in self.__dict__:
            self.files.connection.close()
        self._folders.close()

    def _copy_in(self, relation: str, parts: Path, rows: int) -> None:
        if rows:
            staged.copy_into(self, relation, parts, rows)

    def _insert_values(self, relation: str, rows: "pa.Table") -> None:
        names = ", ".join(rows.column_names)
        one = f"({', '.join('?' * rows.num_columns)})"
        values = [value for row in zip(*(column.to_pylist() for column in rows.columns), strict=True) for value in row]
        self.execute(f"insert into {relation} ({names}) values {', '.join([one] * rows.num_rows)}", values)

    def _turn(self, serial: str) -> int:
        """Number of committed transactions of this `serial` that this session sees."""
        table = f"raw.{_lock(serial)}"
        tables = self.query(
            "select count(*) as row_count from information_schema.tables where table_schema = 'RAW' and table_name = ?",
            [_lock(serial).upper()],
        )
        if not tables.column(0)[0].as_py():
            self.execute(f"create table if not exists {table} (turn bigint, purpose varchar, since timestamp_ntz(6))")
        turn: int | None = self.query(f"select max(turn) as turn from {table}").column(0)[0].as_py()
        if turn is None:
            # Two processes may both insert a row; each transaction updates all rows, so that they share one lock.
            self.execute(f"insert into {table} (turn, purpose, since) values (0, ?, ?)", [self.purpose, _now()])
        return turn or 0

    def _take_lock(self, serial: str, turn: int) -> None:
        table = f"raw.{_lock(serial)}"
        self.execute(f"update {table} set turn = turn + 1, purpose = ?, since = ?", [self.purpose, _now()])
        taken = self.query(f"select max(turn) as turn from {table}").column(0)[0].as_py()
        if taken != turn + 1:
            raise StaleSessionError(
                f"Expected turn {turn + 1} of {table}, got {taken}: another transaction committed first - in "
                f"{self.settings.database}. Run it again: completed work is not repeated."
            )

    def _roll_back(self) -> None:
        try:
            self.execute("rollback")
        except LifecycleError:
            # The service rolls back lost sessions itself; the original error is the one to report.
            return

    def _expect_no_transaction(self) -> None:
        if self._is_in_transaction:
            raise RuntimeError("Expected no open transaction, got an open one: a definition would commit it")


def _lock(serial: str) -> str:
    return f"{serial}_lock"


def _now() -> dt.datetime:
    return dt.datetime.now(dt.UTC).replace(tzinfo=None)
