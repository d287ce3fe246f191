"""Reads the warehouse for people: one snapshot of it, batch by batch, and never a change."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any, Protocol

import dlt
import duckdb
import pyarrow as pa

from wistia_source.errors import WistiaError
from wistia_source.warehouse import when_free

from .models import marts_schema
from .postgres import arrow_driver
from .writer import kind_of

ROWS_PER_BATCH = 10_000
_DUCKDB: dict[str, str | bool | int | float | list[str]] = {"memory_limit": "500MB", "threads": 1}
"""What is more is spilled: a reader must not take the memory of the machine that also loads. Each thread of a sort
takes more, some of it beyond the limit, and saves a tenth of the time."""
_POSTGRES = "adbc.postgresql.batch_size_hint_bytes"


class NotReadable(WistiaError):
    """There is nothing to read, or none of ours can read it."""


class _Cursor(Protocol):
    """Of ADBC."""

    def execute(self, query: str, parameters: Any = None) -> Any: ...
    def fetch_record_batch(self) -> pa.RecordBatchReader: ...


class Reader:
    """One snapshot of a warehouse. Parameters of queries are `$1`, `$2` and so on; moments come as UTC."""

    def __init__(self, kind: str, cursor: duckdb.DuckDBPyConnection | _Cursor, raw: str, marts: str) -> None:
        self.kind = kind
        """`duckdb` or `postgres`."""
        self.raw = raw
        """The schema that was loaded."""
        self.marts = marts
        """The schema of the marts."""
        self._cursor = cursor

    def batches(self, query: str, *values: Any) -> pa.RecordBatchReader:
        """The answer, a batch at a time; to be read before the next query. With values Postgres sends it as a whole."""
        if isinstance(self._cursor, duckdb.DuckDBPyConnection):
            return self._cursor.sql(query, params=list(values)).to_arrow_reader(ROWS_PER_BATCH)
        # a list without values would be a row to bind
        self._cursor.execute(query, list(values) or None)
        return self._cursor.fetch_record_batch()

    def rows(self, query: str, *values: Any) -> list[dict[str, Any]]:
        """The answer as dicts, for what is few rows."""
        found: Any = self.batches(query, *values).read_all().to_pylist()
        return list(found)

    def columns(self, schema: str) -> dict[str, dict[str, str]]:
        """The tables and views of a schema: their columns in order, each with the name of its type."""
        found: dict[str, dict[str, str]] = {}
        for row in self.rows(
            "select table_name, column_name, data_type from information_schema.columns where table_schema = $1 "
            # DuckDB shows those of attached files, too
            "and table_catalog = current_database() order by table_name, ordinal_position",
            schema,
        ):
            found.setdefault(row["table_name"], {})[row["column_name"]] = row["data_type"]
        return found


@contextmanager
def reading(pipeline: dlt.Pipeline) -> Iterator[Reader]:
    """A reader of the pipeline's warehouse. Raises `NotReadable`, and what the database says of a wrong address."""
    open_ = {"duckdb": _in_duckdb, "postgres": _in_postgres}.get(kind_of(pipeline))
    if open_ is None:
        raise NotReadable(
            f"Only duckdb and postgres can be read, not {kind_of(pipeline)}; query it with its own tools."
        )
    with open_(pipeline) as cursor:
        reader = Reader(kind_of(pipeline), cursor, pipeline.dataset_name, marts_schema(pipeline))
        if not reader.columns(reader.raw):
            raise NotReadable("Nothing has been loaded there yet; run wistia-pipeline sync first.")
        yield reader


@contextmanager
def _in_duckdb(pipeline: dlt.Pipeline) -> Iterator[duckdb.DuckDBPyConnection]:
    file = Path(pipeline.sql_client().credentials.database)
    if not file.exists():
        raise NotReadable(f"There is no file {file}; run wistia-pipeline sync first, or correct the path.")
    with closing(when_free(lambda: duckdb.connect(str(file), read_only=True, config=_DUCKDB))) as connection:
        connection.execute("set timezone = 'UTC'")
        connection.execute("set enable_progress_bar = false")
        connection.execute("begin transaction")
        yield connection


@contextmanager
def _in_postgres(pipeline: dlt.Pipeline) -> Iterator[_Cursor]:
    url = pipeline.sql_client().credentials.to_native_representation()
    with closing(arrow_driver().connect(url)) as connection, closing(connection.cursor()) as cursor:
        cursor.execute("set session characteristics as transaction isolation level repeatable read read only")
        cursor.execute("set timezone to 'UTC'")
        connection.commit()
        # of Arrow; by default it is 16 MB
        cursor.adbc_statement.set_options(**{_POSTGRES: str(2**20)})
        yield cursor
