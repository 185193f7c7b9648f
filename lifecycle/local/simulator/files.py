"""Files of simulated rows, which loading sees whole or not at all."""

from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from serving.storage.crash_points import crash_point
from serving.storage.durable import replacing


def write_day(table: pa.Table, path: Path) -> None:
    """Write to a temporary name, which loading ignores, then rename it."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with replacing(path, is_sole_writer=True) as temporary:
        pq.write_table(table, temporary, compression="zstd")
        crash_point("simulate.file_written")
    crash_point("simulate.file_named")
