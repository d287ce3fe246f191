"""What tables and columns a warehouse has, whoever made them."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import dlt
from dlt.destinations.sql_client import SqlClientBase

from wistia_source.warehouse import connected

from .writer import kind_of


def quoted(name: str) -> str:
    """A name as an identifier of SQL, whatever is in it."""
    return '"' + name.replace('"', '""') + '"'


def rows(client: SqlClientBase[Any], query: str, *values: Any) -> list[Sequence[Any]]:
    """The answer to a query."""
    return list(client.execute_sql(query, *values) or ())


def base_tables(client: SqlClientBase[Any], schema: str) -> list[str]:
    """The tables of a schema, without its views."""
    found = rows(
        client,
        "select table_name from information_schema.tables where table_schema = %s and table_type = 'BASE TABLE'",
        schema,
    )
    return sorted(name for (name,) in found)


def columns_of(client: SqlClientBase[Any], schema: str, table: str) -> list[str]:
    """The columns of a table, in order; none where there is no such table."""
    found = rows(
        client,
        "select column_name from information_schema.columns where table_schema = %s and table_name = %s "
        "order by ordinal_position",
        *(schema, table),
    )
    return [name for (name,) in found]


def is_loaded(pipeline: dlt.Pipeline) -> bool:
    """Whether anything was ever loaded into the pipeline's dataset; makes no DuckDB file."""
    if kind_of(pipeline) == "duckdb" and not Path(pipeline.sql_client().credentials.database).exists():
        # to open it would make it
        return False
    with connected(pipeline) as client:
        return bool(client.has_dataset())
