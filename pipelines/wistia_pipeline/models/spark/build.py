"""Builds the models on Spark and publishes the marts beside the files that they are made from."""

from collections.abc import Collection, Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from time import monotonic
from typing import Any

import dlt

from wistia_source.endpoints import DELETED, TABLES, Column, Endpoint
from wistia_source.rows import LOAD_ID, all_columns, primary_key

from ...runtime.extras import of_extra
from ...runtime.signals import stopped_by_signals
from ...warehouses.run_log import LOG_TABLES
from ...warehouses.schemas import model_schemas
from ..build import ModelsResult, note
from ..dbt import run_dbt
from ..settings import model_vars
from .publishing import Building
from .session import reason, spark_session
from .storage import LOADS, Storage

THREADS = 4
"""Tables and models that are made side by side."""
_TYPES = {"text": "string", "json": "string", "bool": "boolean"}
"""What Spark calls a type of dlt's, where the names differ."""


def build_on_spark(
    pipeline: dlt.Pipeline, master: str = "local[*]", settings: Mapping[str, str] | None = None
) -> tuple[ModelsResult, str | None]:
    """Builds all models from what is loaded; where all are built and hold, their marts are published.

    `settings` are Spark's own. Returns also where the marts are, a folder of Parquet files each; null where those of
    an earlier build stay. Raises `ModelsFailed`, `SettingInvalid` and `MissingDependencyException`.
    """
    started, result, address = monotonic(), ModelsResult(), None
    of_extra("spark", "pyspark")
    of_extra("spark", "dbt.adapters.spark")
    # raises where one cannot work
    model_vars()
    folder = Path(pipeline.pipelines_dir) / "spark"
    folder.mkdir(parents=True, exist_ok=True)
    raw, schemas = pipeline.dataset_name, model_schemas(pipeline.dataset_name)
    with stopped_by_signals():
        storage = Storage(pipeline)
        place = Building(storage, schemas[0])
        with place.alone():
            with spark_session(master, settings or {}, folder, storage.settings) as spark:
                for schema in (raw, f"{raw}_files", *schemas):
                    spark.sql(f"create database {schema} location {_literal(place.schema(schema))}")
                _make_raw_tables(spark, storage, raw)
                output = {"type": "spark", "method": "session", "host": "here", "threads": THREADS}
                command = ["build", "--no-write-json", "--exclude-resource-type", "unit_test", "--full-refresh"]
                note(run_dbt(pipeline, command, (output, {})).result, result)
                for failure in result.failures:
                    failure["error"] = reason(failure["error"])
                built = [table.name for table in spark.catalog.listTables(schemas[0])]
            if not result.failures:
                address = place.publish(built)
    result.seconds = round(monotonic() - started, 3)
    return result, address


def _make_raw_tables(spark: Any, storage: Storage, raw: str) -> None:
    """Makes the tables that the models read, as of one moment: a load that is completed later is for the next build."""
    files = f"{raw}_files"
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


def _typed(columns: Collection[Column]) -> str:
    """The columns with their types: those that the files lack are null."""
    return ", ".join(f"{column.name} {_TYPES.get(column.data_type, column.data_type)}" for column in columns)


def _newest_rows(table: Endpoint, files: str, loads: str, unfinished: Collection[str]) -> str:
    """A query for the rows of a table as they are now.

    `files` is a table of all versions, `loads` one of the completed loads; `unfinished` are names of files that are not
    to be opened. Rows whose newest version says that they are gone are left out.
    """
    # of several versions in one load the last, and if nothing else tells, always the same
    order = f"{LOAD_ID} desc, _metadata.file_modification_time desc, _metadata.row_index desc, _metadata.file_name desc"
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
