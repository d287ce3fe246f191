"""Exports as files that are read back, and the marts they must equal."""

from __future__ import annotations

import csv
import json
import math
from contextlib import closing
from datetime import UTC, date, datetime
from pathlib import Path
from typing import Any

import duckdb
import psycopg2
import pyarrow as pa
from click.testing import CliRunner, Result
from psycopg2.extras import RealDictCursor
from pyarrow import csv as arrow_csv
from pyarrow import parquet
from wistia_pipeline.cli import main

from tests.support.folder import Folder

Row = dict[str, Any]
FORMATS = ("csv", "json", "ndjson", "parquet")


def is_postgres(folder: Folder) -> bool:
    return "DESTINATION__POSTGRES__CREDENTIALS" in folder.env


def export(folder: Folder, *arguments: str) -> Result:
    """`wistia-pipeline export` in this process, which is quicker by a second."""
    destination = ("--destination", "postgres") if is_postgres(folder) else ()
    return CliRunner().invoke(main, ["export", *arguments, *destination], env=folder.env)


def mart(folder: Folder, name: str, where: str = "true") -> list[Row]:
    """A mart's rows, read without a line of the export's."""
    query = f"select * from wistia.wistia__{name} where {where}"
    if is_postgres(folder):
        url = folder.env["DESTINATION__POSTGRES__CREDENTIALS"]
        with closing(psycopg2.connect(url)) as connection, connection.cursor(cursor_factory=RealDictCursor) as cursor:
            cursor.execute("set timezone to 'UTC'")
            cursor.execute(query)
            return [dict(row) for row in cursor.fetchall()]
    with closing(duckdb.connect(str(folder.warehouse), read_only=True)) as file:
        file.execute("set timezone = 'UTC'")
        answer = file.execute(query)
        kinds = [(name, str(kind)) for name, kind, *_ in answer.description or ()]
        return [
            {
                name: json.loads(value) if kind == "JSON" and value is not None else value
                for (name, kind), value in zip(kinds, row, strict=True)
            }
            for row in answer.fetchall()
        ]


def plain(value: Any) -> Any:
    """A value as JSON can say it."""
    if isinstance(value, datetime):
        return value.astimezone(UTC).isoformat().replace("+00:00", "Z")
    return value.isoformat() if isinstance(value, date) else value


def of_csv(text: str | None, like: Any) -> Any:
    """What a field of CSV says, where a value of the column is `like` this."""
    if text is None or like is None:
        return text
    if isinstance(like, bool):
        return {"true": True, "false": False}[text]
    if isinstance(like, dict | list):
        said = json.loads(text)
        assert all(list(one) == sorted(one) for one in (said if isinstance(said, list) else [said]))
        return said
    return type(like)(text) if isinstance(like, int | float) else text


def read_back(file: Path, like: dict[str, Any]) -> list[Row]:
    """The rows of an export; `like` has a value of each column, null where all are."""
    if file.suffix == ".parquet":
        rows = parquet.read_table(file).to_pylist()
        return [
            {
                name: json.loads(value) if isinstance(like[name], dict | list) and value is not None else plain(value)
                for name, value in row.items()
            }
            for row in rows
        ]
    if file.suffix == ".json":
        whole: list[Row] = json.loads(file.read_bytes())
        return whole
    if file.suffix == ".ndjson":
        return [json.loads(line) for line in file.read_bytes().splitlines()]
    header = file.read_text("utf-8").partition("\n")[0]
    names = next(csv.reader([header]))
    table = arrow_csv.read_csv(
        file,
        parse_options=arrow_csv.ParseOptions(newlines_in_values=True),
        convert_options=arrow_csv.ConvertOptions(
            column_types=dict.fromkeys(names, pa.string()),
            null_values=[""],
            strings_can_be_null=True,
            quoted_strings_can_be_null=False,
        ),
    )
    return [{name: of_csv(text, like[name]) for name, text in row.items()} for row in table.to_pylist()]


def same(found: Any, expected: Any) -> bool:
    """Whether a value is the other; sums of fractions differ in their last digits from query to query."""
    if isinstance(expected, dict) and isinstance(found, dict):
        return found.keys() == expected.keys() and all(same(found[name], expected[name]) for name in expected)
    if isinstance(expected, list) and isinstance(found, list):
        return len(found) == len(expected) and all(map(same, found, expected))
    if {type(found), type(expected)} in ({int, float}, {float}):
        return math.isclose(found, expected, rel_tol=1e-9, abs_tol=1e-12)
    return type(found) is type(expected) and bool(found == expected)


def in_any_order(rows: list[Row]) -> list[Row]:
    """Rows in an order that rounding cannot change."""

    def key(row: Row) -> str:
        return repr([value for value in row.values() if not isinstance(value, float | dict | list)])

    return sorted(rows, key=key)
