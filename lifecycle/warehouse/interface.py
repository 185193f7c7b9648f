"""The interface of a warehouse."""

from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol, TypeVar

from lifecycle.settings.snowflake import Step

if TYPE_CHECKING:
    import pyarrow as pa

Result = TypeVar("Result")


@dataclass(frozen=True)
class Use:
    """Purpose of a connection; selects role, virtual warehouse and query tag."""

    step: Step = "read"
    model: str | None = None
    asset: str | None = None
    run_id: str | None = None


@dataclass(frozen=True)
class Location:
    """Where a warehouse is stored, for display; `size_bytes` is ``None`` if unknown."""

    name: str
    size_bytes: int | None


@dataclass(frozen=True)
class Dialect:
    """Parts of table definitions that differ between warehouses."""

    timestamp: str
    """Type of a UTC timestamp in microseconds, without a time zone."""


@dataclass(frozen=True)
class Definition:
    """A statement that creates a schema or table if it is missing; `name` is ``schema`` or ``schema.table``."""

    name: str
    sql: str


class Queries(Protocol):
    """Statements of one connection; each sees the effects of earlier ones."""

    def execute(self, sql: str, parameters: Sequence[object] = ()) -> None:
        """Run a statement and discard its result."""

    def query(self, sql: str, parameters: Sequence[object] = ()) -> "pa.Table":
        """All rows of a query, in memory; column names in lower case."""


class Session(Queries, Protocol):
    """One connection that may write.

    Tables are created only outside of `transaction`: in Snowflake every definition commits the open transaction.
    """

    @property
    def files(self) -> Queries:
        """The DuckDB connection that reads local files, for every warehouse."""

    def share(self, table: str) -> str:
        """Make a temporary table of `files` available to this session; returns its name in the session."""

    def scratch(self, name: str, columns: str) -> str:
        """Create an empty table that is dropped with the session; returns its name."""

    def batches(self, sql: str, parameters: Sequence[object] = ()) -> Iterator["pa.RecordBatch"]:
        """Rows of a query in batches of one schema; only a few batches are in memory at a time."""

    def append(self, relation: str, rows: "pa.Table") -> None:
        """Insert `rows` into an existing relation, columns matched by name."""

    def transaction(self, serial: str | None = None) -> AbstractContextManager[None]:
        """An atomic transaction; rolled back if the block raises.

        Transactions with the same `serial` run one after the other, also those of processes on other machines.
        """


class Warehouse(Protocol):
    """A warehouse; each call holds it only as long as necessary."""

    @property
    def dialect(self) -> Dialect:
        """SQL of this warehouse's table definitions."""

    def ensure(self, definitions: Sequence[Definition]) -> None:
        """Create the missing schemas and tables, in order."""

    def query(self, sql: str, parameters: Sequence[object] = ()) -> "pa.Table":
        """All rows of a query, in memory; column names in lower case."""

    def batches(
        self, sql: str, parameters: Sequence[object] = (), rows_per_batch: int = 100_000
    ) -> Iterator["pa.RecordBatch"]:
        """Rows of a query in batches; the warehouse is held until the iterator is exhausted or closed.

        Read it in the thread that created it.
        """

    def session(self, purpose: str, *, is_appending: bool = False) -> AbstractContextManager[Session]:
        """A connection that may write; waiting processes log its `purpose`.

        With `is_appending` it adds few rows at a time to large tables and removes none: DuckDB then does not merge
        their row groups, which takes memory in proportion to the table.
        """

    def transaction(self, purpose: str) -> AbstractContextManager[Session]:
        """A session with an atomic transaction; rolled back if the block raises."""

    def retrying(self, operation: Callable[[], Result]) -> Result:
        """The result of an idempotent `operation`, retried from its start after a lost connection."""

    def columns(self, relation: str) -> dict[str, str]:
        """Column names and SQL types of ``schema.table``, in order.

        Raises
        ------
        LifecycleError
            If the relation does not exist.
        """

    def exclusive(self, purpose: str) -> AbstractContextManager[None]:
        """Lock out all other processes of this machine while a child process (dbt) uses the warehouse."""

    def kept_open(self, purpose: str) -> AbstractContextManager[None]:
        """Keep the warehouse open for many queries of this thread; other writing processes of this machine wait.

        To open DuckDB's file takes 20 ms or more, which a query of one day does not. No child process can use the
        warehouse meanwhile.
        """

    def location(self) -> Location:
        """Where the warehouse is stored, and its size."""
