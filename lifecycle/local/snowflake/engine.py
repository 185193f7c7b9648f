"""fakesnow's connections over the endpoint's files; translates DuckDB's errors into Snowflake's."""

import json
from importlib import import_module
from pathlib import Path
from typing import Any

import duckdb
import snowflake.connector.errors
from fakesnow.conn import FakeSnowflakeConnection
from fakesnow.cursor import FakeSnowflakeCursor
from fakesnow.instance import FakeSnow
from fakesnow.transforms import stage
from snowflake.connector.cursor import SnowflakeCursor

from lifecycle.local.snowflake.answers import LOCKED
from lifecycle.local.snowflake.grants import Objects

TEMPORARY = "TEMPORARY"
"""Kind of tables that are dropped with their session; DuckDB's own temporary tables have no schema."""


class Cursor(FakeSnowflakeCursor):
    """fakesnow's cursor; fakesnow answers other DuckDB errors with HTTP 500, which the connector would retry."""

    def _execute(self, transformed: Any, params: Any = None) -> None:
        try:
            super()._execute(transformed, params)
        except duckdb.TransactionException as error:
            code, sqlstate, _ = LOCKED
            raise _failed(f"Statement was aborted: {_first_line(error)}", int(code), sqlstate) from error
        except duckdb.ConstraintException as error:
            raise _failed(f"NULL result in a non-nullable column: {_first_line(error)}", 100072, "22000") from error
        except duckdb.Error as error:
            raise _failed(f"SQL execution error: {type(error).__name__}: {_first_line(error)}", 603, "XX000") from error


class Connection(FakeSnowflakeConnection):
    """fakesnow's connection with cursors that translate errors."""

    def cursor(self, cursor_class: type[SnowflakeCursor] = SnowflakeCursor) -> Cursor:  # noqa: ARG002 - fakesnow's
        """Open a cursor."""
        return Cursor(conn=self, duck_conn=self._duck_conn, use_dict_result=False)

    def run(self, sql: str) -> None:
        """Run a statement of the endpoint itself, for example the commit before a definition."""
        self.cursor().execute(sql)

    def interrupt(self) -> None:
        """Cancel the running statement, if any."""
        self._duck_conn.interrupt()


class Engine(FakeSnow):
    """The account: databases and stages are stored below `home`."""

    def __init__(self, home: Path) -> None:
        super().__init__(db_path=home)
        self._catalog = home / "made.jsonl"
        files = home / "stages"
        files.mkdir(parents=True, exist_ok=True)
        stage.LOCAL_BUCKET_PATH = str(files)
        temporary = str(home / "tmp").replace("'", "''")
        self.duck_conn.execute(f"set global temp_directory = '{temporary}'")
        self.owners: dict[tuple[str, str], str] = {}
        """Role that created a TABLE, VIEW or STAGE, by kind and qualified name."""
        for line in self._catalog.read_text().splitlines() if self._catalog.exists() else []:
            # After a kill the last line may be incomplete; its object then has no owner.
            if line.endswith("}"):
                made = json.loads(line)
                self.owners[made["kind"], made["name"]] = made["role"]
        self._restore()
        server: Any = import_module("fakesnow.server")
        server.shared_fs = self

    def connect(
        self, database: str | None = None, schema: str | None = None, nop_regexes: list[str] | None = None, **more: Any
    ) -> Connection:
        """Open a connection; creates the database and schema if they are missing."""
        return Connection(
            self.duck_conn.cursor(),
            self.results_cache,
            database,
            schema,
            create_database=True,
            create_schema=True,
            db_path=self.db_path,
            nop_regexes=nop_regexes,
            **more,
        )

    def made(self, kind: str, name: str, role: str, *, keep: bool) -> None:
        """Store the owner of a new object on disk; with `keep` an existing owner stays."""
        owner = self.owners.get((kind, name))
        if owner == role or (keep and owner):
            return
        self.owners[kind, name] = role
        with self._catalog.open("a") as file:
            file.write(json.dumps({"kind": kind, "name": name, "role": role}) + "\n")

    def objects(self) -> Objects:
        """Tables and views that exist, names in upper case, and the role that created each table, view and stage."""
        with self.duck_conn.cursor() as cursor:
            relations = cursor.execute(
                """
                select 'TABLE', upper(database_name || '.' || schema_name || '.' || table_name)
                from duckdb_tables() where not temporary and not internal
                union all
                select 'VIEW', upper(database_name || '.' || schema_name || '.' || view_name)
                from duckdb_views() where not temporary and not internal
                """
            ).fetchall()
        return Objects([(kind, name) for kind, name in relations if "_FS_" not in name], self.owners)

    def _restore(self) -> None:
        """Recreate the stages, which fakesnow keeps in memory; drop temporary tables of earlier sessions."""
        for kind, name in list(self.owners):
            database, schema, _ = name.split(".")
            connection = self.connect(database, schema)
            if kind == "STAGE":
                connection.run(f"create stage if not exists {name}")
            elif kind == TEMPORARY:
                connection.run(f"drop table if exists {name}")
                del self.owners[kind, name]
            connection.close()


def _failed(message: str, errno: int, sqlstate: str) -> snowflake.connector.errors.ProgrammingError:
    return snowflake.connector.errors.ProgrammingError(msg=message, errno=errno, sqlstate=sqlstate)


def _first_line(error: Exception) -> str:
    return str(error).split("\n")[0]
