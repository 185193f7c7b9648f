"""The warehouse in Snowflake."""

from lifecycle.warehouse.snowflake.warehouse import SnowflakeWarehouse

__all__ = ["SnowflakeWarehouse"]
