"""Kinds of destinations, and what each does in its own way: a module each."""

from __future__ import annotations

import dlt

from .base import Destination
from .duckdb.file import DuckDBFile
from .ducklake.lake import DuckLake
from .filesystem import Files
from .postgres import Postgres

__all__ = ["Destination", "destination_of"]

_KINDS: dict[str, type[Destination]] = {
    "duckdb": DuckDBFile,
    "ducklake": DuckLake,
    "filesystem": Files,
    "postgres": Postgres,
}


def destination_of(pipeline: dlt.Pipeline) -> Destination:
    """The pipeline's destination."""
    return _KINDS.get(Destination(pipeline).kind, Destination)(pipeline)
