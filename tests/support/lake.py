"""Lakes for the tests: the catalog in a real Postgres, the files in an S3 or a folder."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass
from pathlib import Path
from tempfile import mkdtemp
from typing import Any

import duckdb
import psycopg2
import pytest
from duckdb_extensions import import_extension  # type: ignore[import-untyped]
from wistia_pipeline.warehouses.ducklake.loads import ducklake

from tests.support.object_storage import ObjectStorage, object_storage
from tests.support.postgres import database
from tests.support.warehouse import Warehouse

SECTION = "DESTINATION__DUCKLAKE__CREDENTIALS"
NAME = "lake"


@dataclass(frozen=True)
class Lake:
    """A lake, which nobody may have loaded yet."""

    catalog: str
    files_in: str
    """A bucket of the storage, else a folder."""
    storage: ObjectStorage | None = None

    @property
    def url(self) -> str:
        """Where its files are."""
        return f"s3://{self.files_in}/wistia" if self.storage else self.files_in

    def settings(self) -> dict[str, str]:
        """How it is set."""
        of_storage = self.storage.settings() if self.storage else {}
        return {
            f"{SECTION}__CATALOG": self.catalog,
            f"{SECTION}__DUCKLAKE_NAME": NAME,
            f"{SECTION}__STORAGE__BUCKET_URL": self.url,
            # a process installs DuckDB's extensions once: into the home that its first lake finds
            "HOME": os.environ["HOME"],
            **{f"{SECTION}__STORAGE__CREDENTIALS__{name}": value for name, value in of_storage.items()},
        }

    def files(self) -> dict[str, bytes]:
        """All that is in its storage."""
        if self.storage:
            return self.storage.objects(self.files_in)
        return {str(path): path.read_bytes() for path in Path(self.files_in).rglob("*") if path.is_file()}

    def put(self, name: str, content: bytes) -> None:
        """Another file in its storage."""
        if self.storage:
            self.storage.client().put_object(Bucket=self.files_in, Key=name, Body=content)
        else:
            Path(name).write_bytes(content)

    def catalogued(self, query: str, *values: Any) -> list[tuple[Any, ...]]:
        """What its catalog says, or does."""
        with closing(psycopg2.connect(self.catalog)) as connection, connection, connection.cursor() as cursor:
            cursor.execute(query, values or None)
            return list(cursor.fetchall()) if cursor.description else []

    def rows(self, query: str, *values: Any) -> list[tuple[Any, ...]]:
        """The answer to a query of its tables."""
        with self.cursor() as cursor:
            return cursor.execute(query, values).fetchall()

    @contextmanager
    def cursor(self) -> Iterator[duckdb.DuckDBPyConnection]:
        """Of a DuckDB that knows nothing of ours."""
        if self not in _ATTACHED:
            _ATTACHED[self] = attached(self)
        with closing(_ATTACHED[self].cursor()) as cursor:
            cursor.execute(f"use {NAME}")
            cursor.execute("set timezone = 'UTC'")
            yield cursor

    @contextmanager
    def copied(self, server: str) -> Iterator[Lake]:
        """The same once more, for a test to change: its catalog on the server, its files in a place of their own."""
        self.let_go()
        with database(server, of=self.catalog) as catalog:
            if self.storage:
                made = Lake(catalog, self.storage.new_bucket(), self.storage)
                for name, content in self.files().items():
                    made.put(name, content)
            else:
                made = Lake(catalog, mkdtemp(dir=Path(self.files_in).parent))
                shutil.copytree(self.files_in, made.files_in, dirs_exist_ok=True)
            made.catalogued(f"update {NAME}.ducklake_metadata set value = %s where key = 'data_path'", f"{made.url}/")
            yield made
            made.let_go()

    def let_go(self) -> None:
        """Ends the connection of our questions."""
        if self in _ATTACHED:
            _ATTACHED.pop(self).close()


_ATTACHED: dict[Lake, duckdb.DuckDBPyConnection] = {}
"""Connections that know a lake: the extensions are not loaded again for each question."""


def attached(lake: Lake) -> duckdb.DuckDBPyConnection:
    """A connection that knows the lake."""
    for extension in ("ducklake", "postgres_scanner", "httpfs"):
        import_extension(extension)
    connection = duckdb.connect()
    if lake.storage:
        its = lake.storage.settings()
        connection.execute(
            f"create secret (type s3, key_id '{its['AWS_ACCESS_KEY_ID']}', secret '{its['AWS_SECRET_ACCESS_KEY']}', "
            f"endpoint '{its['ENDPOINT_URL'].removeprefix('http://')}', use_ssl false, url_style 'path', "
            f"region '{its['REGION_NAME']}')"
        )
    connection.execute(f"attach 'ducklake:postgres:{lake.catalog}' as {NAME} (metadata_schema '{NAME}')")
    return connection


class LakeWarehouse(Warehouse):
    """A lake as the other tests know a warehouse."""

    def __init__(self, lake: Lake) -> None:
        super().__init__("ducklake", ducklake(), lambda: None)
        self.lake = lake

    @contextmanager
    def cursor(self) -> Iterator[Any]:
        """Of a connection that knows it."""
        with self.lake.cursor() as cursor:
            yield cursor


@pytest.fixture(scope="module")
def storage() -> Iterator[ObjectStorage]:
    """One for all."""
    with object_storage() as server:
        yield server


@contextmanager
def lake_in(server: str, place: ObjectStorage | Path) -> Iterator[Lake]:
    """An empty one: its catalog on a Postgres server, its files in an S3 or a folder."""
    with database(server) as catalog:
        made = Lake(catalog, str(place)) if isinstance(place, Path) else Lake(catalog, place.new_bucket(), place)
        yield made
        made.let_go()


@pytest.fixture
def lake(postgres_url: str, storage: ObjectStorage) -> Iterator[Lake]:
    """An empty one, in an S3."""
    with lake_in(postgres_url, storage) as made:
        yield made


@pytest.fixture
def lake_in_a_folder(postgres_url: str, tmp_path: Path) -> Iterator[Lake]:
    """An empty one, in a folder."""
    with lake_in(postgres_url, tmp_path / "files of the lake") as made:
        yield made


def warehouse_of(lake: Lake, monkeypatch: pytest.MonkeyPatch) -> LakeWarehouse:
    """The lake, for runs in this process."""
    for name, value in lake.settings().items():
        monkeypatch.setenv(name, value)
    return LakeWarehouse(lake)


@pytest.fixture
def lake_warehouse(lake: Lake, monkeypatch: pytest.MonkeyPatch) -> LakeWarehouse:
    """An empty one in an S3, for runs in this process."""
    return warehouse_of(lake, monkeypatch)


@pytest.fixture
def lake_warehouse_in_a_folder(lake_in_a_folder: Lake, monkeypatch: pytest.MonkeyPatch) -> LakeWarehouse:
    """An empty one in a folder, for runs in this process."""
    return warehouse_of(lake_in_a_folder, monkeypatch)
