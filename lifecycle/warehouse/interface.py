"""What the platform asks of a warehouse, whichever it is."""

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
    """What a warehouse is opened for: which role, virtual warehouse and query tag its connections get."""

    step: Step = "read"
    model: str | None = None
    asset: str | None = None
    run_id: str | None = None


@dataclass(frozen=True)
class Location:
    """Where a warehouse lies, for people; `size_bytes` is what it stores, ``None`` where that is not known."""

    name: str
    size_bytes: int | None


@dataclass(frozen=True)
class Dialect:
    """Words of table definitions that differ."""

    timestamp: str
    """Type of a moment in UTC to the microsecond, without a time zone."""


@dataclass(frozen=True)
class Definition:
    """A statement that makes one thing where it is missing; `name` is ``schema`` or ``schema.table``."""

    name: str
    sql: str


class Queries(Protocol):
    """Statements of one connection; each sees the effects of those before it."""

    def execute(self, sql: str, parameters: Sequence[object] = ()) -> None:
        """Run a statement whose result nobody reads."""

    def query(self, sql: str, parameters: Sequence[object] = ()) -> "pa.Table":
        """All rows of a query, in memory; column names in lower case."""


class Session(Queries, Protocol):
    """One connection that may write.

    Tables are made only outside of `transaction`: Snowflake commits an open transaction at every definition.
    """

    @property
    def files(self) -> Queries:
        """Where local files are read, in DuckDB's SQL whichever the warehouse is."""

    def share(self, table: str) -> str:
        """Make a temporary table of `files` readable by this session's statements; returns the name it has there."""

    def scratch(self, name: str, columns: str) -> str:
        """Make an empty table that lives no longer than the session; returns the name it has in statements."""

    def batches(self, sql: str, parameters: Sequence[object] = ()) -> Iterator["pa.RecordBatch"]:
        """Rows of a query in batches, all of one schema; memory is bounded by a few of them."""

    def append(self, relation: str, rows: "pa.Table") -> None:
        """Insert `rows` into an existing relation, columns matched by name."""

    def transaction(self, serial: str | None = None) -> AbstractContextManager[None]:
        """Statements that take effect all together, or none if the block raises.

        Of several transactions of the same `serial` one goes on and the others wait, wherever their processes run.
        """


class Warehouse(Protocol):
    """Tables under one name; every call takes the warehouse for itself for as short as it can."""

    @property
    def dialect(self) -> Dialect:
        """Words of this warehouse's table definitions."""

    def ensure(self, definitions: Sequence[Definition]) -> None:
        """Make what is missing of these, in order."""

    def query(self, sql: str, parameters: Sequence[object] = ()) -> "pa.Table":
        """All rows of a query, in memory; column names in lower case."""

    def batches(
        self, sql: str, parameters: Sequence[object] = (), rows_per_batch: int = 100_000
    ) -> Iterator["pa.RecordBatch"]:
        """Rows of a query in batches; the warehouse is held until the iterator is exhausted or closed.

        To be read in the thread that began it.
        """

    def session(self, purpose: str) -> AbstractContextManager[Session]:
        """A connection that may write; `purpose` is shown to who waits for it."""

    def transaction(self, purpose: str) -> AbstractContextManager[Session]:
        """A session whose statements take effect all together, or none if the block raises."""

    def retrying(self, operation: Callable[[], Result]) -> Result:
        """The result of `operation`, which may be repeated whole, after a connection that was lost as well."""

    def columns(self, relation: str) -> dict[str, str]:
        """Column names and SQL types of ``schema.table``, in order.

        Raises
        ------
        LifecycleError
            If there is no such relation.
        """

    def exclusive(self, purpose: str) -> AbstractContextManager[None]:
        """Keep every other process of this machine out while a child process of ours (dbt) uses the warehouse."""

    def location(self) -> Location:
        """Where it lies and how much it stores."""
