"""Rows that enter Snowflake as staged Parquet files."""

import secrets
from pathlib import Path
from typing import TYPE_CHECKING

from lifecycle.errors import LifecycleError
from serving.storage.crash_points import crash_point

if TYPE_CHECKING:
    from lifecycle.warehouse.snowflake.queries import SnowflakeQueries

FILE_SIZE = "128MB"
"""Of one staged file; Snowflake advises 100 to 250 MB compressed, so that a warehouse loads them side by side.

https://docs.snowflake.com/en/user-guide/data-load-considerations-prepare
"""
PARALLEL_UPLOADS = 4


def copy_into(session: "SnowflakeQueries", relation: str, folder: Path, rows: int) -> None:
    """Load the folder's Parquet files into a relation, columns matched by name, all or nothing.

    The stage lives no longer than the session, so that an upload that breaks off leaves nothing behind, and it is new,
    so that no history of loads can pass a file over.

    Raises
    ------
    LifecycleError
        If fewer or more than `rows` rows arrived.
    """
    stage = f"raw.staged_{secrets.token_hex(6)}"
    session.execute(f"create temporary stage {stage}")
    session.execute(
        f"put 'file://{folder}/*.parquet' @{stage} "
        f"auto_compress = false source_compression = none parallel = {PARALLEL_UPLOADS}"
    )
    crash_point("snowflake.uploaded")
    # With logical types, a moment without a zone stays one; without them it would come in as a whole number.
    loaded = session.loaded_rows(
        f"copy into {relation} from @{stage} file_format = (type = parquet use_logical_type = true) "
        "match_by_column_name = case_insensitive on_error = abort_statement purge = true"
    )
    if loaded != rows:
        raise LifecycleError(f"Expected {rows:,} staged rows, got {loaded:,} loaded - in {relation}; run it again")
    crash_point("snowflake.copied")
