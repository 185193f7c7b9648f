"""fakesnow's connections over files of ours, with DuckDB's errors answered as Snowflake's."""

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
"""Kind of what is dropped with its session; DuckDB's own temporary tables have no schema."""


class Cursor(FakeSnowflakeCursor):
    """fakesnow's cursor; what it lets through of DuckDB's errors would be answered with HTTP 500, and retried."""

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
    """fakesnow's connection with our cursors."""

    def cursor(self, cursor_class: type[SnowflakeCursor] = SnowflakeCursor) -> Cursor:  # noqa: ARG002 - fakesnow's
        """One that answers as an account does."""
        return Cursor(conn=self, duck_conn=self._duck_conn, use_dict_result=False)

    def run(self, sql: str) -> None:
        """A statement of the endpoint's own, for example the commit before a definition."""
        self.cursor().execute(sql)

    def interrupt(self) -> None:
        """Stop the statement that runs, if one does."""
        self._duck_conn.interrupt()


class Engine(FakeSnow):
    """The account: databases are files below `home`, and stages stay there as well."""

    def __init__(self, home: Path) -> None:
        super().__init__(db_path=home)
        self._catalog = home / "made.jsonl"
        files = home / "stages"
        files.mkdir(parents=True, exist_ok=True)
        stage.LOCAL_BUCKET_PATH = str(files)
        temporary = str(home / "tmp").replace("'", "''")
        self.duck_conn.execute(f"set global temp_directory = '{temporary}'")
        self.owners: dict[tuple[str, str], str] = {}
        """Role that made a TABLE, VIEW or STAGE, by kind and qualified name."""
        for line in self._catalog.read_text().splitlines() if self._catalog.exists() else []:
            # The last line may be half a line after a kill; what it named is then nobody's.
            if line.endswith("}"):
                made = json.loads(line)
                self.owners[made["kind"], made["name"]] = made["role"]
        self._restore()
        server: Any = import_module("fakesnow.server")
        server.shared_fs = self

    def connect(
        self, database: str | None = None, schema: str | None = None, nop_regexes: list[str] | None = None, **more: Any
    ) -> Connection:
        """A connection of its own; makes database and schema that are missing."""
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
        """Remember, also after the endpoint's end, who made something; with `keep` who made it first."""
        known = self.owners.get((kind, name))
        if known == role or (keep and known):
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
        """Make the stages again, which fakesnow keeps in memory; drop the temporary tables of sessions before."""
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
