"""The Dagster definitions of this installation."""
