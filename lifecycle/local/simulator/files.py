"""Columns and files of simulated rows; loading sees a file whole or not at all."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.parquet as pq

from lifecycle.errors import LifecycleError
from serving.storage.crash_points import crash_point
from serving.storage.durable import replacing

AMOUNT = pa.decimal128(12, 2)


def amounts(cents: npt.NDArray[np.int64]) -> pa.Array:
    """Whole cents as DECIMAL(12,2), without a Python object a row: a decimal128 is two little-endian words."""
    words = np.zeros((len(cents), 2), dtype="<i8")
    words[:, 0] = cents
    words[:, 1] = -(cents < 0).astype(np.int64)  # the sign fills the upper word
    return pa.Array.from_buffers(AMOUNT, len(cents), [None, pa.py_buffer(words)])


def write_day(table: pa.Table, path: Path) -> None:
    """Write to a temporary name, which loading ignores, then rename it."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with replacing(path, is_sole_writer=True) as temporary:
        pq.write_table(table, temporary, compression="zstd")
        crash_point("simulate.file_written")
    crash_point("simulate.file_named")


@contextmanager
def writing_below(out: Path) -> Iterator[None]:
    """Turn a failure to write below a folder into an error that says what to do."""
    try:
        yield
    except OSError as error:
        raise LifecycleError(
            f"Expected to write the simulated days, got {error.strerror or error} - at {out}. "
            "Make room or choose another folder, then run the same command again."
        ) from error
