"""The warehouse: one interface, and DuckDB behind it."""

from lifecycle.settings import Settings
from lifecycle.warehouse.duckdb_warehouse import DuckDBWarehouse
from lifecycle.warehouse.failures import as_lifecycle_error
from lifecycle.warehouse.interface import Session, Warehouse

__all__ = ["Session", "Warehouse", "open_warehouse"]


def open_warehouse(settings: Settings) -> Warehouse:
    """The installation's warehouse; made with its raw tables at first use.

    Raises
    ------
    LifecycleError
        If the folder or the file cannot be read or written.
    """
    path = settings.warehouse_path
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        warehouse = DuckDBWarehouse(path, settings.duckdb_memory_limit, settings.duckdb_threads)
        warehouse.create()
    except OSError as error:
        raise as_lifecycle_error(error, path) from error
    return warehouse
