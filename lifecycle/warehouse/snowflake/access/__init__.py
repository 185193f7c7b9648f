"""Checks what a Snowflake account and its roles allow."""
