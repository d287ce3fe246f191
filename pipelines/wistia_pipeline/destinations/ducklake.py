"""DuckLake: Parquet files in storage that many machines share, and their catalog in a Postgres."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator
from contextlib import AbstractContextManager, closing, contextmanager
from datetime import timedelta
from functools import cache
from importlib import import_module
from pathlib import Path
from random import uniform
from time import monotonic, sleep
from typing import Any

import dlt
import duckdb
from dlt.common.exceptions import MissingDependencyException
from dlt.destinations.impl.ducklake.configuration import DUCKLAKE_STORAGE_PATTERN
from dlt.pipeline.exceptions import PipelineStepFailed

from wistia_source.errors import SettingInvalid, WistiaError
from wistia_source.warehouse import connected

from ..catalog import quoted
from .base import Cursor, Destination, NotCompacted, NotReadable, Profile, make_and_forget
from .duckdb_file import MODELS, READER, as_snapshot
from .holds import Hold, advisory_held
from .lake_files import forget_deleted_rows, tidy

EXTENSIONS = ("ducklake", "postgres_scanner", "httpfs", "aws")
"""Of DuckDB: they come as Python packages, so that nothing is fetched while a run is under way."""
POSTGRES = ("postgres", "postgresql")
STATEMENTS = "DBT_ENV_SECRET_WISTIA_LAKE"
"""The environment variable of how dbt attaches the lake; dbt keeps variables of this name out of logs and errors."""


_FORM = (
    "set DESTINATION__DUCKLAKE__CREDENTIALS__CATALOG to postgresql://user:password@host:5432/database, and "
    "DESTINATION__DUCKLAKE__CREDENTIALS__STORAGE__BUCKET_URL to a folder that all machines share, such as "
    "s3://bucket/folder"
)
BUSY_SECONDS = 120
"""How long a load is tried again that another program has come in the way of."""


class CatalogBusy(WistiaError):
    """Another program changes the same tables of the lake all the time."""

    def __init__(self) -> None:
        super().__init__(
            f"The lake is busy: another program has been changing the same tables for {BUSY_SECONDS / 60:.0f} minutes; "
            "what is loaded stays: run again when it has ended."
        )


class DuckLake(Destination):
    """A lake whose catalog is in Postgres: other catalogs are files, which one machine alone can use."""

    adapter = "duckdb"
    package = "'.[lake]'"
    dialect = "duckdb"
    loader_file_format = "parquet"

    def __init__(self, pipeline: dlt.Pipeline) -> None:
        super().__init__(pipeline)
        self._credentials = pipeline.sql_client().credentials
        kind, name = self._credentials.catalog.drivername, self._credentials.ducklake_name
        if Path(self._credentials.storage_url).absolute() == Path(DUCKLAKE_STORAGE_PATTERN % name).absolute():
            # what dlt takes where nothing is set: a folder of whoever runs this where they happen to be
            raise SettingInvalid(f"Where the lake's files are is not set; {_FORM}.")
        if kind not in POSTGRES:
            raise SettingInvalid(f"The lake's catalog is in {kind}, which only one machine can use; {_FORM}.")
        _install_extensions()

    @property
    def exists(self) -> bool:
        with closing(_driver().connect(self._url)) as connection, connection.cursor() as cursor:
            cursor.execute("select to_regclass(%s) is not null", [f"{quoted(self._schema)}.ducklake_metadata"])
            ((found,),) = cursor.fetchall()
            return bool(found)

    def held(self, by: str | None = None) -> AbstractContextManager[Hold]:
        lake = f"{self._schema} {self.pipeline.dataset_name}"
        return advisory_held(self._url, lake, by or self.pipeline.pipeline_name)

    @property
    def _url(self) -> str:
        url = self._credentials.catalog.to_url()
        return str(url.set(drivername="postgresql").render_as_string(hide_password=False))

    @property
    def _schema(self) -> str:
        """The schema of the catalog in its database."""
        return str(self._credentials.metadata_schema or self._credentials.ducklake_name)

    @contextmanager
    def cursor(self) -> Iterator[Cursor]:
        if not self.exists:
            raise NotReadable("There is no lake in this catalog yet; run wistia-pipeline sync first.")
        with connected(self.pipeline) as client:
            connection = client.native_connection
            for name, value in READER.items():
                connection.execute(f"set {name} = '{value}'")
            as_snapshot(connection)
            yield connection

    def profile(self) -> Profile:
        name = self._credentials.ducklake_name
        client: Any = self.pipeline.sql_client()
        output = {
            "type": "duckdb",
            "path": ":memory:",
            "database": name,
            # the plugin has attached it by then, with what only dlt knows; dbt wants to know of it
            "attach": [{"path": f"ducklake:{name}", "alias": name}],
            "plugins": [{"module": f"{__package__}.lake_plugin"}],
            # with more, tables get lost between a comment on them and the end of their transaction
            "threads": 1,
            "settings": MODELS,
        }
        statements = [statement["sql"] for statement in client.attach_statements(alias=name)]
        return Profile(output, {STATEMENTS: json.dumps(statements)})

    def try_to_land(self) -> str:
        catalog, files = self._credentials.catalog.host, self._credentials.storage_url
        where = f"ducklake, catalog in Postgres at {catalog}, files in {files}"
        with self.held():
            if not self.exists:
                return f"{where}, which the first sync makes"
            with connected(self.pipeline) as client:
                make_and_forget(self.pipeline, client)
        return where

    def load(self) -> None:
        """Loads what is pending, table by table: writers that are at it side by side lose changes of one another
        (duckdb/ducklake#1094). Where another program changes the same tables, it is tried again for a while."""
        # a number of workers that is configured would win over one that is asked for
        self.pipeline.destination.caps_params["max_parallel_load_jobs"] = 1
        give_up = monotonic() + BUSY_SECONDS
        while True:
            try:
                self.pipeline.load()
                return
            except PipelineStepFailed as error:
                if not self.is_busy(str(error)):
                    raise
                if monotonic() > give_up:
                    raise CatalogBusy from error
                sleep(uniform(0.5, 2))

    def is_busy(self, error: str) -> bool:
        return "Failed to commit DuckLake transaction" in error

    def compact(self, tables: Iterable[tuple[str, str]]) -> None:
        try:
            with connected(self.pipeline) as client:
                forget_deleted_rows(client.native_connection, self._credentials.ducklake_name)
            self._forget_bounds()
        except (duckdb.Error, _driver().Error) as error:
            raise NotCompacted(
                "The rows are gone, but their bytes are still in files of the lake, which cannot be written anew: "
                f"{str(error).splitlines()[0]}; mend that, then run again."
            ) from error

    def _forget_bounds(self) -> None:
        """Takes the least and the greatest text of each column out of the catalog, which may be somebody's name: it
        keeps those of whole tables for ever, and none means that nothing is known."""
        with closing(_driver().connect(self._url)) as connection, connection, connection.cursor() as cursor:
            cursor.execute("select set_config('search_path', %s, true)", [quoted(self._schema)])
            cursor.execute(
                "update ducklake_table_column_stats set min_value = null, max_value = null where (table_id, column_id) "
                "in (select table_id, column_id from ducklake_column where column_type = 'varchar')"
            )

    def maintain(self, keep: timedelta) -> dict[str, int]:
        with connected(self.pipeline) as client:
            return tidy(client.native_connection, self._credentials.ducklake_name, keep)


def _driver() -> Any:
    """The driver of the catalog. Raises `MissingDependencyException`."""
    try:
        return import_module("psycopg2")
    except ImportError as error:
        raise MissingDependencyException("lake", ["psycopg2"]) from error


@cache
def _install_extensions() -> None:
    """Raises `MissingDependencyException` where one is not there."""
    try:
        importer = import_module("duckdb_extensions")
        for name in EXTENSIONS:
            importer.import_extension(name)
    except ImportError as error:
        raise MissingDependencyException("lake", ["duckdb-extensions"]) from error
