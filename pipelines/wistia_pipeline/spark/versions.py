"""The raw tables on Spark: views of files to which every load appends, with the newest version of each row."""

from __future__ import annotations

from collections.abc import Collection

from wistia_source.endpoints import DELETED, ENDPOINTS, RECORDS, Column, DataType, Endpoint
from wistia_source.rows import LOAD_ID, all_columns, primary_key

from ..run_log import LOG_TABLES

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


def raw_tables() -> list[Endpoint]:
    """All that the models read but the loads."""
    return [*(table for endpoint in (*ENDPOINTS, *RECORDS) for table in (endpoint, *endpoint.children)), *LOG_TABLES]


def newest_rows(table: Endpoint, path: str, loads: str, there: Collection[str]) -> str:
    """A query for the rows of a table as they are now.

    `there` are the columns that its files have, none where there is no file; `path` and `loads` are folders. Rows of a
    load that was never completed are left out, and so are those of which the newest version says that they are gone.
    """
    columns = [*all_columns(table), Column(LOAD_ID, "text", "")] if table not in LOG_TABLES else [*table.columns]
    selected = ", ".join(
        f"{column.name if column.name in there else f'cast(null as {TYPES[column.data_type]})'} as {column.name}"
        for column in columns
    )
    if not there:
        return f"select {selected} where false"
    order = f"{LOAD_ID} desc, _metadata.file_modification_time desc, _metadata.row_index desc"
    gone = f" and not coalesce({DELETED.name}, false)" if DELETED.name in there else ""
    return (
        f"select {selected} from (select *, row_number() over (partition by {', '.join(primary_key(table))} "  # noqa: S608
        f"order by {order}) as _place from parquet.`{path}` "
        f"where {LOAD_ID} in (select load_id from json.`{loads}`)) as versions where _place = 1{gone}"
    )
