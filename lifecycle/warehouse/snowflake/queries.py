"""Queries over one Snowflake connection."""

import itertools
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING

from lifecycle.settings.snowflake import SnowflakeSettings
from lifecycle.warehouse.snowflake import arrow
from lifecycle.warehouse.snowflake.failures import as_lifecycle_error, connection_lost

if TYPE_CHECKING:
    import pyarrow as pa
    from snowflake.connector import SnowflakeConnection
    from snowflake.connector.cursor import SnowflakeCursor


class SnowflakeQueries:
    """Statements on one open connection."""

    def __init__(self, connection: "SnowflakeConnection", settings: SnowflakeSettings) -> None:
        self.connection = connection
        self.settings = settings

    def execute(self, sql: str, parameters: Sequence[object] = ()) -> None:
        """Run a statement and discard its result."""
        with self.cursor(sql, parameters):
            return

    def loaded_rows(self, sql: str) -> int:
        """Run a ``copy into`` a table; returns the number of loaded rows, summed over the files."""
        with self.cursor(sql) as cursor:
            names = [column.name.lower() for column in cursor.description]
            rows = [dict(zip(names, row, strict=True)) for row in cursor.fetchall()]
        return sum(int(row.get("rows_loaded") or 0) for row in rows if row.get("status") == "LOADED")

    def query(self, sql: str, parameters: Sequence[object] = ()) -> "pa.Table":
        """All rows of a query, in memory; column names in lower case."""
        import pyarrow as pa

        return pa.Table.from_batches(list(self.batches(sql, parameters)))

    def batches(self, sql: str, parameters: Sequence[object] = ()) -> "Iterator[pa.RecordBatch]":
        """Rows of a query in batches of one schema."""
        with self.cursor(sql, parameters) as cursor:
            yield from arrow.batches(cursor)

    @contextmanager
    def cursor(self, sql: str, parameters: Sequence[object] = ()) -> "Iterator[SnowflakeCursor]":
        """The result of a statement.

        Raises
        ------
        ConnectionLostError
            If the endpoint does not respond, or no longer knows the session.
        LifecycleError
            If the statement fails; the message contains no values.
        """
        from snowflake.connector.errors import Error
        from snowflake.connector.vendored.requests.exceptions import RequestException

        try:
            with self.connection.cursor() as cursor:
                cursor.execute(sql, list(parameters) or None)
                yield cursor
        except Error as error:
            raise as_lifecycle_error(error, self.settings, _purpose(sql)) from None
        except RequestException as error:
            # The connector does not translate the error of a truncated response.
            raise connection_lost(type(error).__name__, self.settings, _purpose(sql)) from None


def _purpose(sql: str) -> str:
    """The statement's first words, for an error: its verb, without values."""
    words = itertools.takewhile(str.isalpha, sql.split()[:2])
    return f"to run a statement ({' '.join(words).lower()})"
