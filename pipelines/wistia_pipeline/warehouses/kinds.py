"""The kinds of warehouses: what is special about one is all in its module, and nobody else asks for a name."""

from __future__ import annotations

from collections.abc import Iterator
from functools import cache
from importlib import import_module
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    import dlt

    from .base import Destination


class Kind(NamedTuple):
    """Where a kind is, and what help texts say of it before it is imported."""

    module: str
    """In this package."""
    name: str
    """Of its class there."""
    is_modelled: bool = True
    """Whether the SQL models and the readers know its SQL."""


KINDS = {
    "duckdb": Kind("duckdb.file", "DuckDBFile"),
    "postgres": Kind("postgres", "Postgres"),
    "ducklake": Kind("ducklake.lake", "DuckLake"),
    "filesystem": Kind("filesystem", "Files", is_modelled=False),
}
*_MOST, _LAST = [name for name, kind in KINDS.items() if kind.is_modelled]
ALL_MODELLED = f"{', '.join(_MOST)} and {_LAST}"
ANY_MODELLED = f"{', '.join(_MOST)} or {_LAST}"
ANY_DESTINATION = f"{', '.join((*_MOST, _LAST))}, or any other destination that dlt knows"
"""What can be named where SQL models are built or read, and where data is loaded."""


@cache
def kind_of(name: str) -> type[Destination]:
    """What is special about a kind; about one that only dlt knows, nothing."""
    kind = KINDS.get(name) or Kind("base", "Destination")
    found: type[Destination] = getattr(import_module(f".{kind.module}", __package__), kind.name)
    return found


def all_kinds() -> Iterator[type[Destination]]:
    """All kinds of the table. A lake comes before DuckDB, on which it is built: its error messages are more precise."""
    return map(kind_of, reversed(KINDS))


def destination_of(pipeline: dlt.Pipeline) -> Destination:
    """The pipeline's destination."""
    return kind_of(str(pipeline.destination.destination_type).rpartition(".")[2])(pipeline)
