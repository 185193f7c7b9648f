"""The warehouse in one DuckDB file."""

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from lifecycle.errors import LifecycleError
from lifecycle.warehouse.duckdb.lock import lock_of
from lifecycle.warehouse.failures import as_lifecycle_error
from lifecycle.warehouse.interface import Definition, Dialect, Location, Result
from lifecycle.warehouse.raw_tables import raw_definitions
from serving.storage.crash_points import crash_point
from serving.storage.durable import replacing

if TYPE_CHECKING:
    import pyarrow as pa


ROWS_PER_BATCH = 100_000
DIALECT = Dialect(timestamp="TIMESTAMP")


class DuckDBSession:
    """Statements on one open connection, which also reads local files."""

    def __init__(self, connection: Any) -> None:
        self.connection = connection

    @property
    def files(self) -> "DuckDBSession":
        """This connection, which reads files itself."""
        return self

    def execute(self, sql: str, parameters: Sequence[object] = ()) -> None:
        """Run a statement and discard its result."""
        self.connection.execute(sql, list(parameters)).fetchall()

    def query(self, sql: str, parameters: Sequence[object] = ()) -> "pa.Table":
        """All rows of a query, in memory."""
        return self.connection.sql(sql, params=list(parameters)).to_arrow_table()

    def batches(
        self, sql: str, parameters: Sequence[object] = (), rows_per_batch: int = ROWS_PER_BATCH
    ) -> Iterator["pa.RecordBatch"]:
        """Rows of a query in batches."""
        yield from self.connection.sql(sql, params=list(parameters)).to_arrow_reader(rows_per_batch)

    def share(self, table: str) -> str:
        """The table's own name, since files are read on this connection."""
        return table

    def scratch(self, name: str, columns: str) -> str:
        """Create an empty temporary table."""
        self.execute(f"create temp table {name} ({columns})")
        return name

    def append(self, relation: str, rows: "pa.Table") -> None:
        """Insert `rows` into an existing relation, columns matched by name."""
        self.connection.register("_appended", rows)
        try:
            self.execute(f"insert into {relation} by name select * from _appended")
        finally:
            self.connection.unregister("_appended")

    @contextmanager
    def transaction(self, serial: str | None = None) -> Iterator[None]:  # noqa: ARG002 - the file has one writer
        """An atomic transaction; rolled back if the block raises."""
        self.execute("begin transaction")
        try:
            yield
            self.execute("commit")
        except BaseException:
            self._roll_back()
            raise

    def _roll_back(self) -> None:
        import duckdb

        try:
            self.execute("rollback")
        except duckdb.Error:
            # A fatal error has already ended the transaction; the original error is the one to report.
            return


def open_file(path: Path, memory_limit: str, threads: int) -> DuckDBSession:
    """A session on a DuckDB file that spills to `<path>.tmp`; the caller closes its connection."""
    import duckdb  # takes 0.25 s

    config = {
        "memory_limit": memory_limit,
        "threads": threads,
        "temp_directory": f"{path}.tmp",
        # A download would stall in a closed network, and a bank's machine must not fetch code by itself.
        "autoinstall_known_extensions": False,
        "autoload_known_extensions": False,
        # Otherwise `from rows` reads a Python variable of the caller if the table is missing.
        "python_enable_replacements": False,
    }
    connection = duckdb.connect(str(path), config=config)
    # After two seconds DuckDB would print a progress bar on stdout, which is reserved for JSON output.
    connection.execute("set TimeZone = 'UTC'; set enable_progress_bar = false")
    return DuckDBSession(connection)


class DuckDBWarehouse:
    """`Warehouse` in a DuckDB file, opened for each call under the file's lock.

    Parameters
    ----------
    path
        The file; `create` creates it.
    memory_limit
        DuckDB's memory before it spills to `<path>.tmp`, for example ``3GB``.
    threads
        DuckDB's worker threads.
    """

    def __init__(self, path: Path, memory_limit: str = "3GB", threads: int = 2) -> None:
        self.path = path
        self.memory_limit = memory_limit
        self.threads = threads
        self._lock = lock_of(path)

    @property
    def dialect(self) -> Dialect:
        """DuckDB's table definitions."""
        return DIALECT

    def create(self) -> None:
        """Create the file with the raw tables if it is missing; atomic, also when several processes call it."""
        if self.path.exists():
            return
        with self._lock.hold("creating the warehouse"):
            if self.path.exists():
                return
            with replacing(self.path, is_sole_writer=True) as unfinished:
                Path(f"{unfinished}.wal").unlink(missing_ok=True)
                with self._connection(unfinished) as session:
                    for definition in raw_definitions(DIALECT):
                        session.execute(definition.sql)
                crash_point("warehouse.tables_created")
            crash_point("warehouse.created")

    def query(self, sql: str, parameters: Sequence[object] = ()) -> "pa.Table":
        """All rows of a query, in memory."""
        with self.session("a query") as session:
            return session.query(sql, parameters)

    def batches(
        self, sql: str, parameters: Sequence[object] = (), rows_per_batch: int = ROWS_PER_BATCH
    ) -> Iterator["pa.RecordBatch"]:
        """Rows of a query in batches; the warehouse is held until the iterator is exhausted or closed."""
        with self.session("reading rows in batches") as session:
            yield from session.batches(sql, parameters, rows_per_batch)

    @contextmanager
    def transaction(self, purpose: str) -> Iterator[DuckDBSession]:
        """A session with an atomic transaction; rolled back if the block raises."""
        with self.session(purpose) as session, session.transaction():
            yield session

    def ensure(self, definitions: Sequence[Definition]) -> None:
        """Create the missing schemas and tables, in order."""
        with self.session("making tables") as session:
            for definition in definitions:
                session.execute(definition.sql)

    def retrying(self, operation: Callable[[], Result]) -> Result:
        """The result of `operation`; a connection to a file is never lost."""
        return operation()

    def location(self) -> Location:
        """The file and its size."""
        return Location(str(self.path), self.path.stat().st_size)

    def columns(self, relation: str) -> dict[str, str]:
        """Column names and SQL types of ``schema.table``, in order."""
        schema, _, table = relation.rpartition(".")
        rows = self.query(
            "select column_name, data_type from information_schema.columns "
            "where table_schema = ? and table_name = ? order by ordinal_position",
            [schema or "main", table],
        ).to_pylist()
        if not rows:
            raise LifecycleError(f"Expected a relation {relation}, found none - in {self.path}")
        return {row["column_name"]: row["data_type"] for row in rows}

    @contextmanager
    def exclusive(self, purpose: str) -> Iterator[None]:
        """Lock out all other processes while a child process (dbt) uses the warehouse.

        Raises
        ------
        RuntimeError
            If this thread has the file open: the child process could not open it.
        """
        with self._lock.hold(purpose):
            if self._lock.open_connections:
                raise RuntimeError("Expected the warehouse to be closed, got a transaction or batches still open")
            yield

    @contextmanager
    def kept_open(self, purpose: str) -> Iterator[None]:
        """Keep the file open, so that a query within the block takes 1 ms instead of 20 or more to open it."""
        with self.session(purpose):
            yield

    @contextmanager
    def session(self, purpose: str, *, is_appending: bool = False) -> Iterator[DuckDBSession]:
        """An open connection in autocommit mode."""
        with self._lock.hold(purpose), self._connection(self.path) as session:
            if is_appending:
                # The checkpoint at the end would merge small row groups: 130 MB for each 122,880 decisions.
                session.execute("set global max_vacuum_tasks = 0")
            yield session

    @contextmanager
    def _connection(self, path: Path) -> Iterator[DuckDBSession]:
        import duckdb  # takes 0.25 s

        try:
            session = open_file(path, self.memory_limit, self.threads)
            self._lock.open_connections += 1
            try:
                yield session
            finally:
                self._lock.open_connections -= 1
                session.connection.close()
        except (duckdb.IOException, duckdb.OutOfMemoryException, duckdb.FatalException) as error:
            raise as_lifecycle_error(error, self.path) from error
