"""Whether a destination can be loaded: tried without leaving anything behind."""

from __future__ import annotations

from contextlib import closing
from pathlib import Path
from tempfile import TemporaryFile
from typing import Any
from uuid import uuid4

import dlt
from dlt.destinations.sql_client import SqlClientBase

from wistia_source.errors import WistiaError
from wistia_source.warehouse import connected

from .models import model_schemas
from .postgres import arrow_driver
from .run_log import is_database
from .writer import kind_of, one_writer

POSTGRES_TESTED = range(14, 19)


class NotLandable(WistiaError):
    """Nothing can be loaded there."""


class NotTried(WistiaError):
    """Whether something can be loaded there is not known."""


def try_to_land(pipeline: dlt.Pipeline) -> str:
    """What the destination is, where a table can be made in it.

    Raises `NotLandable`, `NotTried`, `WarehouseBusy`, and what the database says.
    """
    kind = kind_of(pipeline)
    if kind == "duckdb":
        return _in_duckdb(pipeline)
    if kind == "postgres":
        return _in_postgres(pipeline)
    if is_database(pipeline):
        with connected(pipeline):
            raise NotTried(f"{kind} answers, but whether tables can be made is not tried; see what sync says.")
    raise NotTried(f"{kind} is not tried; see what sync says.")


def _in_duckdb(pipeline: dlt.Pipeline) -> str:
    file = Path(pipeline.sql_client().credentials.database).absolute()
    if not file.parent.is_dir():
        raise NotLandable(
            f"There is no folder {file.parent}; make it, or choose another file (DESTINATION__DUCKDB__CREDENTIALS)."
        )
    # the lock alone would call a folder that cannot be written a run under way
    with TemporaryFile(dir=file.parent):
        pass
    with one_writer(pipeline):
        if not file.exists():
            return f"duckdb, {file}, which the first sync makes"
        client = pipeline.sql_client()
        # not waited for: who has it open is what is asked
        client.open_connection()
        with closing(client.native_connection):
            _make_and_forget(pipeline, client)
    return f"duckdb, {file}"


def _in_postgres(pipeline: dlt.Pipeline) -> str:
    arrow_driver()
    with one_writer(pipeline), connected(pipeline) as client:
        _make_and_forget(pipeline, client)
        ((number, text),) = client.execute_sql(
            "select current_setting('server_version_num')::int / 10000, current_setting('server_version')"
        ) or ((0, ""),)
    if number not in POSTGRES_TESTED:
        first, last = POSTGRES_TESTED[0], POSTGRES_TESTED[-1]
        raise NotTried(f"Postgres {text} answers, but {first} to {last} are what is tested; better use one of these.")
    return f"postgres {text}"


def _make_and_forget(pipeline: dlt.Pipeline, client: SqlClientBase[Any]) -> None:
    """Makes the schemas that are missing, and a table in each, and takes all of it back."""
    raw = pipeline.dataset_name
    table = f"_check_{uuid4().hex[:12]}"
    client.execute_sql("begin")
    try:
        for schema in (raw, f"{raw}_staging", *model_schemas(raw)):
            there = client.execute_sql("select 1 from information_schema.schemata where schema_name = %s", schema)
            name = client.escape_column_name(schema)
            if not there:
                client.execute_sql(f"create schema if not exists {name}")
            client.execute_sql(f"create table {name}.{table} (x integer)")
    finally:
        client.execute_sql("rollback")
