"""One Arrow type for each kind of column, whichever warehouse, batch or file the rows come from.

DuckDB declares the width of an integer and the digits of a decimal; Snowflake chooses a width for each batch by its
values. Files exported from a warehouse have these types instead:

==================================================  ==============================
comes as                                            becomes
==================================================  ==============================
any integer, a decimal without places               ``int64``
a decimal of `s` places                             ``decimal128(38, s)``
any float                                           ``float64``
text, also as a dictionary                          ``string``
a timestamp of any unit, in UTC or without a zone   ``timestamp[us]``
a date                                              ``date32``
a boolean                                           ``bool``
==================================================  ==============================
"""

import pyarrow as pa

from lifecycle.errors import LifecycleError

DECIMAL_DIGITS = 38
"""Digits of Snowflake's NUMBER and of Arrow's 128-bit decimal."""
UTC_NAMES = frozenset({None, "UTC", "Etc/UTC", "+00:00"})


def canonical_schema(schema: pa.Schema) -> pa.Schema:
    """Names of `schema` in its order with the one type of each column's kind; every column may hold nulls.

    Raises
    ------
    LifecycleError
        If a column is of a kind that the table above lacks, or a name occurs twice.
    """
    if len(set(schema.names)) != len(schema.names):
        raise LifecycleError(f"Expected each column once, got {schema.names} - at the rows of the warehouse")
    return pa.schema([(field.name, _canonical_type(field)) for field in schema])


def canonical_batch(batch: pa.RecordBatch, schema: pa.Schema) -> pa.RecordBatch:
    """The same rows with the types of `schema`, which `canonical_schema` made; no value changes.

    Raises
    ------
    LifecycleError
        If the columns have other names or kinds, or a value does not fit.
    """
    if batch.schema.names != schema.names:
        raise LifecycleError(f"Expected the columns {schema.names}, got {batch.schema.names} - at a batch of rows")
    for wanted, got in zip(schema, canonical_schema(batch.schema), strict=True):
        if wanted.type != got.type:
            raise LifecycleError(f"Expected `{wanted.type}`, got `{got.type}` - at column {wanted.name!r} of a batch")
    columns = [cast_column(column, field) for column, field in zip(batch.columns, schema, strict=True)]
    return pa.RecordBatch.from_arrays(columns, schema=schema)


def canonical_table(table: pa.Table) -> pa.Table:
    """The same rows with canonical types.

    Raises
    ------
    LifecycleError
        As `canonical_batch` does.
    """
    schema = canonical_schema(table.schema)
    return pa.Table.from_batches([canonical_batch(batch, schema) for batch in table.to_batches()], schema)


def _canonical_type(field: pa.Field) -> pa.DataType:  # noqa: PLR0911 - a row of the table above each
    kind = field.type.value_type if pa.types.is_dictionary(field.type) else field.type
    if pa.types.is_boolean(kind):
        return pa.bool_()
    if pa.types.is_integer(kind) or (pa.types.is_decimal(kind) and kind.scale == 0):
        return pa.int64()
    if pa.types.is_decimal(kind) and 0 < kind.scale <= DECIMAL_DIGITS:
        return pa.decimal128(DECIMAL_DIGITS, kind.scale)
    if pa.types.is_floating(kind):
        return pa.float64()
    if pa.types.is_string(kind) or pa.types.is_large_string(kind) or pa.types.is_string_view(kind):
        return pa.string()
    if pa.types.is_timestamp(kind) and kind.tz in UTC_NAMES:
        return pa.timestamp("us")
    if pa.types.is_date(kind):
        return pa.date32()
    raise LifecycleError(
        f"Expected numbers, text, booleans, dates and timestamps in UTC, got `{kind}` - at column {field.name!r}"
    )


def cast_column(column: "pa.Array | pa.ChunkedArray", field: pa.Field) -> "pa.Array | pa.ChunkedArray":
    """The same values in the type of `field`.

    Raises
    ------
    LifecycleError
        If a value does not fit, for example a whole number beyond 64 bits; without the value.
    """
    if pa.types.is_dictionary(column.type):
        column = column.cast(column.type.value_type)
    if pa.types.is_timestamp(column.type) and column.type.tz is not None:
        column = column.cast(pa.timestamp(column.type.unit))
    try:
        return column.cast(field.type)
    except pa.ArrowInvalid:
        # Arrow's own message repeats the value.
        raise LifecycleError(
            f"Expected values that fit into `{field.type}`, got one of type `{column.type}` that does not "
            f"- at column {field.name!r}"
        ) from None
