"""Results that several threads begin to read at once."""

import subprocess
import sys

import pytest

READERS = """
import sys, threading
from lifecycle.warehouse.snowflake.converters import read_a_row, start_converters

sys.setswitchinterval(1e-6)
rows, barrier = [], threading.Barrier(16)

def read():
    barrier.wait()
    start_converters()
    rows.append(read_a_row())

threads = [threading.Thread(target=read, daemon=True) for _ in range(16)]
for thread in threads:
    thread.start()
for thread in threads:
    thread.join()
print(len(rows), *(str(value) for value in set(rows).pop()))
"""


@pytest.mark.parametrize(
    "attempt", [1, pytest.param(2, marks=pytest.mark.long), pytest.param(3, marks=pytest.mark.long)]
)
def test_threads_that_read_their_first_results_at_once_do_not_wait_for_each_other(attempt: int) -> None:
    done = subprocess.run([sys.executable, "-c", READERS], capture_output=True, text=True, timeout=60, check=False)
    assert done.stdout == "16 1.50 1970-01-02 00:00:01\n", done.stderr
