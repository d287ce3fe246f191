"""What the warehouse already holds, read back through dlt at the start of a run.

The warehouse is the memory of the fan-outs and the proof of what has not changed: it commits with the data and
survives a lost machine. Without a destination, or on one without SQL, nothing is remembered: everything is asked
and loaded.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from datetime import date, datetime
from typing import Any

import dlt
import pyarrow as pa
import pyarrow.compute as pc
from dlt.common.destination.exceptions import SqlClientNotAvailable
from dlt.destinations.exceptions import DatabaseUndefinedRelation
from dlt.pipeline.exceptions import PipelineConfigMissing

from .endpoints import ACCOUNT_ID, REFRESHES, Endpoint
from .rows import ROW_HASH


@dataclass(frozen=True)
class Refresh:
    """When a parent was last asked, and through which day."""

    refreshed_at: datetime
    through_date: date | None


class Warehouse:
    """The tables of one account in the destination of the pipeline that is running."""

    def __init__(self, account_id: str) -> None:
        self._account_id = account_id
        self._pipeline = dlt.current.pipeline()

    def refreshes(self) -> dict[tuple[str, str], Refresh]:
        """Every (endpoint, parent id) asked so far."""
        rows = self._rows(REFRESHES.name, ["endpoint", "parent_id", "refreshed_at", "through_date"])
        return {(endpoint, parent): Refresh(at, through) for endpoint, parent, at, through in rows or ()}

    def holds(self, table: str) -> bool:
        """Whether the table exists."""
        return self._rows(table, [ACCOUNT_ID.name], "limit 1") is not None

    def unchanged(
        self,
        endpoint: Endpoint,
        *,
        parents: Collection[str] | None = None,
        since: datetime | date | None = None,
    ) -> pa.Array[Any]:
        """Hashes of the rows held, of the given parents and from `since` on by the endpoint's cursor."""
        where = ""
        values: list[Any] = []
        if parents is not None:
            where += f" and {endpoint.parent_key} in ({', '.join(['%s'] * len(parents))})"
            values += parents
        if since is not None:
            where += f" and {endpoint.cursor} >= %s"
            values.append(since)
        rows = self._rows(endpoint.name, [ROW_HASH.name], where, *values)
        return pa.array([value for (value,) in rows or ()], pa.int64())

    def _rows(self, table: str, columns: list[str], where: str = "", *values: Any) -> list[Sequence[Any]] | None:
        """The rows of a table, or None where it does not exist."""
        try:
            with self._pipeline.sql_client() as client:
                name = client.make_qualified_table_name(table)
                query = f"select {', '.join(columns)} from {name} where {ACCOUNT_ID.name} = %s {where}"  # noqa: S608
                return list(client.execute_sql(query, self._account_id, *values) or ())
        except (DatabaseUndefinedRelation, PipelineConfigMissing, SqlClientNotAvailable):
            return None


def changed(table: pa.Table, unchanged: pa.Array[Any]) -> pa.Table:
    """The rows of the table whose hash the warehouse does not hold."""
    if not len(unchanged):
        return table
    return table.filter(pc.invert(pc.is_in(table[ROW_HASH.name], value_set=unchanged)))
