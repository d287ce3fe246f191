"""Rows of any form for tests of what becomes of them, and the values that they should have."""

from __future__ import annotations

import json
from datetime import UTC, date, datetime, timedelta
from typing import Any

import pyarrow as pa
from hypothesis import strategies as st

from wistia_source.endpoints import (
    ENDPOINTS,
    Column,
    Endpoint,
)
from wistia_source.rows import all_columns, to_table

Row = dict[str, Any]

ABSENT = object()
MOMENT = datetime(2024, 12, 10, 23, 56, 14, tzinfo=UTC)

texts = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"), max_size=12)
numbers = st.integers(-(2**63), 2**63 - 1)
reals = st.floats(allow_nan=False, allow_infinity=False)
moments = st.datetimes(datetime(1980, 1, 1), datetime(2100, 1, 1), timezones=st.just(UTC))  # noqa: DTZ001
documents = st.recursive(
    st.none() | st.booleans() | numbers | reals | texts,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(texts, inner, max_size=3),
    max_leaves=5,
)
VALUES: dict[str, st.SearchStrategy[Any]] = {
    "text": texts,
    "bigint": numbers,
    "double": reals,
    "bool": st.booleans(),
    "timestamp": moments.map(lambda at: at.isoformat().replace("+00:00", "Z")),
    "date": st.dates().map(date.isoformat),
    "json": st.lists(numbers | texts, max_size=4),
}
endpoints = st.sampled_from(ENDPOINTS)


def known_names(*of: Endpoint) -> set[str]:
    """Names that mean something at the top level of a row."""
    return {
        name
        for endpoint in of
        for name in (
            *(path[0] for column in endpoint.columns for path in column.sources),
            *(child.field for child in endpoint.children),
            *endpoint.ignored,
        )
    }


strange_names = texts.filter(lambda name: name not in known_names(*ENDPOINTS))


def place(row: Row, path: tuple[str, ...], value: Any) -> None:
    *parents, last = path
    for step in parents:
        row = row.setdefault(step, {})
    row[last] = value


@st.composite
def drawn_row(draw: st.DrawFn, endpoint: Endpoint, key: int) -> tuple[Row, dict[str, Any]]:
    """A row with any subset of the declared fields present, null or absent; and its values by column."""
    row: Row = {}
    expected: dict[str, Any] = {}
    for column in endpoint.columns:
        value = draw(VALUES[column.data_type] | st.sampled_from([None, ABSENT]))
        if column.name in endpoint.primary_key:
            value = key_value(column, key)
        if value is not ABSENT:
            place(row, draw(st.sampled_from(column.sources)), value)
        expected[column.name] = None if value is ABSENT else value
    return row, expected


def key_value(column: Column, number: int) -> Any:
    at = MOMENT + timedelta(days=number)
    return {"timestamp": f"{at:%FT%TZ}", "date": at.date().isoformat()}.get(column.data_type, f"key{number}")


def least_row(endpoint: Endpoint, number: int = 0, /, **fields: Any) -> Row:
    """A row with nothing but its key, and `fields`."""
    row: Row = {}
    for name in endpoint.primary_key:
        place(row, endpoint.column(name).sources[0], key_value(endpoint.column(name), number))
    return row | fields


def as_sent(column: Column, value: Any) -> Any:
    """A loaded value in the form in which it was sent."""
    if isinstance(value, datetime):
        return value.astimezone(UTC).isoformat().replace("+00:00", "Z")
    if isinstance(value, date):
        return value.isoformat()
    return json.loads(value) if column.data_type == "json" and value is not None else value


def loaded_row(endpoint: Endpoint, **fields: Any) -> Row:
    """What becomes of one row."""
    (row,) = to_table(endpoint, [least_row(endpoint, **fields)], "7").to_pylist()
    return dict(row)


def undeclared_columns(table: pa.Table, endpoint: Endpoint) -> list[str]:
    return table.column_names[len(all_columns(endpoint)) :]


def hashes_of(endpoint: Endpoint, *rows: Row) -> list[int]:
    return [int(value or 0) for value in to_table(endpoint, rows, "7")["_row_hash"].to_pylist()]


FORMS = [
    "2024-12-10T23:56:14Z",
    "2024-12-10T23:56:14.000Z",
    "2024-12-10T23:56:14+00:00",
    "2024-12-10T18:56:14-05:00",
    "2024-12-11T05:26:14+0530",
    "2024-12-10 23:56:14.000Z",
    "2024-12-10 23:56:14",
    "2024-12-10T23:56:14",
    "2024-12-10T23:56:14.000000000Z",
]


def turned(value: Any) -> Any:
    """The same document with the keys of all objects the other way round."""
    if isinstance(value, list):
        return [turned(inner) for inner in value]
    return {key: turned(value[key]) for key in reversed(value)} if isinstance(value, dict) else value
