"""Warehouses whose whole state, with the working folder, can be saved and put back."""

from __future__ import annotations

import os
import shutil
import time
import zlib
from abc import ABC, abstractmethod
from collections.abc import Iterator
from contextlib import closing, suppress
from pathlib import Path
from typing import Any

import duckdb
import psycopg2
import pyarrow as pa
import pyarrow.parquet as pq
from dlt.common.versioned_state import decompress_state
from wistia_pipeline.warehouses.schemas import DATASET

from tests.support.kills import TOKEN

Tables = dict[tuple[str, str], list[dict[str, Any]]]
"""Rows by schema and table."""


class Place(ABC):
    """A warehouse and the folder from which it is loaded: what is there can be saved and put back."""

    destination: str
    credentials: str

    def __init__(self, path: Path) -> None:
        self.folder = path / "folder"
        self.folder.mkdir()
        self._saved = path / "saved"

    @abstractmethod
    def connect(self) -> Any:
        """A connection that leaves the warehouse as it is."""

    @property
    def working_folder(self) -> Path:
        """What is lost with a machine."""
        return self.folder / "dlt"

    def output(self) -> str:
        """All that syncs have printed."""
        return (self.folder / "output").read_text()

    def save(self) -> None:
        """Keeps what is there."""
        shutil.copytree(self.folder, self._saved)

    def reset(self) -> None:
        """Back to what was saved."""
        shutil.rmtree(self.folder)
        shutil.copytree(self._saved, self.folder)

    def tables(self) -> Tables:
        """All that is in the warehouse."""
        with closing(self.connect()) as connection, closing(connection.cursor()) as cursor:

            def rows(query: str) -> list[dict[str, Any]]:
                cursor.execute(query)
                names = [column[0] for column in cursor.description]
                return [dict(zip(names, row, strict=True)) for row in cursor.fetchall()]

            found = rows(
                "select table_schema, table_name from information_schema.tables "
                f"where table_schema like '{DATASET}%' order by 1, 2"
            )
            names = [(table["table_schema"], table["table_name"]) for table in found]
            return {name: rows(f"select * from {'.'.join(name)}") for name in names}

    def mentions_of_token(self, tables: Tables) -> list[str]:
        """Tables and files with the token."""
        found = [".".join(name) for name, rows in tables.items() if TOKEN in repr(rows)]
        states = [row["state"] for row in tables.get((DATASET, "_dlt_pipeline_state"), ())]
        found += ["state" for state in states if TOKEN in repr(decompress_state(state))]
        for path in self.folder.rglob("*"):
            if path.is_file() and any(TOKEN.encode() in content for content in _readings(path)):
                found.append(str(path.relative_to(self.folder)))
        return found


def _readings(path: Path) -> Iterator[bytes]:
    """The bytes of a file, packed and unpacked."""
    yield path.read_bytes()
    if path.suffix == ".gz":
        with suppress(zlib.error):
            yield zlib.decompressobj(wbits=31).decompress(path.read_bytes())
    if path.suffix == ".parquet":
        # a file that was cut off has no footer
        with suppress(pa.ArrowInvalid):
            yield repr(pq.read_table(path).to_pylist()).encode()


class DuckDB(Place):
    """A file in the folder."""

    destination = "duckdb"

    def __init__(self, path: Path) -> None:
        super().__init__(path)
        self.credentials = str(self.folder / "warehouse.duckdb")

    def connect(self) -> Any:
        # to look at the file itself would put its log in order, which is for the next sync to do
        copy = self._saved.with_name("copy")
        shutil.rmtree(copy, ignore_errors=True)
        copy.mkdir()
        for path in filter(Path.is_file, self.folder.glob("warehouse.duckdb*")):
            shutil.copy(path, copy)
        connection = duckdb.connect(str(copy / "warehouse.duckdb"))
        connection.execute("set timezone = 'UTC'")
        return connection


class Postgres(Place):
    """A database of its own on the server."""

    destination = "postgres"

    def __init__(self, path: Path, server: str) -> None:
        super().__init__(path)
        self._server = server
        self._name = f"kill_{os.getpid()}_{time.monotonic_ns()}"
        self.credentials = f"{server.rpartition('/')[0]}/{self._name}"
        self._command(f"create database {self._name}")

    def save(self) -> None:
        super().save()
        self._wait_for_last_statement()
        self._command(f"create database {self._name}_saved template {self._name}")

    def reset(self) -> None:
        super().reset()
        self._wait_for_last_statement()
        self._command(f"drop database {self._name}")
        self._command(f"create database {self._name} template {self._name}_saved")

    def drop(self) -> None:
        """Removes what is on the server."""
        for name in (self._name, f"{self._name}_saved"):
            self._command(f"drop database if exists {name} with (force)")

    def connect(self) -> Any:
        self._wait_for_last_statement()
        return psycopg2.connect(self.credentials)

    def _wait_for_last_statement(self) -> None:
        """Until the server has seen that a killed client is gone."""
        deadline = time.monotonic() + 20
        while self._command(f"select 1 from pg_stat_activity where datname = '{self._name}'"):
            assert time.monotonic() < deadline, "Postgres keeps connections of a process that is gone"
            time.sleep(0.01)

    def _command(self, sql: str) -> list[Any]:
        with closing(psycopg2.connect(self._server)) as connection:
            connection.autocommit = True
            with connection.cursor() as cursor:
                cursor.execute(sql)
                return cursor.fetchall() if cursor.description else []
