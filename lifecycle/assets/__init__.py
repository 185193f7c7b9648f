"""Dagster wiring of one model, a file a stage; decisions are pure functions of other packages."""
