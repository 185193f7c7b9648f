"""What the platform asks of a warehouse, whichever it is."""

from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    import pyarrow as pa


class Session(Protocol):
    """Statements of one transaction; they see each other's effects."""

    def execute(self, sql: str, parameters: Sequence[object] = ()) -> None:
        """Run a statement whose result nobody reads."""

    def query(self, sql: str, parameters: Sequence[object] = ()) -> "pa.Table":
        """All rows of a query, in memory."""

    def append(self, relation: str, rows: "pa.Table") -> None:
        """Insert `rows` into an existing relation, columns matched by name."""


class Warehouse(Protocol):
    """Tables under one name; every call takes the warehouse for itself for as short as it can."""

    def query(self, sql: str, parameters: Sequence[object] = ()) -> "pa.Table":
        """All rows of a query, in memory."""

    def batches(
        self, sql: str, parameters: Sequence[object] = (), rows_per_batch: int = 100_000
    ) -> Iterator["pa.RecordBatch"]:
        """Rows of a query in batches; the warehouse is held until the iterator is exhausted or closed.

        To be read in the thread that began it.
        """

    def transaction(self, purpose: str) -> AbstractContextManager[Session]:
        """Statements that take effect all together, or none if the block raises. `purpose` is shown to who waits."""

    def columns(self, relation: str) -> dict[str, str]:
        """Column names and SQL types of ``schema.table``, in order.

        Raises
        ------
        LifecycleError
            If there is no such relation.
        """

    def exclusive(self, purpose: str) -> AbstractContextManager[None]:
        """Keep every other process out while a child process of ours (dbt) uses the warehouse."""
