"""Converts one value of the API into its column's type: the quirks, each with its reason."""

import re
from collections.abc import Callable
from datetime import date, datetime
from decimal import Decimal
from typing import Any

import orjson
import pendulum

from .endpoints import DataType, Endpoint, Row

MISFIT = object()
"""What a value becomes that its column cannot hold."""

_CAMEL = re.compile(r"(?<=[a-z])[A-Z]")
_STARTS_WITH_DAY = re.compile(r"\d{4}-\d\d-\d\d(?!\d)")
_BACKSLASH_OR_NUL = re.compile(r"\\(\\|u0000)")


def converted(data_type: DataType, value: Any) -> Any:
    """A value as the type has it, or `MISFIT`: numbers sent as text, ints as floats, any form of date are accepted.

    An empty string is null, but for text.
    """
    if value is None or (value == "" and data_type != "text"):
        return None
    try:
        return _CONVERT[data_type](value)
    except (ValueError, TypeError, ArithmeticError):
        # not an error of its own: dlt's trace keeps the messages of causes, and theirs show the viewer's value
        return MISFIT


def as_text(value: Any) -> str | None:
    """Any value as text, what is no text as JSON."""
    if value is None or isinstance(value, str):
        return value
    return orjson.dumps(value).decode()


def _json(value: Any) -> str:
    """A document with keys in snake_case: v1 says fileSize where the modern API says file_size."""
    if isinstance(value, list):
        value = [
            {_CAMEL.sub(_lower, key): inner for key, inner in item.items()} if isinstance(item, dict) else item
            for item in value
        ]
    # Postgres takes no U+0000 in a document
    return _BACKSLASH_OR_NUL.sub(
        lambda found: "\ufffd" if found[1] == "u0000" else found[0], orjson.dumps(value).decode()
    )


def _lower(capital: re.Match[str]) -> str:
    return f"_{capital[0].lower()}"


def _bigint(value: Any) -> int:
    # by way of text, since a float holds no more than 53 bits of a long number
    number = Decimal(str(int(value) if isinstance(value, bool) else value))
    if not -(2**63) <= number < 2**63 or number != int(number):
        raise ValueError
    return int(number)


def _bool(value: Any) -> bool:
    known = {"true": True, "false": False, "1": True, "0": False, 1: True, 0: False}
    key = value.lower() if isinstance(value, str) else value
    if key not in known:
        raise ValueError
    return known[key]


def timestamp(value: Any) -> datetime:
    """An aware datetime from any of the API's forms; without a zone it is UTC. Raises `ValueError` or `TypeError`."""
    # pendulum takes "12:30" and "now" too, and makes them today
    parsed = pendulum.parse(value) if _STARTS_WITH_DAY.match(value) else None
    if not isinstance(parsed, datetime):
        raise ValueError
    return parsed


def time_of(endpoint: Endpoint, row: Row) -> datetime | None:
    """A row's cursor; null where it has none that can be read, which is said by name when the row is typed."""
    try:
        return timestamp(row.get(endpoint.cursor or ""))
    except (TypeError, ValueError):
        return None


def _date(value: Any) -> date:
    return date.fromisoformat(value[:10])


_CONVERT: dict[DataType, Callable[[Any], Any]] = {
    "text": as_text,
    "bigint": _bigint,
    "double": float,
    "bool": _bool,
    "timestamp": timestamp,
    "date": _date,
    "json": _json,
}
