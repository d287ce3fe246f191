"""From the API's rows to typed Arrow tables: flattening, types, and the quirks, each with its reason."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from functools import cache, lru_cache
from itertools import chain
from typing import Any

import orjson
import pyarrow as pa
import pyarrow.compute as pc
from dlt.common.normalizers.naming.snake_case import NamingConvention

from .endpoints import ACCOUNT_ID, Column, DataType, Endpoint, Row
from .errors import RowUnusable
from .values import MISFIT, as_text, converted

Path = tuple[str, ...]

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

LOAD_ID = "_dlt_load_id"
"""The column in which dlt says which load brought a row."""

_RESERVED = (LOAD_ID, "_dlt_id", "_dlt_parent_id", "_dlt_root_id", "_dlt_list_idx", "rowid")
"""What dlt and DuckDB call columns of their own."""
_KINDS = {str: "text", bool: "a bool", int: "a bigint", float: "a double", dict: "an object", list: "a list"}
_LONGEST_NAME = 60
"""Postgres cuts names at 63."""


def all_columns(endpoint: Endpoint) -> tuple[Column, ...]:
    """Every declared column of an endpoint's table, in order."""
    return (ACCOUNT_ID, *endpoint.columns, ROW_HASH)


def primary_key(endpoint: Endpoint) -> tuple[str, ...]:
    """The primary key of an endpoint's table: the account first, so that several can share a warehouse."""
    return (ACCOUNT_ID.name, *endpoint.primary_key)


def is_row_of(endpoint: Endpoint, row: Row) -> bool:
    """Whether the API's object has any of the fields that rows of the endpoint have."""
    return not row.keys().isdisjoint(declared_fields(endpoint)[()] - endpoint.ignored)


def with_key(endpoint: Endpoint, rows: Sequence[Row]) -> Sequence[Row]:
    """The rows that have every part of their primary key: a null there would stop the load of all."""
    objects = Objects(rows)
    keys = zip(*(_values(endpoint.column(name), objects) for name in endpoint.primary_key), strict=True)
    return [row for row, key in zip(rows, keys, strict=True) if None not in key]


def to_table(endpoint: Endpoint, rows: Sequence[Row], account_id: str) -> pa.Table:
    """The rows as a typed table with every declared column, and one for each field that nobody declared.

    A key that occurs twice (a page boundary moved while we read) is kept once, the later one. Undeclared fields
    are text, whatever they hold, so that no later value can fail to fit. Raises `RowUnusable`.
    """
    objects = Objects(rows)
    values = [[account_id] * len(rows), *(_values(column, objects) for column in endpoint.columns)]
    nested = [objects.values_at((child.field,)) for child in endpoint.children]
    undeclared = _undeclared(endpoint, objects)
    # a row's own undeclared fields only: its hash must not depend on the batch that it comes in
    hashes = [_hash(row) for row in zip(*values, *nested, (own or None for own in undeclared), strict=True)]
    columns, key = all_columns(endpoint), primary_key(endpoint)
    fields = [
        pa.field(column.name, ARROW_TYPES[column.data_type], nullable=column.name not in key) for column in columns
    ]
    arrays = [_array(endpoint, *pair, rows) for pair in zip(columns, [*values, hashes], strict=True)]
    for name in sorted(set(chain.from_iterable(undeclared))):
        fields.append(pa.field(name, pa.string()))
        arrays.append(_storable(pa.array([as_text(own.get(name)) for own in undeclared], pa.string())))
    return _each_key_once(endpoint, pa.Table.from_arrays(arrays, schema=pa.schema(fields)))


def joined(endpoint: Endpoint, tables: Sequence[pa.Table]) -> pa.Table:
    """Tables of an endpoint as one; of a key that occurs in several the last row."""
    return _each_key_once(endpoint, pa.concat_tables(tables, promote_options="default"))


def carried_rows(endpoint: Endpoint, child: Endpoint, row: Row) -> list[Row]:
    """The rows of another table that one of the API's rows carries in a list. Raises `RowUnusable`."""
    value = row.get(child.field) or []
    items = [item for item in (value if isinstance(value, list) else [value]) if item]
    if not all(isinstance(item, dict) for item in items):
        raise RowUnusable(
            f"{endpoint.name}.{child.field} should be a list of objects, but Wistia sent something else; it is not "
            "loaded: please report it."
        )
    return items


def _hash(row: tuple[Any, ...]) -> int:
    text = orjson.dumps(row, option=orjson.OPT_SORT_KEYS)
    return int.from_bytes(hashlib.blake2b(text, digest_size=8).digest(), "big", signed=True)


class Objects(dict[Path, Sequence[Row]]):
    """The objects at each path, one a row; empty where a row has none."""

    def __init__(self, rows: Sequence[Row]) -> None:
        super().__init__({(): rows})

    def __missing__(self, path: Path) -> Sequence[Row]:
        # where an object is meant there may be "" (conversion_data, observed) or null
        self[path] = [value if isinstance(value, dict) else {} for value in self.values_at(path)]
        return self[path]

    def values_at(self, path: Path) -> list[Any]:
        """What the rows hold at a path."""
        *parents, step = path
        return [value.get(step) for value in self[tuple(parents)]]


def _values(column: Column, objects: Objects) -> list[Any]:
    """One column's raw values."""
    first, *others = column.sources
    values = objects.values_at(first)
    for path in others:
        if None in values:
            pairs = zip(values, objects.values_at(path), strict=True)
            values = [other if value is None else value for value, other in pairs]
    return values


def value_of(column: Column, row: Row) -> Any:
    """A column's raw value in one of the API's rows, null where there is none."""
    return _values(column, Objects([row]))[0]


def _undeclared(endpoint: Endpoint, objects: Objects) -> list[Row]:
    """Of each row, by column name, what the endpoint's table does not name."""
    found: list[dict[Path, Any]] = [{} for _ in objects[()]]
    for path, declared in declared_fields(endpoint).items():
        for fields, value in zip(found, objects[path], strict=True):
            if not value.keys() <= declared:
                new = value.keys() - declared
                fields.update({(*path, key): value[key] for key in new if value[key] is not None})
        if path:
            for fields, value in zip(found, objects.values_at(path), strict=True):
                if value and not isinstance(value, dict):
                    fields[path] = value
    columns = [column.name for column in all_columns(endpoint)]
    taken = frozenset([*columns, *(child.field for child in endpoint.children), *_RESERVED])
    return [{_names(tuple(sorted(fields)), taken)[path]: value for path, value in fields.items()} for fields in found]


@cache
def declared_fields(endpoint: Endpoint) -> dict[Path, frozenset[str]]:
    """The fields that are known of each object, by the object's path."""
    known: dict[Path, set[str]] = {(): {*endpoint.ignored, *(child.field for child in endpoint.children)}}
    for column in endpoint.columns:
        for path in column.sources:
            for depth, step in enumerate(path):
                known.setdefault(path[:depth], set()).add(step)
    return {path: frozenset(steps) for path, steps in known.items()}


@lru_cache(maxsize=1024)
def _names(paths: tuple[Path, ...], taken: frozenset[str]) -> dict[Path, str]:
    """Names of columns for the undeclared fields of one row, apart from each other and from those taken.

    dlt refuses a batch in which two names become one by its naming, and would write into a declared column.
    """
    names: dict[Path, str] = {}
    # a field that is spelt like its column comes before one that is not
    for path in sorted(paths, key=lambda path: ("__".join(path) != _name(path), path)):
        name, number = _name(path), 1
        while name in taken or name in names.values():
            number += 1
            name = f"{_name(path)}_{number}"
        names[path] = name
    return names


def _name(path: Path) -> str:
    """A column's name as dlt and Postgres would have it."""
    naming = NamingConvention()
    name = "__".join(naming.normalize_identifier(step.strip() or "_") for step in path)
    if len(name) <= _LONGEST_NAME:
        return name
    tag = hashlib.blake2b("__".join(path).encode(), digest_size=4).hexdigest()
    return f"{name[: _LONGEST_NAME - 9].rstrip('_')}_{tag}"


def _array(endpoint: Endpoint, column: Column, values: list[Any], rows: Sequence[Row]) -> pa.Array[Any]:
    array = _as_they_are(column, values)
    if array is None:
        fitted = [converted(column.data_type, value) for value in values]
        if MISFIT in fitted:
            number = fitted.index(MISFIT)
            names = [name for name in endpoint.primary_key if name != column.name]
            key = ", ".join(f"{name} {value_of(endpoint.column(name), rows[number])!r}" for name in names)
            raise RowUnusable(
                f"{endpoint.name}.{column.name} should be {column.data_type}, but Wistia sent "
                f"{_KINDS.get(type(values[number]), 'something')} that does not fit"
                f"{f', in the row with {key}' if key else ''}; it is not loaded: please report it."
            )
        array = pa.array(fitted, ARROW_TYPES[column.data_type])
    return _storable(array) if column.data_type == "text" else array


def _as_they_are(column: Column, values: list[Any]) -> pa.Array[Any] | None:
    """The values without a look at each, or nothing where some are not of the column's type."""
    arrow_type = ARROW_TYPES[column.data_type]
    if column.data_type == "json" or (column.data_type == "bigint" and float in set(map(type, values))):
        # Arrow would cut 1.9 down to 1
        return None
    try:
        if column.data_type in ("timestamp", "date"):
            return pa.array(values, pa.string()).cast(arrow_type)
        return pa.array(values, arrow_type)
    except (pa.ArrowInvalid, pa.ArrowTypeError, OverflowError):
        return None


def _storable(array: pa.Array[Any]) -> pa.Array[Any]:
    """Text without U+0000, which Postgres cannot hold: one such name would stop every load from then on."""
    texts = array.buffers()[2]
    # a look at the bytes: Arrow's own search of each value took a tenth of a load
    if texts is None or b"\0" not in texts.to_pybytes():
        return array
    return pc.replace_substring(array, "\0", "\ufffd")


def _each_key_once(endpoint: Endpoint, table: pa.Table) -> pa.Table:
    for name in endpoint.primary_key:
        if table[name].null_count:
            raise RowUnusable(
                f"Wistia sent a row of {endpoint.name} without {name}, part of its key; it is not loaded: please "
                "report it."
            )
    if table.group_by(list(endpoint.primary_key), use_threads=False).aggregate([]).num_rows == table.num_rows:
        return table
    keys = (table[name].to_pylist() for name in endpoint.primary_key)
    latest = {key: number for number, key in enumerate(zip(*keys, strict=True))}
    return table.take(sorted(latest.values()))
