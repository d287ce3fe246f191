"""Reads the warehouse for people: one snapshot of it, batch by batch, and never a change."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import dlt

from .base import Destination, NotReadable, Query
from .kinds import ALL_MODELLED, destination_of
from .schemas import model_schemas


class Reader:
    """One snapshot of a warehouse."""

    def __init__(self, destination: Destination, query: Query) -> None:
        self.destination = destination
        self.raw = destination.pipeline.dataset_name
        """The schema that was loaded."""
        self.marts = model_schemas(self.raw)[0]
        """The schema of the marts."""
        self.batches = query

    def rows(self, query: str, *values: Any) -> list[dict[str, Any]]:
        """The answer as dicts, for what is few rows."""
        found: list[dict[str, Any]] = self.batches(query, *values).read_all().to_pylist()
        return found

    def columns(self, schema: str) -> dict[str, dict[str, str]]:
        """The tables and views of a schema: their columns in order, each with its type in small letters."""
        found: dict[str, dict[str, str]] = {}
        for row in self.rows(
            "select table_name, column_name, lower(data_type) as type from information_schema.columns "
            # DuckDB shows those of attached files, too
            "where table_schema = $1 and table_catalog = current_database() order by table_name, ordinal_position",
            schema,
        ):
            found.setdefault(row["table_name"], {})[row["column_name"]] = row["type"]
        return found


@contextmanager
def reading(pipeline: dlt.Pipeline) -> Iterator[Reader]:
    """A reader of the pipeline's warehouse. Raises `NotReadable`, and what the database says of a wrong address."""
    destination = destination_of(pipeline)
    if not destination.adapter:
        raise NotReadable(f"Only {ALL_MODELLED} can be read, not {destination.kind}; query it with its own tools.")
    with destination.snapshot() as query:
        reader = Reader(destination, query)
        if not reader.columns(reader.raw):
            raise NotReadable("Nothing has been loaded there yet; run wistia-pipeline sync first.")
        yield reader
