"""Writes a DuckDB file anew, without the bytes of rows that were deleted from it."""

from __future__ import annotations

import os
import shutil
from contextlib import closing
from pathlib import Path

import duckdb

from wistia_source.warehouse import when_free

from ..base import NotCompacted
from ..catalog import quoted
from .loads import GENEROUS

_COPY = "wistia_compacted"
"""What the copy is called while it is written: not as a file may be."""


def rewrite(file: Path) -> None:
    """Copies all that is in the file into a new one, which takes its place when it holds the same.

    Needs as much room again. Raises `NotCompacted`, and what DuckDB and the system say.
    """
    new = file.with_name(f".{file.name}.compact")
    # what a copy has left that was killed
    _discard(new)
    try:
        with closing(when_free(lambda: duckdb.connect(str(file), config=GENEROUS))) as database:
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
