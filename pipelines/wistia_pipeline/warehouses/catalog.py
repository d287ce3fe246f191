"""What tables and columns a warehouse has, whoever made them."""

from collections.abc import Sequence
from typing import Any

from dlt.destinations.sql_client import SqlClientBase


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
