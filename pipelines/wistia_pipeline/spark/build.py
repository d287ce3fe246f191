"""Builds the models on Spark and puts the marts beside the files that they are made from."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path
from time import monotonic
from typing import Any
from uuid import uuid4

import dlt
from dlt.common.exceptions import MissingDependencyException
from dlt.destinations.impl.filesystem.filesystem import FilesystemClient

from ..destinations.base import Profile
from ..destinations.schemas import model_schemas
from ..models import ModelsFailed, ModelsResult, note, run_dbt
from .cluster import cluster
from .java import java_home
from .versions import LOADS, newest_rows, raw_tables

SETTINGS = {
    # days are those of UTC wherever the driver is
    "spark.sql.session.timeZone": "UTC",
    "spark.sql.parquet.mergeSchema": "true",
    "spark.sql.parquet.outputTimestampType": "TIMESTAMP_MICROS",
    # many more than a small account needs are slow, and Spark joins those that are small
    "spark.sql.shuffle.partitions": "32",
    "spark.ui.enabled": "false",
    "spark.ui.showConsoleProgress": "false",
    "spark.log.level": "ERROR",
}


@dataclass(frozen=True)
class SparkBuild:
    """On what the models are built."""

    master: str | None = None
    """The address of a cluster that runs, or `local[2]`; without it one is started on this machine."""
    workers: int = 2
    cores: int = 1
    memory: str = "1g"
    """The workers of that one, and what each has."""
    settings: Mapping[str, str] | None = None
    """More settings of Spark, such as the packages of an object storage."""


def build_on_spark(pipeline: dlt.Pipeline, how: SparkBuild) -> ModelsResult:
    """Builds all models from what is loaded. Raises `ModelsFailed`, `NoCluster` and `MissingDependencyException`."""
    started, result = monotonic(), ModelsResult()
    if not issubclass(pipeline.destination.client_class, FilesystemClient):
        raise ModelsFailed("Spark reads files: load with --destination filesystem, and name the same one here.")
    try:
        import_module("pyspark")
        import_module("dbt.adapters.spark")
    except ImportError as error:
        raise MissingDependencyException("spark", ["pyspark", "dbt-spark"]) from error
    folder = Path(pipeline.pipelines_dir) / "spark"
    folder.mkdir(parents=True, exist_ok=True)
    marts, staging, intermediate = model_schemas(pipeline.dataset_name)
    with _session(how, folder) as spark:
        files = _Files(spark, pipeline)
        files.show_raw_tables()
        building = f"{files.root}/{marts}.building-{uuid4().hex[:12]}"
        try:
            for schema in (staging, intermediate, marts):
                spark.sql(f"create database {schema} location '{building}/{schema}'")
            output = {"type": "spark", "method": "session", "host": "here", "threads": 4}
            command = ["build", "--no-write-json", "--exclude-resource-type", "unit_test", "--full-refresh"]
            note(run_dbt(pipeline, command, Profile(output)).result, result)
            for table in spark.catalog.listTables(marts):
                files.replace(f"{building}/{marts}/{table.name}", f"{files.root}/{marts}/{table.name}")
        finally:
            files.delete(building)
    result.seconds = round(monotonic() - started, 3)
    return result


@contextmanager
def _session(how: SparkBuild, folder: Path) -> Iterator[Any]:
    from pyspark.sql import SparkSession

    os.environ["JAVA_HOME"] = java_home(folder)
    own = cluster(how.workers, how.cores, how.memory, folder, dict(os.environ))
    with own if how.master is None else _named(how.master) as master:
        builder = SparkSession.builder.master(master).appName("wistia")
        for name, value in {**SETTINGS, **(how.settings or {})}.items():
            builder = builder.config(name, value)
        spark = builder.getOrCreate()
        try:
            yield spark
        finally:
            spark.stop()


@contextmanager
def _named(master: str) -> Iterator[str]:
    yield master


class _Files:
    """The folder that the pipeline loads, as Spark sees it."""

    def __init__(self, spark: Any, pipeline: dlt.Pipeline) -> None:
        self._spark = spark
        self._dataset = pipeline.dataset_name
        client = pipeline.destination_client()
        assert isinstance(client, FilesystemClient)
        url = client.config.bucket_url
        # what Hadoop calls the same storage
        self.root = (url if "://" in url else Path(url).absolute().as_uri()).rstrip("/").replace("s3://", "s3a://", 1)
        self._files = spark._jvm.org.apache.hadoop.fs.Path(self.root).getFileSystem(spark._jsc.hadoopConfiguration())

    def show_raw_tables(self) -> None:
        """Makes a view of each table that the models read."""
        raw = f"{self.root}/{self._dataset}"
        if not self._has(f"{raw}/{LOADS}/*.jsonl"):
            raise ModelsFailed("There is nothing to build models on yet; run wistia-pipeline sync first.")
        sql = self._spark.sql
        sql(f"create database {self._dataset} location '{raw}'")
        sql(f"create view {self._dataset}.{LOADS} as select load_id, schema_name from json.`{raw}/{LOADS}`")  # noqa: S608
        for table in raw_tables():
            path = f"{raw}/{table.name}"
            there = self._spark.read.parquet(path).columns if self._has(f"{path}/*.parquet") else ()
            rows = newest_rows(table, path, f"{raw}/{LOADS}", there)
            sql(f"create view {self._dataset}.{table.name} as {rows}")

    def replace(self, new: str, old: str) -> None:
        """Puts a folder in the place of another. Who reads it meanwhile may find none for a moment."""
        self.delete(f"{old}.old")
        self._files.mkdirs(self._path(old).getParent())
        if self._files.exists(self._path(old)):
            self._files.rename(self._path(old), self._path(f"{old}.old"))
        self._files.rename(self._path(new), self._path(old))
        self.delete(f"{old}.old")

    def delete(self, folder: str) -> None:
        """Deletes a folder, if it is there."""
        self._files.delete(self._path(folder), True)

    def _has(self, pattern: str) -> bool:
        return bool(self._files.globStatus(self._path(pattern)))

    def _path(self, name: str) -> Any:
        return self._spark._jvm.org.apache.hadoop.fs.Path(name)
