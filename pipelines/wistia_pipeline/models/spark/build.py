"""Builds the models on Spark and publishes the marts beside the files that they are made from."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from time import monotonic
from typing import Any

import dlt

from wistia_source.endpoints import Endpoint

from ...runtime.extras import of_extra
from ...runtime.signals import stopped_by_signals
from ...warehouses.base import Profile
from ...warehouses.run_log import LOG_TABLES
from ...warehouses.schemas import model_schemas
from ..build import ModelsResult, note
from ..dbt import run_dbt
from ..settings import require_settings
from .publishing import Building, building
from .session import SparkBuild, reason, spark_session
from .storage import Storage
from .versions import LOADS, LOADS_COLUMNS, columns_of, literal, loaded_tables, newest_rows

THREADS = 4
"""Tables and models that are made side by side."""


@dataclass
class SparkResult(ModelsResult):
    """What a build on Spark came to."""

    address: str | None = None
    """Where the marts are, a folder of Parquet files each; null where those of an earlier build stay."""


def build_on_spark(pipeline: dlt.Pipeline, how: SparkBuild) -> SparkResult:
    """Builds all models from what is loaded; where all are built and hold, their marts are published.

    Raises `ModelsFailed`, `StorageFailed`, `BuildUnderWay`, `TurnLost`, `NoJava`, `NoCluster`, `SparkFailed` and
    `MissingDependencyException`.
    """
    started, result = monotonic(), SparkResult()
    of_extra("spark", "pyspark")
    of_extra("spark", "dbt.adapters.spark")
    require_settings()
    folder = Path(pipeline.pipelines_dir) / "spark"
    folder.mkdir(parents=True, exist_ok=True)
    marts, *_ = model_schemas(pipeline.dataset_name)
    with stopped_by_signals():
        storage = Storage(pipeline)
        with building(storage, marts) as place:
            with spark_session(how, folder, storage.settings) as spark:
                _make_raw_tables(spark, storage, place, pipeline.dataset_name)
                _make_models(spark, place, pipeline, result)
                built = [table.name for table in spark.catalog.listTables(marts)]
            if not result.failures:
                result.address = place.publish(built)
    result.seconds = round(monotonic() - started, 3)
    return result


def _make_raw_tables(spark: Any, storage: Storage, place: Building, raw: str) -> None:
    """Makes the tables that the models read, as of one moment: a load that is completed later is for the next build."""
    files = f"{raw}_files"
    for schema in (raw, files):
        spark.sql(f"create database {schema} location {literal(place.schema(schema))}")
    spark.sql(f"create table {files}.{LOADS} ({LOADS_COLUMNS}) using json location {literal(storage.table(LOADS))}")
    spark.sql(f"create table {raw}.{LOADS} as select * from {files}.{LOADS}")  # noqa: S608

    def make(table: Endpoint) -> None:
        spark.sql(
            f"create table {files}.{table.name} ({columns_of(table)}) using parquet "
            # files may be in folders of days
            f"options (recursiveFileLookup 'true') location {literal(storage.table(table.name))}"
        )
        rows = newest_rows(table, f"{files}.{table.name}", f"{raw}.{LOADS}", storage.unfinished(table.name))
        spark.sql(f"create table {raw}.{table.name} as {rows}")

    with ThreadPoolExecutor(THREADS) as threads:
        list(threads.map(make, loaded_tables()))
    for table in LOG_TABLES:
        # no runs are noted where there is no database
        spark.sql(f"create table {raw}.{table.name} ({columns_of(table)})")


def _make_models(spark: Any, place: Building, pipeline: dlt.Pipeline, result: ModelsResult) -> None:
    for schema in model_schemas(pipeline.dataset_name):
        spark.sql(f"create database {schema} location {literal(place.schema(schema))}")
    output = {"type": "spark", "method": "session", "host": "here", "threads": THREADS}
    command = ["build", "--no-write-json", "--exclude-resource-type", "unit_test", "--full-refresh"]
    note(run_dbt(pipeline, command, Profile(output)).result, result)
    for failure in result.failures:
        failure["error"] = reason(failure["error"])
