"""Settings of the platform and of its Snowflake target."""
