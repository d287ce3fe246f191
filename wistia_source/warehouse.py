"""What the warehouse already holds, read back through dlt at the start of a run.

The warehouse is the memory of the fan-outs and the proof of what has not changed: it commits with the data and
survives a lost machine. Without a destination, or on one without SQL, nothing is remembered: everything is asked
and loaded.
"""

import json
from collections import defaultdict
from collections.abc import Callable, Collection, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import fields
from datetime import UTC, date, datetime
from time import monotonic, sleep
from typing import Any, TypeVar

import dlt
import pyarrow as pa
import pyarrow.compute as pc
from dlt.common.destination.exceptions import SqlClientNotAvailable
from dlt.common.destination.utils import resolve_merge_strategy
from dlt.common.storages.exceptions import CurrentLoadPackageStateNotAvailable
from dlt.destinations.exceptions import DatabaseUndefinedRelation
from dlt.destinations.sql_client import SqlClientBase

from .endpoints import ACCOUNT_ID, COMPANIONS, DELETED, DELETED_AT, ENDPOINTS, EVENTS, FORGOTTEN, REFRESHES, Endpoint
from .forgotten import Forgotten
from .rows import ARROW_TYPES, LOAD_ID, ROW_HASH, all_columns, primary_key
from .schedule import Refresh

READERS_LEAVE_SECONDS = 15.0

T = TypeVar("T")
Bound = datetime | date | None
"""By the cursor of an endpoint: from when on rows are read, or before when."""


class Held(dict[tuple[Any, ...], int | None]):
    """Rows that the warehouse holds: their hashes, by primary key without the account."""

    def changed(self, table: pa.Table) -> pa.Table:
        """The rows of the table that are not held, or were held with other values."""
        if not self:
            return table
        known = pa.array(self.values(), pa.int64())
        return table.filter(pc.invert(pc.is_in(table[ROW_HASH.name], value_set=known)))


class Warehouse:
    """The tables of one account in the destination of the pipeline that is running."""

    def __init__(self, account_id: str) -> None:
        self._account_id = account_id
        self._client: SqlClientBase[Any] | None = None
        self._asked_at = 0.0
        self.tables: dict[str, str] = {}
        """By resource: its table, where an earlier run has made it."""
        self.columns: defaultdict[str, frozenset[str]] = defaultdict(frozenset)
        """By resource: the columns that its table had when the run began."""
        self._only_grown: set[str] = set()
        """Resources to whose tables loads only add rows, as they do to files."""
        self._loads = ""
        self._pipeline: Any = None
        try:
            dlt.current.load_package_state()
        except CurrentLoadPackageStateNotAvailable:
            # read outside of a pipeline, where everything is new
            return
        self._pipeline = dlt.current.pipeline()
        # from the schema of the source: the pipeline reads its own from a file each time
        self._loads = dlt.current.source_schema().loads_table_name
        if schema := self._pipeline.schemas.get(dlt.current.source_schema().name):
            made = schema.data_table_names(seen_data_only=True)
            resources = dlt.current.source().resources
            destination = self._pipeline.destination
            capabilities = destination.capabilities() if destination else None
            for endpoint in (*ENDPOINTS, *COMPANIONS):
                name = endpoint.name
                # whoever runs the source may have called it otherwise, even row by row
                called = resources[name].table_name if name in resources else name
                table = schema.naming.normalize_tables_path(called if isinstance(called, str) else name)
                if table in made:
                    self.tables[name] = table
                    self.columns[name] = frozenset(schema.get_table_columns(table))
                    merged = resolve_merge_strategy(schema.tables, schema.get_table(table), capabilities)
                    if not merged and LOAD_ID in self.columns[name]:
                        self._only_grown.add(name)

    def close(self, idle_seconds: float = 0.0) -> None:
        """Closes a connection that nothing was asked on for so long; the next question opens another."""
        if self._client is not None and monotonic() - self._asked_at >= idle_seconds:
            self._client.close_connection()
            self._client = None

    def refreshes(self) -> dict[tuple[str, str], Refresh]:
        """Every (endpoint, parent id) asked so far."""
        kinds = {field.name: REFRESHES.column(field.name).data_type for field in fields(Refresh)}
        rows = self._rows(REFRESHES, ["endpoint", "parent_id", *kinds], f" and {self._hash(REFRESHES)} is not null")
        return {
            (endpoint, parent): Refresh(*map(_as_loaded, kinds.values(), asked)) for endpoint, parent, *asked in rows
        }

    def forgotten(self) -> Forgotten:
        """The people to forget, also those of a warehouse that no run has loaded yet."""
        if self._pipeline is None or self._pipeline.destination is None:
            return Forgotten()
        columns = ["kind", "digest", "mode", "salt"]
        return Forgotten.of(self._select(FORGOTTEN, columns, f"{ACCOUNT_ID.name} in (%s, '')", self._account_id))

    def held(
        self, endpoint: Endpoint, *, parents: Collection[str] | None = None, since: Bound = None, before: Bound = None
    ) -> Held:
        """The rows held, of the given parents, from `since` on and before `before`."""
        where = ""
        values: list[Any] = []
        if parents is not None:
            where += f" and {endpoint.parent_key} in ({', '.join(['%s'] * len(parents))})"
            values += parents
        for comparison, bound in ((">=", since), ("<", before)):
            if bound is not None:
                where += f" and {endpoint.cursor} {comparison} %s"
                values.append(bound)
        columns = [self._hash(endpoint), *endpoint.primary_key]
        rows = self._rows(endpoint, columns, where, *values, since=since if endpoint.kind == "feed" else None)
        return Held((tuple(key), hash_) for hash_, *key in rows)

    def listed(self, endpoint: Endpoint) -> set[str]:
        """Ids of a listing's rows that were there the last time."""
        (key,) = endpoint.primary_key
        return {value for (value,) in self._rows(endpoint, [key], f" and {DELETED_AT.name} is null")}

    def watched(self, since: datetime, before: datetime) -> set[str]:
        """Medias with sessions held from `since` on and before `before`."""
        where = f" and {EVENTS.cursor} >= %s and {EVENTS.cursor} < %s and media_id is not null"
        rows = self._rows(EVENTS, ["distinct media_id"], where, since, before, since=since)
        return {media_id for (media_id,) in rows}

    def days(self, endpoint: Endpoint) -> dict[date, int]:
        """Loads and plays of each by_date day held, added up."""
        counts = "coalesce(load_count, 0) + coalesce(play_count, 0)"
        return {_as_loaded("date", day): count for day, count in self._rows(endpoint, ["date", counts])}

    def as_deleted(self, endpoint: Endpoint, ids: Collection[str], now: datetime) -> pa.Table:
        """A listing's rows as they are held, marked as deleted; without a hash, so that they count as changed if they
        come back."""
        (key,) = endpoint.primary_key
        declared = {column.name: column.data_type for column in all_columns(endpoint)}
        kinds = {name: declared.get(name, "text") for name in sorted(self.columns[endpoint.name] - {LOAD_ID})}
        rows = self._rows(endpoint, [*kinds], f" and {key} in ({', '.join(['%s'] * len(ids))})", *ids)
        marks = {DELETED_AT.name: now, ROW_HASH.name: None}
        return pa.Table.from_pylist(
            [dict(zip(kinds, map(_as_loaded, kinds.values(), row), strict=True)) | marks for row in rows],
            schema=pa.schema([(name, ARROW_TYPES[kind]) for name, kind in kinds.items()]),
        )

    def _hash(self, endpoint: Endpoint) -> str:
        """SQL for a row's hash, null where its load was never completed: then the row counts as unknown.

        A load fills table after table, and what else it was to bring, such as the days of a media that `refreshes`
        calls asked for, is missing where it was killed in between and its package is lost.
        """
        if LOAD_ID not in self.columns[endpoint.name]:
            return ROW_HASH.name
        return f"case when {LOAD_ID} in (select load_id from {{loads}}) then {ROW_HASH.name} end"  # noqa: S608

    def _rows(
        self, endpoint: Endpoint, columns: list[str], where: str = "", *values: Any, since: Bound = None
    ) -> Sequence[Sequence[Any]]:
        """The account's rows of a table; none where there is no such table. `since` is as in `_newest`."""
        if endpoint.name not in self.tables:
            return ()
        where = f"{ACCOUNT_ID.name} = %s {where}"
        return self._select(endpoint, columns, where, self._account_id, *values, since=since)

    def _select(
        self, endpoint: Endpoint, columns: list[str], where: str, *values: Any, since: Bound = None
    ) -> Sequence[Sequence[Any]]:
        self._asked_at = monotonic()
        if self._client is None:
            # kept, since resolving dlt's configuration for each question costs more than the questions
            try:
                client = self._pipeline.sql_client()
            except SqlClientNotAvailable:
                return ()
            when_free(client.open_connection)
            self._client = client
        client = self._client
        rows = client.make_qualified_table_name(self.tables.get(endpoint.name, endpoint.name))
        if endpoint.name in self._only_grown:
            rows, bounds = self._newest(endpoint, rows, since)
            values = (*bounds, *values)
        query = f"select {', '.join(columns)} from {rows} where {where}"  # noqa: S608
        query = query.format(loads=client.make_qualified_table_name(self._loads))
        try:
            return client.execute_sql(query, *values) or ()
        except DatabaseUndefinedRelation:
            return ()

    def _newest(self, endpoint: Endpoint, rows: str, since: Bound) -> tuple[str, tuple[Any, ...]]:
        """A query for the newest version of each row that is not gone, and its values.

        Nobody needs rows of before `since`, by the cursor, which no row goes back from: files are read from there.
        """
        begin, values = (f" and {endpoint.cursor} >= %s", (since,)) if since else ("", ())
        gone = f" and not coalesce({DELETED.name}, false)" if DELETED.name in self.columns[endpoint.name] else ""
        key = ", ".join(primary_key(endpoint))
        return (
            f"(select * from (select *, row_number() over (partition by {key} order by {LOAD_ID} desc) "  # noqa: S608
            # what a load has brought that was never completed is read again, and is no version yet
            f"as _place from {rows} where {LOAD_ID} in (select load_id from {{loads}}){begin}) as versions "
            f"where _place = 1{gone}) as newest"
        ), values


def _as_loaded(data_type: str, value: Any) -> Any:
    """A value as it was loaded: some drivers have texts for moments and days, or no zones and flags, and some read
    documents."""
    if value is None:
        return None
    if data_type == "timestamp":
        moment = datetime.fromisoformat(value) if isinstance(value, str) else value
        return moment if moment.tzinfo else moment.replace(tzinfo=UTC)
    if data_type == "date" and isinstance(value, str):
        return date.fromisoformat(value)
    if data_type == "json" and not isinstance(value, str):
        return json.dumps(value, ensure_ascii=False)
    return bool(value) if data_type == "bool" else value


@contextmanager
def connected(pipeline: dlt.Pipeline) -> Iterator[SqlClientBase[Any]]:
    """A client of the pipeline's destination with an open connection. Raises `SqlClientNotAvailable`."""
    client = pipeline.sql_client()
    when_free(client.open_connection)
    try:
        yield client
    finally:
        client.close_connection()


def when_free(connect: Callable[[], T]) -> T:
    """What `connect` opens; whoever else has the DuckDB file open gets time to leave it."""
    give_up = monotonic() + READERS_LEAVE_SECONDS
    while True:
        try:
            return connect()
        except Exception as error:
            if "lock on file" not in str(error) or monotonic() > give_up:
                raise
            sleep(0.1)
