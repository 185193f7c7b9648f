"""Loads rows into Snowflake from staged Parquet files."""

import secrets
from pathlib import Path
from typing import TYPE_CHECKING

from lifecycle.errors import LifecycleError
from serving.storage.crash_points import crash_point

if TYPE_CHECKING:
    from lifecycle.warehouse.snowflake.queries import SnowflakeQueries

FILE_SIZE = "128MB"
"""Size of one staged file; Snowflake recommends 100 to 250 MB compressed, so that files load in parallel.

https://docs.snowflake.com/en/user-guide/data-load-considerations-prepare
"""
PARALLEL_UPLOADS = 4


def copy_into(session: "SnowflakeQueries", relation: str, folder: Path, rows: int) -> None:
    """Load the folder's Parquet files into a relation atomically, columns matched by name.

    The stage is temporary, so that an interrupted upload leaves nothing behind, and new, so that no load history can
    make Snowflake skip a file.

    Raises
    ------
    LifecycleError
        If the number of loaded rows is not `rows`.
    """
    stage = f"raw.staged_{secrets.token_hex(6)}"
    session.execute(f"create temporary stage {stage}")
    session.execute(
        f"put 'file://{folder}/*.parquet' @{stage} "
        f"auto_compress = false source_compression = none parallel = {PARALLEL_UPLOADS}"
    )
    crash_point("snowflake.uploaded")
    # Without logical types, timestamps without a zone would be loaded as whole numbers.
    loaded = session.loaded_rows(
        f"copy into {relation} from @{stage} file_format = (type = parquet use_logical_type = true) "
        "match_by_column_name = case_insensitive on_error = abort_statement purge = true"
    )
    if loaded != rows:
        raise LifecycleError(f"Expected {rows:,} loaded rows, got {loaded:,} - in {relation}; run it again")
    crash_point("snowflake.copied")
