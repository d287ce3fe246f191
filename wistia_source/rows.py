"""From the API's rows to typed Arrow tables: flattening, types, and the quirks, each with its reason."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterable, Mapping, Sequence
from datetime import UTC, date, datetime
from functools import cache
from typing import Any

import orjson
import pendulum
import pyarrow as pa
import pyarrow.compute as pc

from .endpoints import ACCOUNT_ID, Child, Column, DataType, Endpoint
from .errors import RowUnusable

Row = dict[str, Any]

ROW_HASH = Column("_row_hash", "bigint", "Hash of the row's values: equal means that nothing changed.")

ARROW_TYPES: dict[DataType, pa.DataType] = {
    "text": pa.string(),
    "bigint": pa.int64(),
    "double": pa.float64(),
    "bool": pa.bool_(),
    "timestamp": pa.timestamp("us", tz="UTC"),
    "date": pa.date32(),
    "json": pa.string(),
}

_CAMEL = re.compile(r"(?<=[a-z])[A-Z]")
_HEATMAP_KEY = re.compile(r"/events/([^/?]+)/")
_PUBLIC_TOKEN = re.compile(r"public_token=[^&#]*")


def all_columns(endpoint: Endpoint) -> tuple[Column, ...]:
    """Every declared column of an endpoint's table, in order."""
    return (ACCOUNT_ID, *endpoint.columns, ROW_HASH)


def child_columns(endpoint: Endpoint, child: Child) -> tuple[Column, ...]:
    """Every declared column of a child table: the parent's key first."""
    return (ACCOUNT_ID, *(endpoint.column(name) for name in endpoint.primary_key), *child.columns)


def primary_key(endpoint: Endpoint) -> tuple[str, ...]:
    """The primary key of an endpoint's table: the account first, so that several can share a warehouse."""
    return (ACCOUNT_ID.name, *endpoint.primary_key)


def fix_event(row: Row, keep_public_token: bool) -> None:
    """Gives an event the keys that it lacks, in place; takes out the account's public token unless asked for."""
    heatmap = row.get("iframe_heatmap_url")
    if not row.get("event_key"):
        # older rows carry their key only inside this address (seed documents, 2012)
        found = _HEATMAP_KEY.search(heatmap) if isinstance(heatmap, str) else None
        row["event_key"] = (
            found.group(1) if found else f"sha1-{hashlib.sha1(orjson.dumps(row), usedforsecurity=False).hexdigest()}"
        )
    if row.get("visitor_key") is None:
        # Privacy Mode hides it; a null in a primary key would stop the load
        row["visitor_key"] = ""
    if not keep_public_token and isinstance(heatmap, str):
        row["iframe_heatmap_url"] = _PUBLIC_TOKEN.sub("public_token=", heatmap)


def to_table(endpoint: Endpoint, rows: Sequence[Row], account_id: str) -> pa.Table:
    """The rows as a typed table with every declared column, and one for each field that nobody declared.

    A key that occurs twice (a page boundary moved while we read) is kept once, the later one. Undeclared fields
    are text, whatever they hold, so that no later value can fail to fit. Raises `RowUnusable`.
    """
    values = [[account_id] * len(rows)] + [_values(column, rows) for column in endpoint.columns]
    extras = _undeclared(endpoint, rows)
    nested = [[row.get(child.field) for row in rows] for child in endpoint.children]
    hashes = [
        int.from_bytes(hashlib.blake2b(orjson.dumps(row), digest_size=8).digest(), "big", signed=True)
        for row in zip(*values, *extras.values(), *nested, strict=True)
    ]
    columns = all_columns(endpoint)
    arrays = [
        _array(endpoint, column, column_values)
        for column, column_values in zip(columns, [*values, hashes], strict=True)
    ]
    fields = [
        pa.field(column.name, ARROW_TYPES[column.data_type], nullable=column.name not in primary_key(endpoint))
        for column in columns
    ]
    for name, column_values in extras.items():
        fields.append(pa.field(name, pa.string()))
        arrays.append(_storable(pa.array([_text(value) for value in column_values], pa.string())))
    return _each_key_once(endpoint, pa.Table.from_arrays(arrays, schema=pa.schema(fields)))


def with_children(endpoint: Endpoint, table: pa.Table, rows: Iterable[Row]) -> list[Row]:
    """The table's rows as dicts with their child rows, each child carrying its parent's key."""
    key = primary_key(endpoint)
    raw = {tuple(row.get(name) for name in endpoint.primary_key): row for row in rows}
    result: list[Row] = table.to_pylist()
    for row in result:
        own_key = {name: row[name] for name in key}
        items = raw[tuple(row[name] for name in endpoint.primary_key)]
        for child in endpoint.children:
            row[child.field] = [
                own_key | {column.name: _converted(endpoint, column, item.get(column.name)) for column in child.columns}
                for item in items.get(child.field) or []
            ]
    return result


def _values(column: Column, rows: Sequence[Row]) -> list[Any]:
    """One column's raw values."""
    (first, *others) = column.sources
    if others:
        return [value_of(column, row) for row in rows]
    if len(first) == 1:
        (step,) = first
        return [row.get(step) for row in rows]
    return [_at(first, row) for row in rows]


def value_of(column: Column, row: Row) -> Any:
    """A column's raw value in one of the API's rows, null where there is none."""
    return next((value for path in column.sources if (value := _at(path, row)) is not None), None)


def _at(path: tuple[str, ...], row: Row) -> Any:
    value: Any = row
    for step in path:
        # where an object is meant there may be "" (conversion_data, observed) or null
        if not isinstance(value, dict):
            return None
        value = value.get(step)
    return value


def _undeclared(endpoint: Endpoint, rows: Sequence[Row]) -> dict[str, list[Any]]:
    """Values of fields that the endpoint's table does not name, by column name, in name order."""
    known = _known(endpoint)
    found: dict[str, list[Any]] = {}

    def note(number: int, value: Mapping[str, Any], level: Mapping[str, Any], prefix: str) -> None:
        for key in value.keys() - level.keys():
            if value[key] is not None:
                found.setdefault(prefix + key, [None] * len(rows))[number] = value[key]
        for key, inner in level.items():
            if inner and isinstance(nested := value.get(key), dict):
                note(number, nested, inner, f"{prefix}{key}__")

    for number, row in enumerate(rows):
        note(number, row, known, "")
    return {name: found[name] for name in sorted(found)}


@cache
def _known(endpoint: Endpoint) -> dict[str, Any]:
    """The declared fields as nested dicts; a leaf is empty."""
    tree: dict[str, Any] = {name: {} for name in endpoint.ignored}
    for child in endpoint.children:
        tree[child.field] = {}
    for column in endpoint.columns:
        for path in column.sources:
            level = tree
            for step in path:
                level = level.setdefault(step, {})
    return tree


def _array(endpoint: Endpoint, column: Column, values: list[Any]) -> pa.Array[Any]:
    arrow_type = ARROW_TYPES[column.data_type]
    if column.data_type == "json":
        return _storable(pa.array([_json(value) for value in values], arrow_type))
    try:
        if column.data_type in ("timestamp", "date"):
            return pa.array(values, pa.string()).cast(arrow_type)
        array = pa.array(values, arrow_type)
    except (pa.ArrowInvalid, pa.ArrowTypeError):
        array = pa.array([_converted(endpoint, column, value) for value in values], arrow_type)
    return _storable(array) if column.data_type == "text" else array


def _converted(endpoint: Endpoint, column: Column, value: Any) -> Any:
    """One value in the column's type: numbers sent as text, ints as floats, any form of date are accepted."""
    try:
        return None if value is None else _CONVERT[column.data_type](value)
    except (ValueError, TypeError) as error:
        raise RowUnusable(
            f"{endpoint.name}.{column.name} should be {column.data_type}, but Wistia sent a {type(value).__name__} "
            "that does not fit; nothing of this run is loaded: report it and leave the resource out with --select."
        ) from error


def _text(value: Any) -> str | None:
    if value is None or isinstance(value, str):
        return value
    return orjson.dumps(value).decode()


def _json(value: Any) -> str | None:
    """A document with keys in snake_case: v1 says fileSize where the modern API says file_size."""
    if isinstance(value, list):
        value = [
            {_CAMEL.sub(_lower, key): inner for key, inner in item.items()} if isinstance(item, dict) else item
            for item in value
        ]
    return None if value is None else orjson.dumps(value).decode()


def _lower(capital: re.Match[str]) -> str:
    return "_" + capital.group().lower()


def _bigint(value: Any) -> int | None:
    if value == "":
        return None
    number = float(value) if not isinstance(value, int | str) else int(value)
    if number != int(number):
        raise ValueError(number)
    return int(number)


def _double(value: Any) -> float | None:
    return None if value == "" else float(value)


def _bool(value: Any) -> bool | None:
    known = {"": None, "true": True, "false": False, 1: True, 0: False}
    key = value.lower() if isinstance(value, str) else value
    if key not in known:
        raise ValueError(value)
    return known[key]


def timestamp(value: Any) -> datetime | None:
    """An aware datetime from any of the API's forms; without a zone it is UTC. Null from an empty string."""
    if value == "":
        return None
    parsed = value if isinstance(value, datetime) else pendulum.parse(value)
    if not isinstance(parsed, datetime):
        raise ValueError(value)
    return parsed if parsed.tzinfo else parsed.replace(tzinfo=UTC)


def _date(value: Any) -> date | None:
    return None if value == "" else date.fromisoformat(value[:10])


_CONVERT = {
    "text": _text,
    "bigint": _bigint,
    "double": _double,
    "bool": _bool,
    "timestamp": timestamp,
    "date": _date,
    "json": _json,
}


def _storable(array: pa.Array[Any]) -> pa.Array[Any]:
    """Text without U+0000, which Postgres cannot hold: one such name would stop every load from then on."""
    if pc.any(pc.match_substring(array, "\0")).as_py():
        return pc.replace_substring(array, "\0", "\ufffd")
    return array


def _each_key_once(endpoint: Endpoint, table: pa.Table) -> pa.Table:
    keys = [table[name].to_pylist() for name in endpoint.primary_key]
    for name, values in zip(endpoint.primary_key, keys, strict=True):
        if None in values:
            raise RowUnusable(
                f"Wistia sent a row of {endpoint.name} without {name}, part of its key; nothing of this run is "
                "loaded: please report it, and leave the resource out with --select."
            )
    latest = {key: number for number, key in enumerate(zip(*keys, strict=True))}
    return table if len(latest) == table.num_rows else table.take(sorted(latest.values()))
