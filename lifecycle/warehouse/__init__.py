"""The warehouse: one interface, DuckDB and Snowflake behind it."""

from lifecycle.settings.platform import Settings
from lifecycle.warehouse.duckdb.warehouse import DuckDBWarehouse
from lifecycle.warehouse.failures import as_lifecycle_error
from lifecycle.warehouse.interface import Location, Session, Use, Warehouse

__all__ = ["Location", "Session", "Use", "Warehouse", "open_warehouse"]


def open_warehouse(settings: Settings, use: Use = Use()) -> Warehouse:  # noqa: B008 - frozen
    """The installation's warehouse; a DuckDB file is created with its raw tables at first use.

    Parameters
    ----------
    settings
        The installation.
    use
        Purpose of the connection; selects role, virtual warehouse and query tag in Snowflake.

    Raises
    ------
    LifecycleError
        If the folder or the file cannot be read or written, or a setting of the account is missing or wrong.
    """
    if settings.target == "snowflake":
        from lifecycle.warehouse.snowflake import SnowflakeWarehouse  # takes 1 s

        return SnowflakeWarehouse(settings, use)
    path = settings.warehouse_path
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        warehouse = DuckDBWarehouse(path, settings.duckdb_memory_limit, settings.duckdb_threads)
        warehouse.create()
    except OSError as error:
        raise as_lifecycle_error(error, path) from error
    return warehouse
