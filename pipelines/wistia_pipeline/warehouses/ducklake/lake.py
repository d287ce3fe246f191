"""DuckLake: Parquet files in storage that many machines share, and their catalog in a Postgres."""

import json
import re
from collections.abc import Callable, Iterable, Iterator
from contextlib import AbstractContextManager, closing, contextmanager
from datetime import timedelta
from functools import cache
from pathlib import Path
from random import uniform
from tempfile import TemporaryFile
from time import monotonic, sleep
from typing import Any
from urllib.parse import quote

import dlt
import duckdb
from dlt.pipeline.exceptions import PipelineStepFailed

from wistia_source.errors import SettingInvalid
from wistia_source.warehouse import connected

from ...runtime.extras import of_extra
from ...runtime.redaction import first_line
from ...runtime.settings import setting
from ..base import Destination, NotCompacted, NotReadable, Profile, Query, Result, make_and_forget
from ..catalog import quoted
from ..duckdb.file import MODELS, READER, snapshot_of
from ..locks import Hold, advisory_held
from ..postgres import PASSWORD
from ..schemas import model_schemas
from . import errors
from .errors import FORM, SETTINGS
from .files import forget_deleted_rows, stray_files, tidy
from .loads import ducklake

EXTENSIONS = ("ducklake", "postgres_scanner", "httpfs", "aws")
"""Of DuckDB: they come as Python packages, so that nothing is fetched while a run is under way."""
STATEMENTS = "DBT_ENV_SECRET_WISTIA_LAKE"
"""The environment variable of how dbt attaches the lake; dbt keeps variables of this name out of logs and errors."""


class DuckLake(Destination):
    """A lake whose catalog is in Postgres: other catalogs are files, which one machine alone can use."""

    factory = ducklake
    extra = "lake"
    needs = "^lake "
    adapter = "duckdb"
    is_database = True
    loader_file_format = "parquet"
    explain = staticmethod(errors.explain)
    is_busy = staticmethod(errors.is_busy)
    known_error = staticmethod(errors.lake_error)

    def __init__(self, pipeline: dlt.Pipeline) -> None:
        _install_extensions()
        self._driver = of_extra("lake", "psycopg2")
        super().__init__(pipeline)
        self._credentials = pipeline.sql_client().credentials
        self._schema = str(self._credentials.metadata_schema or self._credentials.ducklake_name)
        """Of the catalog in its database."""
        self._require_settings()

    def _require_settings(self) -> None:
        """Raises `SettingInvalid`."""
        kind, name = self._credentials.catalog.drivername, self._credentials.ducklake_name
        bucket = str(self._credentials.storage.original_bucket_url())
        if Path(self._credentials.storage_url).absolute() == Path(f"{name}.files").absolute():
            # dlt's default: a folder wherever a run begins
            raise SettingInvalid(f"Where the lake's files are is not set; {FORM}.")
        if kind not in ("postgres", "postgresql"):
            raise SettingInvalid(f"The lake's catalog is to be in Postgres, which all machines can reach; {FORM}.")
        if not re.fullmatch(r"[A-Za-z_]\w*", name):
            raise SettingInvalid(
                f"{SETTINGS}__DUCKLAKE_NAME is {name!r}, which SQL takes for no name; use letters, digits and _."
            )
        if "://" not in bucket and not Path(bucket).is_absolute():
            raise SettingInvalid(
                f"{SETTINGS}__STORAGE__BUCKET_URL is {bucket!r}, which is another folder wherever a run begins; give "
                "all of its path, or an address such as s3://bucket/folder."
            )

    @property
    def exists(self) -> bool:
        with closing(self._connect()) as connection, connection.cursor() as cursor:
            cursor.execute("select to_regclass(%s) is not null", [f"{quoted(self._schema)}.ducklake_metadata"])
            ((found,),) = cursor.fetchall()
            return bool(found)

    def held(self, by: str | None = None) -> AbstractContextManager[Hold]:
        lake = f"{self._schema} {self.pipeline.dataset_name}"
        return advisory_held(self._connect, lake, by or self.pipeline.pipeline_name)

    def kept_open(self) -> AbstractContextManager[object]:
        # to attach it takes longer than most of what is done there
        return connected(self.pipeline)

    def _connect(self) -> Any:
        """A connection to the catalog. Raises `LakeUnusable`."""
        url = self._credentials.catalog.to_url().set(drivername="postgresql").render_as_string(hide_password=False)
        try:
            return self._driver.connect(url)
        except self._driver.Error as error:
            raise errors.catalog_unreachable(first_line(error)) from error

    @contextmanager
    def snapshot(self) -> Iterator[Query]:
        if not self.exists:
            raise NotReadable("There is no lake in this catalog yet; run wistia-pipeline sync first.")
        with connected(self.pipeline) as client:
            connection = client.native_connection
            for name, value in READER.items():
                connection.execute(f"set {name} = '{value}'")
            yield snapshot_of(connection)

    def profile(self) -> Profile:
        name = self._credentials.ducklake_name
        output = {
            "type": "duckdb",
            "path": ":memory:",
            "database": name,
            # the plugin has attached it by then, with what only dlt knows; dbt wants to know of it
            "attach": [{"path": f"ducklake:{name}", "alias": name}],
            "plugins": [{"module": f"{__package__}.dbt_plugin"}],
            # with more, tables get lost between a comment on them and the end of their transaction
            "threads": 1,
            "settings": MODELS,
        }
        secrets = {STATEMENTS: json.dumps(self._attach_statements())}
        if self._credentials.catalog.password:
            # DuckDB names the catalog with it where it cannot be reached
            secrets[PASSWORD] = quote(self._credentials.catalog.password, safe=" +")
        return output, secrets

    def try_to_land(self) -> str:
        catalog, files = self._credentials.catalog.host, self._credentials.storage_url
        where = f"ducklake, catalog in Postgres at {catalog}, files in {files}"
        with self.held():
            self._try_storage()
            if not self.exists:
                # to attach the lake would make it
                with closing(self._connect()) as connection, connection.cursor() as cursor:
                    try:
                        cursor.execute(f"create schema if not exists {quoted(self._schema)}")
                    except self._driver.Error as error:
                        raise errors.LakeUnusable(
                            f"The lake's catalog refuses: {first_line(error).rstrip('.')}; grant it to the user of "
                            f"{SETTINGS}__CATALOG."
                        ) from error
                return f"{where}, which the first sync makes"
            with connected(self.pipeline) as client:
                make_and_forget(self.pipeline, client)
        return where

    def _try_storage(self) -> None:
        """Writes a file and takes it back: as one of another lake, whose catalog is in memory."""
        where = self._credentials.storage_url
        if self._credentials.storage.is_local_filesystem:
            folder = next(above for above in (Path(where), *Path(where).parents) if above.is_dir())
            try:
                with TemporaryFile(dir=folder):
                    return
            except OSError as error:
                raise errors.storage_unreachable(f"nothing can be written into {folder} ({error.strerror})") from error
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

    def retried(self, work: Callable[[], Result]) -> Result:
        give_up = monotonic() + setting("wistia_pipeline.lake_busy_seconds")
        while True:
            try:
                return work()
            except (PipelineStepFailed, duckdb.Error) as error:
                if not self.is_busy(str(error)):
                    raise
                if monotonic() > give_up:
                    raise errors.CatalogBusy from error
                sleep(uniform(0.5, 2))

    def compact(self, tables: Iterable[tuple[str, str]]) -> None:
        try:
            with connected(self.pipeline) as client:
                schemas = (client.dataset_name, client.staging_dataset_name, *model_schemas(client.dataset_name))
                name = self._credentials.ducklake_name
                forget_deleted_rows(client.native_connection, name)
                left = stray_files(client.native_connection, name, schemas)
            self._forget_bounds()
        except (duckdb.Error, self._driver.Error) as error:
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

    def require_usable(self) -> None:
        if not self.exists:
            # a lake that is made keeps to where its files were to be, even if they cannot be there
            self._try_storage()

    def _maintain(self, keep: timedelta) -> dict[str, int]:
        def tidied() -> dict[str, int]:
            with connected(self.pipeline) as client:
                return tidy(client.native_connection, self._credentials.ducklake_name, keep)

        return self.retried(tidied)


@cache
def _install_extensions() -> None:
    """Raises `MissingDependencyException` where one is not there, or `LakeUnusable`."""
    importer = of_extra("lake", "duckdb_extensions")
    for name in EXTENSIONS:
        of_extra("lake", f"duckdb_extension_{name}")
        try:
            importer.import_extension(name)
        except duckdb.Error as error:
            raise errors.LakeUnusable(
                f"DuckDB cannot take its extensions for a lake: {first_line(error).rstrip('.')}; run pip install "
                "'.[lake]' in this project's folder, and see that it may write into the folder .duckdb of your home."
            ) from error
