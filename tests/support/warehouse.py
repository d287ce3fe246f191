"""A real destination for the tests: loaded as the command line loads it, and read with plain SQL."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
from contextlib import closing, contextmanager
from dataclasses import dataclass
from datetime import datetime
from io import StringIO
from pathlib import Path
from typing import Any

import dlt
import duckdb
import psycopg2
import pytest
from dlt.common.pipeline import LoadInfo
from dlt.extract import DltSource
from rich.console import Console
from wistia_pipeline.runs.progress import Progress
from wistia_pipeline.runs.results import SyncResult
from wistia_pipeline.runs.sync import make_empty_tables, run_sync
from wistia_pipeline.sandbox import Sandbox
from wistia_pipeline.warehouses.duckdb.loads import duckdb as duckdb_file
from wistia_pipeline.warehouses.postgres import postgres

from tests.support.sandbox import NOW, START, asked, settings_for

RUN_LOG = ("sync_runs", "sync_failures", "restatements")
DATASET = "wistia_raw"

IN_BOTH = pytest.mark.parametrize("warehouse", ["duckdb", "postgres"], indirect=True)
"""Tests that run on both destinations even when only the quick ones run."""
MOSTLY_DUCKDB = pytest.mark.parametrize(
    "warehouse", ["duckdb", pytest.param("postgres", marks=[pytest.mark.slow, pytest.mark.deep])], indirect=True
)
"""Tests of what does not differ between the destinations: on Postgres with the deep ones."""


@dataclass
class Warehouse:
    """One real destination, empty at first."""

    name: str
    destination: Any
    connect: Callable[[], Any]
    address: str = ""
    """The path of its file, or the address of its database."""
    dataset: str = DATASET

    @property
    def marts(self) -> str:
        """The schema of the models that people query."""
        return self.dataset.replace("_raw", "")

    def pipeline(self) -> dlt.Pipeline:
        """The pipeline that loads it."""
        made: dlt.Pipeline = dlt.pipeline("wistia", destination=self.destination, dataset_name=self.dataset)
        return made

    def load(self, source: DltSource) -> LoadInfo:
        """Runs a source into it."""
        pipeline = self.pipeline()
        info = pipeline.run(source, loader_file_format="parquet")
        make_empty_tables(pipeline)
        return info

    def sync(
        self,
        settings: dict[str, Any],
        select: Sequence[str] = (),
        result: SyncResult | None = None,
        *,
        models: bool = False,
    ) -> SyncResult:
        """Runs what `wistia-pipeline sync` and `backfill` run. `result` is for runs that raise."""
        result = result or SyncResult()
        with Progress(Console(file=StringIO())) as progress:
            run_sync(self.pipeline(), progress, result, *asked(settings, select), models=models)
        return result

    def clear(self) -> None:
        """Takes all of it away."""
        with self.pipeline().sql_client() as client:
            client.drop_dataset()

    @contextmanager
    def cursor(self) -> Iterator[Any]:
        """What queries are asked by."""
        with closing(self.connect()) as connection, closing(connection.cursor()) as cursor:
            yield cursor

    def rows(self, table: str, columns: str = "*") -> list[dict[str, Any]]:
        """A table's rows as dicts."""
        with self.cursor() as cursor:
            cursor.execute(f"select {columns} from {self.dataset}.{table}")
            names = [column[0] for column in cursor.description]
            return [dict(zip(names, row, strict=True)) for row in cursor.fetchall()]

    def contents(
        self, without: Iterable[str] = (), but: Collection[str] = ("_dlt_load_id",)
    ) -> dict[str, Counter[str]]:
        """Every row of the tables, as they can be compared, without some tables and but for some columns."""
        return {
            table: Counter(
                repr(sorted((name, value) for name, value in row.items() if name not in but))
                for row in self.rows(table)
            )
            for table in sorted(self.tables() - set(without))
        }

    def tables(self) -> set[str]:
        """Names of the tables that dlt did not make for itself."""
        with self.cursor() as cursor:
            cursor.execute(f"select table_name from information_schema.tables where table_schema = '{self.dataset}'")
            return {name for (name,) in cursor.fetchall() if not name.startswith("_dlt")}


def in_duckdb(file: Path) -> Warehouse:
    """A DuckDB file."""

    def connect() -> Any:
        connection = duckdb.connect(str(file), read_only=True)
        connection.execute("set timezone = 'UTC'")
        return connection

    return Warehouse("duckdb", duckdb_file(str(file)), connect, str(file))


def in_postgres(url: str) -> Warehouse:
    """A Postgres database."""
    return Warehouse("postgres", postgres(url), lambda: psycopg2.connect(url), url)


def change(warehouse: Warehouse, *statements: str) -> None:
    """Changes what a warehouse holds as neither the API nor a build would; `{raw}` and `{marts}` are its schemas."""
    with warehouse.pipeline().sql_client() as client:
        for statement in statements:
            client.execute_sql(statement.format(raw=warehouse.dataset, marts=warehouse.marts))


def sync(warehouse: Warehouse, sandbox: Sandbox, now: datetime = NOW, **more: Any) -> SyncResult:
    """One run from START of the small accounts on; `select` and `result` are the warehouse's, all else the source's."""
    select, result = more.pop("select", ()), more.pop("result", None)
    return warehouse.sync(settings_for(sandbox, now, **({"start_date": START} | more)), select, result)
