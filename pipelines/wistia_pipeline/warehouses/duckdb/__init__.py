"""A DuckDB file."""
