"""Converts Snowflake's results to Arrow batches of one schema, and Arrow types to Snowflake's."""

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

import pyarrow as pa

from lifecycle.errors import LifecycleError
from lifecycle.tables.canonical import cast_column

if TYPE_CHECKING:
    from snowflake.connector.cursor import ResultMetadata, SnowflakeCursor

_FIXED, _REAL, _TEXT, _DATE, _TIMESTAMP_NTZ, _BOOLEAN = 0, 1, 2, 3, 8, 13
"""The connector's type codes; https://docs.snowflake.com/en/developer-guide/python-connector/python-connector-api."""
_PLAIN_TYPES = {
    _REAL: pa.float64(),
    _TEXT: pa.string(),
    _DATE: pa.date32(),
    _TIMESTAMP_NTZ: pa.timestamp("us"),
    _BOOLEAN: pa.bool_(),
}


def result_schema(description: "Sequence[ResultMetadata]") -> pa.Schema:
    """The schema that a query's columns are converted to, names in lower case.

    Whole numbers become int64: Snowflake stores them as NUMBER(38, 0) and sends each batch in the narrowest type that
    fits its values.

    Raises
    ------
    LifecycleError
        If a column's type is not supported.
    """
    return pa.schema([pa.field(column.name.lower(), _arrow_type(column)) for column in description])


def _arrow_type(column: "ResultMetadata") -> pa.DataType:
    if column.type_code == _FIXED:
        return pa.decimal128(int(column.precision or 38), int(column.scale)) if column.scale else pa.int64()
    if column.type_code in _PLAIN_TYPES:
        return _PLAIN_TYPES[column.type_code]
    raise LifecycleError(
        f"Expected a number, text, date, timestamp without zone or boolean, got the connector's type "
        f"{column.type_code} - in the result's column {column.name.lower()}; cast it in the query"
    )


def batches(cursor: "SnowflakeCursor") -> Iterator[pa.RecordBatch]:
    """The rows of the cursor's last query in batches of one schema; one empty batch if there are no rows.

    The connector prefetches one batch; only a few are in memory at a time.

    Raises
    ------
    LifecycleError
        If a column's type is not supported, or a value does not fit.
    """
    schema = result_schema(cursor.description)
    is_empty = True
    for part in cursor.fetch_arrow_batches(force_microsecond_precision=True):
        columns = [cast_column(column, field) for column, field in zip(part.columns, schema, strict=True)]
        for batch in pa.table(columns, schema=schema).to_batches():
            is_empty = False
            yield batch
    if is_empty:
        yield pa.RecordBatch.from_pylist([], schema=schema)


def column_type(type_: pa.DataType) -> str:
    """Snowflake's type for a column of this Arrow type.

    Raises
    ------
    LifecycleError
        If no type of Snowflake holds every value.
    """
    if pa.types.is_integer(type_):
        return "bigint"
    if pa.types.is_decimal(type_):
        return f"number({type_.precision}, {type_.scale})"
    if pa.types.is_timestamp(type_) and type_.tz is None:
        return "timestamp_ntz(6)"
    known = {pa.float64(): "double", pa.string(): "varchar", pa.date32(): "date", pa.bool_(): "boolean"}
    if type_ in known:
        return known[type_]
    raise LifecycleError(f"Expected numbers, text, dates and timestamps without zone, got {type_} - in a staged table")
