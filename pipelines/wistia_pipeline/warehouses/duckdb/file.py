"""DuckDB: a file, which one program at a time may write."""

import os
import shutil
from collections.abc import Iterable, Iterator
from contextlib import AbstractContextManager, closing, contextmanager
from datetime import timedelta
from pathlib import Path
from tempfile import TemporaryFile
from typing import Any

import duckdb
from dlt.pipeline.exceptions import PipelineStepFailed

from wistia_source.errors import SettingInvalid
from wistia_source.warehouse import connected, when_free

from ..base import Destination, NotCompacted, NotReadable, Profile, Query, make_and_forget
from ..catalog import quoted
from ..locks import Hold, file_held
from . import loads
from .errors import explain

READER: dict[str, Any] = {"memory_limit": "500MB", "threads": 1}
"""What is more is spilled: a reader must not take the memory of the machine that also loads. Each thread of a sort
takes more, some of it beyond the limit, and saves a tenth of the time."""
MODELS = {"dynamic_or_filter_threshold": 10_000}
"""The incremental models look for few rows by their number: DuckDB does so up to this many."""
_COPY = "wistia_compacted"
"""What the copy is called while it is written: not as a file may be."""


class DuckDBFile(Destination):
    """A DuckDB file."""

    factory = loads.duckdb
    adapter = "duckdb"
    is_database = True
    loader_file_format = "parquet"
    explain = staticmethod(explain)

    @property
    def file(self) -> Path:
        """Where it is."""
        return Path(self.pipeline.sql_client().credentials.database)

    @property
    def exists(self) -> bool:
        # to open it would make it
        return self.file.exists()

    @contextmanager
    def held(self, by: str | None = None) -> Iterator[Hold]:
        # it can be reached from several data folders of dlt
        file = self.file.resolve()
        if not file.parent.is_dir():
            # said when the file is opened
            yield Hold()
            return
        with super().held(by), file_held(file.with_name(f"{file.name}.lock")) as hold:
            yield hold

    def kept_open(self) -> AbstractContextManager[object]:
        # no other program can come in between; one that is in is waited for a while
        return connected(self.pipeline)

    def load(self) -> None:
        """Loads what is pending; where that does not fit into little memory, with more."""
        destination = self.pipeline.destination
        try:
            self.pipeline.load()
        except PipelineStepFailed as error:
            if not isinstance(destination, loads.duckdb) or "Out of Memory Error" not in str(error):
                raise
            destination.take_more_memory()
            self.pipeline.load()

    @contextmanager
    def snapshot(self) -> Iterator[Query]:
        if not self.exists:
            raise NotReadable(f"There is no file {self.file}; run wistia-pipeline sync first, or correct the path.")
        file = str(self.file)
        with closing(when_free(lambda: duckdb.connect(file, read_only=True, config=READER))) as connection:
            yield snapshot_of(connection)

    def profile(self) -> Profile:
        return {"type": "duckdb", "path": str(self.file.resolve()), "threads": 4, "settings": MODELS}, {}

    def try_to_land(self) -> str:
        file = self.file.absolute()
        if not file.parent.is_dir():
            raise SettingInvalid(
                f"There is no folder {file.parent}; make it, or choose another file (DESTINATION__DUCKDB__CREDENTIALS)."
            )
        # the lock alone would call a folder that cannot be written a run under way
        TemporaryFile(dir=file.parent).close()
        with self.held():
            if not file.exists():
                return f"duckdb, {file}, which the first sync makes"
            # not waited for: who has it open is what is asked
            with self.pipeline.sql_client() as client:
                make_and_forget(self.pipeline, client)
        return f"duckdb, {file}"

    def _maintain(self, keep: timedelta) -> dict[str, int]:
        before = self.file.stat().st_size
        rewrite(self.file.resolve())
        return {"bytes given back": before - self.file.stat().st_size}

    def compact(self, tables: Iterable[tuple[str, str]]) -> None:
        try:
            rewrite(self.file.resolve())
        except (duckdb.Error, OSError) as error:
            raise NotCompacted(
                "The rows are gone, but their bytes are still in the DuckDB file, which cannot be written anew: "
                f"{str(error).splitlines()[0]}; mend that, then run again."
            ) from error


def snapshot_of(connection: duckdb.DuckDBPyConnection) -> Query:
    """Reads one state through a connection, with moments as UTC."""
    connection.execute("set timezone = 'UTC'")
    connection.execute("set enable_progress_bar = false")
    connection.execute("begin transaction")
    return lambda query, *values: connection.sql(query, params=list(values)).to_arrow_reader(10_000)


def rewrite(file: Path) -> None:
    """Copies all that is in the file into a new one, which takes its place when it holds the same.

    Needs as much room again. Raises `NotCompacted`, and what DuckDB and the system say.
    """
    new = file.with_name(f".{file.name}.compact")
    # what a copy has left that was killed
    _discard(new)
    try:
        with closing(when_free(lambda: duckdb.connect(str(file), config=loads.GENEROUS))) as database:
            (name,) = database.execute("select current_database()").fetchone() or ("",)
            database.execute("checkpoint")
            path = str(new).replace("'", "''")
            database.execute(f"attach '{path}' as {_COPY}")
            database.execute(f"copy from database {quoted(name)} to {_COPY}")
            database.execute(f"checkpoint {_COPY}")
            if _contents(database, name) != _contents(database, _COPY):
                raise NotCompacted(
                    "The rows are gone, but their bytes are still in the DuckDB file: a copy of it holds others."
                    " Run again when no other program uses it."
                )
            database.execute(f"detach {_COPY}")
        shutil.copymode(file, new)
        os.replace(new, file)
    finally:
        _discard(new)


def _contents(database: duckdb.DuckDBPyConnection, name: str) -> list[tuple[str, str, int]]:
    """Tables with their rows, and views, of an attached database."""
    counted: list[tuple[str, str, int]] = []
    tables = "select schema_name, table_name from duckdb_tables() where database_name = ? order by all"
    for schema, table in database.execute(tables, [name]).fetchall():
        parts = ".".join(map(quoted, (name, schema, table)))
        (count,) = database.execute(f"select count(*) from {parts}").fetchone() or (0,)  # noqa: S608
        counted.append((schema, table, count))
    views = "select schema_name, view_name, 0 from duckdb_views() where database_name = ? and not internal order by all"
    return [*counted, *database.execute(views, [name]).fetchall()]


def _discard(new: Path) -> None:
    for path in (new, new.with_name(f"{new.name}.wal")):
        path.unlink(missing_ok=True)
