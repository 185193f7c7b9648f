"""The warehouse as one DuckDB file."""
