"""A DuckLake."""
