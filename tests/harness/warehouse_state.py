"""Everything that a load leaves behind."""

from typing import Any

from lifecycle.warehouse.snowflake import SnowflakeWarehouse

TABLES = ("raw.card_transactions", "raw.fraud_reports")


def end_state(warehouse: SnowflakeWarehouse) -> dict[str, Any]:
    """Everything that a load leaves behind, but for the moment it ran."""
    state: dict[str, Any] = {
        table: warehouse.query(f"select * from {table} order by 1").to_pylist() for table in TABLES
    }
    loads = warehouse.query("select * from raw.loads order by relation").drop_columns(["loaded_at"])
    return {**state, "loads": loads.to_pylist()}
