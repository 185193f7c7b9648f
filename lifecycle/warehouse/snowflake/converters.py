"""Initialises the connector's native result reader on one thread, before several threads use it."""

import datetime as dt
import threading
from typing import Any, Final

_LOCK: Final = threading.Lock()
_started = False


def start_converters() -> None:
    """Read one row with the connector's native code; idempotent per process.

    Since 4.7.2 that code initialises its logger and its Python modules for numbers, dates and times with the first
    result, inside C++'s ``std::call_once`` and while it holds Python's interpreter lock. If Python switches threads
    there, another thread that reads its first result waits in ``call_once`` and holds the interpreter lock, which the
    first thread needs: a deadlock. After the first row, everything is initialised. Version 5.2 fixes only the logger,
    and dbt-snowflake 1.12 requires a version below 5.
    """
    global _started  # noqa: PLW0603 - the connector's own state is the process's, too
    with _LOCK:  # waiting for it releases the interpreter lock
        if _started:
            return
        read_a_row()
        _started = True


def read_a_row() -> tuple[Any, ...]:
    """A number, a date and a time, read by the native code."""
    import pyarrow as pa
    from snowflake.connector.arrow_context import ArrowConverterContext
    from snowflake.connector.nanoarrow_arrow_iterator import PyArrowRowIterator  # type: ignore[import-not-found]

    schema = pa.schema(
        [
            pa.field("NUMBER", pa.int64(), metadata={"logicalType": "FIXED", "scale": "2", "precision": "38"}),
            pa.field("DAY", pa.date32(), metadata={"logicalType": "DATE"}),
            pa.field("TIME", pa.int64(), metadata={"logicalType": "TIME", "scale": "9"}),
        ]
    )
    row = pa.record_batch([pa.array([150]), pa.array([dt.date(1970, 1, 2)]), pa.array([10**9])], schema=schema)
    stream = pa.BufferOutputStream()
    with pa.ipc.new_stream(stream, schema) as writer:
        writer.write_batch(row)
    context = ArrowConverterContext({"TIMEZONE": "UTC"})
    (values,) = PyArrowRowIterator(None, stream.getvalue().to_pybytes(), context, False, False, False, True)
    return tuple(values)
