"""Indexes in Postgres, so that an hour costs the same however long the history is. dlt makes none for a primary key."""

from __future__ import annotations

from collections.abc import Iterator

import dlt

from wistia_source.endpoints import ACCOUNT_ID, ENDPOINTS, RECORDS, Endpoint
from wistia_source.rows import primary_key
from wistia_source.warehouse import connected

from .writer import kind_of


def index_tables(pipeline: dlt.Pipeline) -> None:
    """Makes the indexes that tables still lack: of keys, by which rows are merged, and of a feed's times, by which what
    is held is read. DuckDB does both faster without."""
    if kind_of(pipeline) != "postgres":
        return
    with connected(pipeline) as client:
        tables = client.execute_sql(
            "select table_name from information_schema.tables where table_schema = %s", pipeline.dataset_name
        )
        names = {name for (name,) in tables or ()}
        for endpoint in _tables():
            if endpoint.name not in names:
                continue
            table = client.make_qualified_table_name(endpoint.name)
            key = ", ".join(primary_key(endpoint))
            client.execute_sql(f"create unique index if not exists {endpoint.name}_key on {table} ({key})")
            if endpoint.kind == "feed":
                columns = f"{ACCOUNT_ID.name}, {endpoint.cursor}"
                client.execute_sql(f"create index if not exists {endpoint.name}_cursor on {table} ({columns})")


def _tables() -> Iterator[Endpoint]:
    for endpoint in (*ENDPOINTS, *RECORDS):
        yield endpoint
        yield from endpoint.children
