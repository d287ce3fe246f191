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
from tempfile import TemporaryFile
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
from ..extras import of_extra
from ..failures import LAKE_FORM, first_line
from .base import Cursor, Destination, NotCompacted, NotReadable, Profile, make_and_forget
from .duckdb_file import MODELS, READER, as_snapshot
from .holds import Hold, advisory_held
from .lake_files import forget_deleted_rows, stray_files, tidy
from .schemas import model_schemas

_DRIVER = "psycopg2"
EXTENSIONS = ("ducklake", "postgres_scanner", "httpfs", "aws")
"""Of DuckDB: they come as Python packages, so that nothing is fetched while a run is under way."""
POSTGRES = ("postgres", "postgresql")
STATEMENTS = "DBT_ENV_SECRET_WISTIA_LAKE"
"""The environment variable of how dbt attaches the lake; dbt keeps variables of this name out of logs and errors."""
BUSY_SECONDS = 120
"""How long a load is tried again that another program has come in the way of."""


class ExtensionsUnusable(WistiaError):
    """DuckDB does not take what belongs to it."""

    def __init__(self, reason: str) -> None:
        super().__init__(
            f"DuckDB cannot take its extensions for a lake: {reason.rstrip('.')}; run pip install '.[lake]' in this "
            "project's folder, and see that it may write into the folder .duckdb of your home."
        )


class CatalogUnreachable(WistiaError):
    """The Postgres of the catalog does not answer, or not to us."""

    def __init__(self, reason: str) -> None:
        super().__init__(
            f"The lake's catalog cannot be reached: {reason.rstrip('.')}; check the server and "
            "DESTINATION__DUCKLAKE__CREDENTIALS__CATALOG."
        )


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
            raise SettingInvalid(f"Where the lake's files are is not set; {LAKE_FORM}.")
        if kind not in POSTGRES:
            raise SettingInvalid(f"The lake's catalog is to be in Postgres, which all machines can reach; {LAKE_FORM}.")
        _install_extensions()

    @property
    def exists(self) -> bool:
        with closing(self._connect()) as connection, connection.cursor() as cursor:
            cursor.execute("select to_regclass(%s) is not null", [f"{quoted(self._schema)}.ducklake_metadata"])
            ((found,),) = cursor.fetchall()
            return bool(found)

    def held(self, by: str | None = None) -> AbstractContextManager[Hold]:
        lake = f"{self._schema} {self.pipeline.dataset_name}"
        return advisory_held(self._connect, lake, by or self.pipeline.pipeline_name)

    def _connect(self) -> Any:
        """A connection to the catalog. Raises `CatalogUnreachable` or `MissingDependencyException`."""
        url = self._credentials.catalog.to_url().set(drivername="postgresql").render_as_string(hide_password=False)
        driver = of_extra("lake", _DRIVER)
        try:
            return driver.connect(url)
        except driver.Error as error:
            raise CatalogUnreachable(first_line(error)) from error

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
        return Profile(output, {STATEMENTS: json.dumps(self._attach_statements())})

    def try_to_land(self) -> str:
        catalog, files = self._credentials.catalog.host, self._credentials.storage_url
        where = f"ducklake, catalog in Postgres at {catalog}, files in {files}"
        with self.held():
            self._try_storage()
            if not self.exists:
                # to attach the lake would make it
                with closing(self._connect()) as connection, connection.cursor() as cursor:
                    cursor.execute(f"create schema if not exists {quoted(self._schema)}")
                return f"{where}, which the first sync makes"
            with connected(self.pipeline) as client:
                make_and_forget(self.pipeline, client)
        return where

    def _try_storage(self) -> None:
        """Writes a file and takes it back: as one of another lake, whose catalog is in memory."""
        where = self._credentials.storage_url
        if self._credentials.storage.is_local_filesystem:
            with TemporaryFile(dir=next(above for above in (Path(where), *Path(where).parents) if above.is_dir())):
                return
        *secrets, _ = self._attach_statements()
        with closing(duckdb.connect()) as connection:
            for secret in secrets:
                connection.execute(secret)
            connection.execute(f"attach 'ducklake::memory:' as probe (data_path '{where}')")
            connection.execute("begin")
            # fewer rows would not leave the catalog
            connection.execute("create table probe._check as select * from range(1000)")
            connection.execute("rollback")

    def _attach_statements(self) -> list[str]:
        """What dlt does to know the lake: how its storage is reached, and at last its catalog."""
        client: Any = self.pipeline.sql_client()
        return [statement["sql"] for statement in client.attach_statements(alias=self._credentials.ducklake_name)]

    def load(self) -> None:
        """Loads what is pending; where another program changes the same tables, it is tried again for a while."""
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
                schemas = (client.dataset_name, client.staging_dataset_name, *model_schemas(client.dataset_name))
                name = self._credentials.ducklake_name
                forget_deleted_rows(client.native_connection, name)
                left = stray_files(client.native_connection, name, schemas)
            self._forget_bounds()
        except (duckdb.Error, of_extra("lake", _DRIVER).Error) as error:
            raise NotCompacted(
                "The rows are gone, but their bytes are still in files of the lake, which cannot be written anew: "
                f"{first_line(error)}; mend that, then run again."
            ) from error
        if left:
            # not deleted from here: another lake may have its files in the same place, which look the same
            raise NotCompacted(
                "The rows are gone, but their bytes may still be in files that killed runs have left (how many: "
                f"{len(left):,}), such as {left[0]}; delete these (where no other lake is in "
                f"{self._credentials.storage_url}, by DuckDB's call ducklake_delete_orphaned_files('{name}', "
                "cleanup_all => true)), then run again."
            )

    def _forget_bounds(self) -> None:
        """Takes the least and the greatest text of each column out of the catalog, which may be somebody's name: it
        keeps those of whole tables for ever, and none means that nothing is known."""
        schema = quoted(self._schema)
        with closing(self._connect()) as connection, connection.cursor() as cursor:
            cursor.execute(
                f"update {schema}.ducklake_table_column_stats set min_value = null, max_value = null "  # noqa: S608
                "where (table_id, column_id) in "
                f"(select table_id, column_id from {schema}.ducklake_column where column_type = 'varchar')"
            )
            cursor.execute(
                "select tablename from pg_tables where schemaname = %s and tablename similar to %s",
                [self._schema, "ducklake_(%stats|inlined_data%)"],
            )
            tables = ", ".join(f"{schema}.{quoted(table)}" for (table,) in cursor.fetchall())
            connection.commit()
            # a plain one leaves the bytes of dead rows where they are, and values of theirs in statistics
            connection.autocommit = True
            cursor.execute(f"vacuum (full, analyze) {tables}")

    def maintain(self, keep: timedelta) -> dict[str, int]:
        with connected(self.pipeline) as client:
            return tidy(client.native_connection, self._credentials.ducklake_name, keep)


@cache
def _install_extensions() -> None:
    """Raises `MissingDependencyException` where one is not there, or `ExtensionsUnusable`."""
    try:
        importer = import_module("duckdb_extensions")
        for name in EXTENSIONS:
            importer.import_extension(name)
    except ImportError as error:
        raise MissingDependencyException("lake", ["duckdb-extensions"]) from error
    except duckdb.Error as error:
        raise ExtensionsUnusable(first_line(error)) from error
