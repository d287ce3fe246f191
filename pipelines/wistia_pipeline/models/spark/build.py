"""Builds the models on Spark and publishes the marts beside the files that they are made from."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from time import monotonic

import dlt

from ...runtime.extras import of_extra
from ...runtime.signals import stopped_by_signals
from ...warehouses.schemas import model_schemas
from ..build import ModelsResult, note
from ..dbt import run_dbt
from ..settings import model_vars
from .publishing import Building
from .raw_tables import THREADS, make_raw_tables, make_schema
from .session import reason, spark_session
from .storage import Storage


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
    schemas = model_schemas(pipeline.dataset_name)
    with stopped_by_signals():
        storage = Storage(pipeline)
        place = Building(storage, schemas[0])
        with place.alone():
            with spark_session(master, settings or {}, folder, storage.settings) as spark:
                make_raw_tables(spark, place, pipeline.dataset_name)
                for schema in schemas:
                    make_schema(spark, place, schema)
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
