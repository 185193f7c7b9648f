"""Results that several threads begin to read at once."""

import subprocess
import sys

READERS = """
import sys, threading
import pyarrow as pa
from snowflake.connector.arrow_context import ArrowConverterContext
from snowflake.connector.nanoarrow_arrow_iterator import PyArrowRowIterator
from lifecycle.warehouse.snowflake.converters import start_converters

sys.setswitchinterval(1e-6)
schema = pa.schema([
    pa.field("N", pa.int64(), metadata={"logicalType": "FIXED", "scale": "2", "precision": "38"}),
    pa.field("D", pa.int32(), metadata={"logicalType": "DATE"}),
    pa.field("T", pa.int64(), metadata={"logicalType": "TIME", "scale": "9"}),
])
stream = pa.BufferOutputStream()
with pa.ipc.new_stream(stream, schema) as writer:
    writer.write_batch(pa.record_batch([pa.array([150]), pa.array([1], pa.int32()), pa.array([10**9])], schema=schema))
rows, barrier = [], threading.Barrier(16)

def read():
    barrier.wait()
    start_converters()
    context = ArrowConverterContext({"TIMEZONE": "UTC"})
    rows.extend(PyArrowRowIterator(None, stream.getvalue().to_pybytes(), context, False, False, False, True))

threads = [threading.Thread(target=read, daemon=True) for _ in range(16)]
for thread in threads:
    thread.start()
for thread in threads:
    thread.join()
print(len(rows), *(str(value) for value in set(rows).pop()))
"""


def test_threads_that_read_their_first_results_at_once_do_not_wait_for_each_other() -> None:
    for _ in range(3):
        done = subprocess.run([sys.executable, "-c", READERS], capture_output=True, text=True, timeout=60, check=False)
        assert done.stdout == "16 1.50 1970-01-02 00:00:01\n", done.stderr
