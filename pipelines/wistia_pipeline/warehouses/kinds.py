"""The kinds of warehouses: what is special about one is all in its module, and nobody else asks for a name."""

from __future__ import annotations

from collections.abc import Iterator
from functools import cache
from pkgutil import resolve_name
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import dlt

    from .base import Destination

_CLASSES = {
    "duckdb": "duckdb.file:DuckDBFile",
    "postgres": "postgres:Postgres",
    "ducklake": "ducklake.lake:DuckLake",
    "filesystem": "filesystem:Files",
}
"""By kind: where its class is in this package. Imported when it is used, so that --help answers at once."""
ALL_MODELLED = "duckdb, postgres and ducklake"
ANY_MODELLED = "duckdb, postgres or ducklake"
ANY_DESTINATION = "duckdb, postgres, ducklake, or any other destination that dlt knows"
"""What can be named where SQL models are built or read, and where data is loaded."""


@cache
def kind_of(name: str) -> type[Destination]:
    """What is special about a kind; about one that only dlt knows, nothing."""
    found: type[Destination] = resolve_name(f"{__package__}.{_CLASSES.get(name, 'base:Destination')}")
    return found


def all_kinds() -> Iterator[type[Destination]]:
    """All kinds of the table. A lake comes before DuckDB, on which it is built: its error messages are more precise."""
    return map(kind_of, reversed(_CLASSES))


def destination_of(pipeline: dlt.Pipeline) -> Destination:
    """The pipeline's destination."""
    return kind_of(str(pipeline.destination.destination_type).rpartition(".")[2])(pipeline)
