"""The raw tables on Spark: the newest version of each row in files to which every load appends."""

from __future__ import annotations

from collections.abc import Collection

from wistia_source.endpoints import DELETED, ENDPOINTS, RECORDS, Column, DataType, Endpoint
from wistia_source.rows import LOAD_ID, all_columns, primary_key

from ...warehouses.run_log import LOG_TABLES

TYPES: dict[DataType, str] = {
    "text": "string",
    "bigint": "bigint",
    "double": "double",
    "bool": "boolean",
    "timestamp": "timestamp",
    "date": "date",
    "json": "string",
}
LOADS = "_dlt_loads"
LOADS_COLUMNS = "load_id string, schema_name string"


def loaded_tables() -> list[Endpoint]:
    """All that is loaded and that the models read, but the loads."""
    return [table for endpoint in (*ENDPOINTS, *RECORDS) for table in (endpoint, *endpoint.children)]


def columns_of(table: Endpoint) -> str:
    """The columns of a table with their types: those that its files lack are null."""
    columns = table.columns if table in LOG_TABLES else (*all_columns(table), Column(LOAD_ID, "text", ""))
    return ", ".join(f"{column.name} {TYPES[column.data_type]}" for column in columns)


def newest_rows(table: Endpoint, files: str, loads: str, unfinished: Collection[str]) -> str:
    """A query for the rows of a table as they are now.

    `files` is a table of all versions, `loads` one of the completed loads; `unfinished` are names of files that are not
    to be opened. Rows of which the newest version says that they are gone are left out.
    """
    # of several versions in one load the last, and if nothing else tells, always the same
    order = ", ".join(
        f"{column} desc"
        for column in (
            LOAD_ID,
            "_metadata.file_modification_time",
            "_metadata.row_index",
            "_metadata.file_name",
        )
    )
    where = f"{LOAD_ID} in (select load_id from {loads})"  # noqa: S608
    if unfinished:
        where += f" and _metadata.file_name not in ({', '.join(map(literal, unfinished))})"
    gone = f" and not coalesce({DELETED.name}, false)" if DELETED in table.columns else ""
    return (
        "select * except (_place) from (select *, "  # noqa: S608
        f"row_number() over (partition by {', '.join(primary_key(table))} order by {order}) as _place "
        f"from {files} where {where}) as versions where _place = 1{gone}"
    )


def literal(text: str) -> str:
    """A text in Spark's SQL."""
    escaped = text.replace("\\", "\\\\").replace("'", "\\'")
    return f"'{escaped}'"
