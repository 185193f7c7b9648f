"""The warehouse in a Snowflake account."""

import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager
from typing import TYPE_CHECKING

from lifecycle.errors import LifecycleError
from lifecycle.settings.platform import Settings
from lifecycle.warehouse.duckdb.lock import lock_of
from lifecycle.warehouse.failures import as_lifecycle_error
from lifecycle.warehouse.interface import Definition, Dialect, Location, Result, Use
from lifecycle.warehouse.snowflake.connection import close, connect
from lifecycle.warehouse.snowflake.failures import ConnectionLostError
from lifecycle.warehouse.snowflake.queries import SnowflakeQueries
from lifecycle.warehouse.snowflake.session import SnowflakeSession

if TYPE_CHECKING:
    import pyarrow as pa

DIALECT = Dialect(timestamp="timestamp_ntz(6)")
FIRST_PAUSE_SECONDS = 1.0


class SnowflakeWarehouse:
    """`Warehouse` in a Snowflake account: keeps one connection for reading and opens one for each writing session.

    A lock file serialises writing processes of this machine, and waiting ones log its holder; a lock in Snowflake
    serialises those of several machines, see `SnowflakeSession.transaction`.
    """

    def __init__(self, settings: Settings, use: Use) -> None:
        settings.snowflake.expect_complete(use.step)
        self._all_settings = settings
        self.settings = settings.snowflake
        self.use = use
        settings.root.mkdir(parents=True, exist_ok=True)
        self._lock = lock_of(settings.root / "snowflake")
        self._reading: SnowflakeQueries | None = None

    @property
    def dialect(self) -> Dialect:
        """Snowflake's table definitions."""
        return DIALECT

    def ensure(self, definitions: Sequence[Definition]) -> None:
        """Create the missing schemas and tables; existing ones, which the role may not create, send no statement."""
        with self._forgetting():
            present = self._present({definition.name.partition(".")[0] for definition in definitions})
        missing = [definition for definition in definitions if definition.name not in present]
        if not missing:
            return
        with self.session("making tables") as session:
            for definition in missing:
                session.execute(definition.sql)

    def query(self, sql: str, parameters: Sequence[object] = ()) -> "pa.Table":
        """All rows of a query, in memory; column names in lower case."""
        return self.retrying(lambda: self._queries().query(sql, parameters))

    def batches(
        self, sql: str, parameters: Sequence[object] = (), rows_per_batch: int = 100_000
    ) -> "Iterator[pa.RecordBatch]":
        """Rows of a query in batches of at most `rows_per_batch`; not retried after a lost connection."""
        with self._forgetting():
            for batch in self._queries().batches(sql, parameters):
                for start in range(0, max(batch.num_rows, 1), rows_per_batch):
                    yield batch.slice(start, rows_per_batch)

    @contextmanager
    def session(self, purpose: str, *, is_appending: bool = False) -> Iterator[SnowflakeSession]:  # noqa: ARG002
        """A new connection that may write; its scratch tables, stages and files are removed at the end."""
        with self._lock.hold(purpose):
            opened = connect(self.settings, self.use)
            session = SnowflakeSession(opened, self._all_settings, purpose)
            try:
                with _translated_disk_errors(session):
                    yield session
            finally:
                session.close_files()
                close(opened)

    @contextmanager
    def transaction(self, purpose: str) -> Iterator[SnowflakeSession]:
        """A session with an atomic transaction; rolled back if the block raises."""
        with self.session(purpose) as session, session.transaction():
            yield session

    def retrying(self, operation: Callable[[], Result]) -> Result:
        """The result of `operation`, retried after a lost connection with a growing pause."""
        for attempt in range(self.settings.attempts - 1):
            try:
                with self._forgetting():
                    return operation()
            except ConnectionLostError:
                time.sleep(FIRST_PAUSE_SECONDS * 2**attempt)
        with self._forgetting():
            return operation()

    def columns(self, relation: str) -> dict[str, str]:
        """Column names and SQL types of ``schema.table``, in order."""
        schema, _, table = relation.rpartition(".")
        rows = self.query(
            "select lower(column_name) as name, lower(data_type) as type from information_schema.columns "
            "where table_schema = ? and table_name = ? order by ordinal_position",
            [schema.upper(), table.upper()],
        ).to_pylist()
        if not rows:
            raise LifecycleError(f"Expected a relation {relation}, found none - in {self.location().name}")
        return {row["name"]: row["type"] for row in rows}

    @contextmanager
    def exclusive(self, purpose: str) -> Iterator[None]:
        """Lock out this machine's other writing processes while dbt runs."""
        with self._lock.hold(purpose):
            yield

    def kept_open(self, purpose: str) -> AbstractContextManager[None]:
        """Lock out this machine's other writing processes; the reading connection is kept in any case."""
        return self.exclusive(purpose)

    def location(self) -> Location:
        """Account and database; the size is unknown, since reading it takes a privilege on the account."""
        return Location(f"{self.settings.host or self.settings.account}/{self.settings.database}", None)

    def close(self) -> None:
        """Close the reading connection; the next query opens a new one."""
        if self._reading is not None:
            close(self._reading.connection)
            self._reading = None

    def _queries(self) -> SnowflakeQueries:
        if self._reading is None:
            self._reading = SnowflakeQueries(connect(self.settings, self.use), self.settings)
        return self._reading

    @contextmanager
    def _forgetting(self) -> Iterator[None]:
        """Drop a lost connection, so that the next query opens a new one."""
        try:
            yield
        except ConnectionLostError:
            self.close()
            raise

    def _present(self, schemas: set[str]) -> set[str]:
        marks = ", ".join("?" * len(schemas))
        names = [schema.upper() for schema in sorted(schemas)]
        names_present = self._queries().query(
            f"select lower(schema_name) as name from information_schema.schemata where schema_name in ({marks}) "
            "union all select lower(table_schema || '.' || table_name) as name from information_schema.tables "
            f"where table_schema in ({marks})",
            [*names, *names],
        )
        return set(names_present.column("name").to_pylist())


@contextmanager
def _translated_disk_errors(session: SnowflakeSession) -> Iterator[None]:
    """Translate errors of disk and memory for staged files, as for a DuckDB warehouse."""
    import duckdb

    try:
        yield
    except (duckdb.IOException, duckdb.OutOfMemoryException, duckdb.FatalException, OSError) as error:
        raise as_lifecycle_error(error, session.folder / "files.duckdb") from error
