"""The connector's native reading of results, made ready on one thread before several use it."""

import datetime as dt
import threading
from typing import Any, Final

_LOCK: Final = threading.Lock()
_started = False


def start_converters() -> None:
    """Read one row with the connector's native code; every later call of this process does nothing.

    Since 4.7.2 that code sets up its logger, and the Python modules of numbers, dates and times, when the first result
    needs them: within C++'s ``std::call_once``, and with Python's interpreter lock. Should Python switch threads there,
    another thread that reads its first result waits in ``call_once`` and keeps the interpreter lock, which the first
    one needs to go on: the process stands still for good. What was set up once is never set up again. Version 5.2 has
    mended the logger alone; dbt-snowflake 1.12 asks for one below 5.
    """
    global _started  # noqa: PLW0603 - the connector's own state is the process's, too
    with _LOCK:  # waiting for it gives the interpreter lock away
        if _started:
            return
        read_a_row()
        _started = True


def read_a_row() -> tuple[Any, ...]:
    """A number, a day and a time, read by the native code."""
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
