"""Makes the raw tables on Spark: the newest version of each row, from files to which every load appends."""

from __future__ import annotations

from collections.abc import Collection
from concurrent.futures import ThreadPoolExecutor
from typing import Any

from wistia_source.endpoints import DELETED, TABLES, Column, Endpoint
from wistia_source.rows import LOAD_ID, all_columns, primary_key

from ...warehouses.run_log import LOG_TABLES
from .publishing import Building
from .storage import LOADS

THREADS = 4
"""Tables and models that are made side by side."""
_TYPES = {"text": "string", "json": "string", "bool": "boolean"}
"""What Spark calls a type of dlt's, where the names differ."""


def make_raw_tables(spark: Any, place: Building, raw: str) -> None:
    """Makes the tables that the models read, as of one moment: a load that is completed later is for the next build."""
    files, storage = f"{raw}_files", place.storage
    for schema in (raw, files):
        make_schema(spark, place, schema)
    loads = "load_id string, schema_name string"
    spark.sql(f"create table {files}.{LOADS} ({loads}) using json location {_literal(storage.table(LOADS))}")
    spark.sql(f"create table {raw}.{LOADS} as select * from {files}.{LOADS}")  # noqa: S608

    def make(table: Endpoint) -> None:
        columns = [*all_columns(table), Column(LOAD_ID, "text", "")]
        spark.sql(
            f"create table {files}.{table.name} ({_typed(columns)}) using parquet "
            # files may be in folders of days
            f"options (recursiveFileLookup 'true') location {_literal(storage.table(table.name))}"
        )
        rows = _newest_rows(table, f"{files}.{table.name}", f"{raw}.{LOADS}", storage.unfinished(table.name))
        spark.sql(f"create table {raw}.{table.name} as {rows}")

    with ThreadPoolExecutor(THREADS) as threads:
        list(threads.map(make, TABLES))
    for table in LOG_TABLES:
        # runs are noted in databases only
        spark.sql(f"create table {raw}.{table.name} ({_typed(table.columns)})")


def make_schema(spark: Any, place: Building, schema: str) -> None:
    """Makes an empty schema in the folder of the build."""
    spark.sql(f"create database {schema} location {_literal(place.schema(schema))}")


def _typed(columns: Collection[Column]) -> str:
    """The columns with their types: those that the files lack are null."""
    return ", ".join(f"{column.name} {_TYPES.get(column.data_type, column.data_type)}" for column in columns)


def _newest_rows(table: Endpoint, files: str, loads: str, unfinished: Collection[str]) -> str:
    """A query for the rows of a table as they are now.

    `files` is a table of all versions, `loads` one of the completed loads; `unfinished` are names of files that are not
    to be opened. Rows whose newest version says that they are gone are left out.
    """
    # of several versions in one load the last, and if nothing else tells, always the same
    order = ", ".join(
        f"{column} desc"
        for column in (LOAD_ID, *(f"_metadata.{name}" for name in ("file_modification_time", "row_index", "file_name")))
    )
    where = f"{LOAD_ID} in (select load_id from {loads})"  # noqa: S608
    if unfinished:
        where += f" and _metadata.file_name not in ({', '.join(map(_literal, unfinished))})"
    gone = f" and not coalesce({DELETED.name}, false)" if DELETED in table.columns else ""
    return (
        "select * except (_place) from (select *, "  # noqa: S608
        f"row_number() over (partition by {', '.join(primary_key(table))} order by {order}) as _place "
        f"from {files} where {where}) as versions where _place = 1{gone}"
    )


def _literal(text: str) -> str:
    """A text in Spark's SQL."""
    escaped = text.replace("\\", "\\\\").replace("'", "\\'")
    return f"'{escaped}'"
