"""The run log: what became of each run, in the warehouse itself, for failed and killed ones too.

Written by SQL beside dlt's load packages: a run that fails has none, and its end is known only after the last one.
Destinations that are no databases have no run log.
"""

from collections.abc import Iterable, Mapping, Sequence
from datetime import UTC, datetime
from typing import Any

import dlt
from dlt.destinations.sql_client import SqlClientBase

from wistia_source.endpoints import ACCOUNT_ID, Column, Endpoint
from wistia_source.warehouse import connected

from .catalog import columns_of
from .kinds import destination_of

_RUN_ID = Column("run_id", "text", "The run, as in `restatements`.")
_RESOURCE = Column("resource", "text", "The resource.")

SYNC_RUNS = Endpoint(
    name="sync_runs",
    grain="one row per run and resource",
    primary_key=("run_id", "resource"),
    columns=(
        _RUN_ID,
        _RESOURCE,
        ACCOUNT_ID,
        Column("pipeline", "text", "dlt's pipeline, of which each account has its own."),
        Column(
            "command",
            "text",
            "`sync`, `backfill`, `refresh` (of one visitor or viewing session), `models` or `forget`.",
        ),
        Column("started_at", "timestamp", "When the run began (UTC)."),
        Column("finished_at", "timestamp", "When it ended (UTC); null while it runs, or where it was killed."),
        Column("status", "text", "Of the whole run: `running`, `ok`, `partial`, `failed` or `killed`."),
        Column("rows", "bigint", "Rows new or changed."),
        Column("requests", "bigint", "Requests made, retries included."),
        Column("retries", "bigint", "Requests made again after a failure."),
        Column("wait_seconds", "double", "Time that requests waited for the quota or after failures, added up."),
        Column("seconds", "double", "From its first request to its last row."),
        Column("asked_from", "text", "Begin of what was asked for: a moment (UTC), or a by_date day (UTC-5)."),
        Column("asked_to", "text", "End of it; a day is asked for itself."),
        Column("left_out", "bigint", "Rows that Wistia sent empty or without a key, and that are not loaded."),
        Column("failures", "bigint", "Rows of `sync_failures`."),
        Column("new_fields", "text", "Fields that no release has declared and that came for the first time."),
        Column("warning", "text", "What is loaded but looks wrong."),
        Column("error", "text", "Why the resource, or the whole run, failed."),
    ),
)

SYNC_FAILURES = Endpoint(
    name="sync_failures",
    grain="one row per run, resource and parent that could not be read",
    primary_key=("run_id", "resource", "parent_id"),
    columns=(
        _RUN_ID,
        _RESOURCE,
        ACCOUNT_ID,
        Column("parent_id", "text", "The media or project, empty for all of the resource."),
        Column("failed_at", "timestamp", "When the run ended (UTC)."),
        Column("error", "text", "What went wrong."),
    ),
)

LOG_TABLES = (SYNC_RUNS, SYNC_FAILURES)


class RunLog:
    """The log of one run."""

    def __init__(self, pipeline: dlt.Pipeline, run_id: str, command: str) -> None:
        self._pipeline = pipeline
        self._run: dict[str, Any] = {
            "run_id": run_id,
            "pipeline": pipeline.pipeline_name,
            "command": command,
            "started_at": datetime.now(UTC),
        }

    def begin(self, resources: Iterable[str], *, is_alone: bool = False) -> frozenset[str] | None:
        """Says that the run is under way; what says so of an earlier one of the pipeline was killed, since only one can
        run, and where it `is_alone`, so was that of any.

        Returns the ids of these, or None where no log is kept.
        """
        if not destination_of(self._pipeline).is_database:
            return None
        with connected(self._pipeline) as client:
            if not client.has_dataset():
                client.create_dataset()
            make_log_tables(client)
            name = client.make_qualified_table_name(SYNC_RUNS.name)
            # the runs of earlier releases do not say whose they are
            whose, values = ("", ()) if is_alone else (" and coalesce(pipeline, %s) = %s", (self._run["pipeline"],) * 2)
            running = f"status = 'running'{whose}"
            killed = client.execute_sql(f"select distinct run_id from {name} where {running}", *values)  # noqa: S608
            client.execute_sql(f"update {name} set status = 'killed' where {running}", *values)  # noqa: S608
            _insert(client, SYNC_RUNS, [{**self._run, "resource": name, "status": "running"} for name in resources])
        return frozenset(run_id for (run_id,) in killed or ())

    def end(self, runs: Sequence[Mapping[str, Any]], failures: Sequence[Mapping[str, Any]]) -> None:
        """Says how the run ended: columns of `sync_runs` by resource, and of `sync_failures`."""
        if not destination_of(self._pipeline).is_database:
            return
        account_id = next((row["account_id"] for row in runs if row.get("account_id")), None)
        ended = {**self._run, "finished_at": datetime.now(UTC), "account_id": account_id}
        with connected(self._pipeline) as client, client.begin_transaction():
            name = client.make_qualified_table_name(SYNC_RUNS.name)
            client.execute_sql(f"delete from {name} where run_id = %s", ended["run_id"])  # noqa: S608
            _insert(client, SYNC_RUNS, [{**row, **ended} for row in runs])
            _insert(client, SYNC_FAILURES, [{**row, **ended, "failed_at": ended["finished_at"]} for row in failures])


def make_log_tables(client: SqlClientBase[Any]) -> None:
    """Makes the tables of the run log that are not there."""
    for table in LOG_TABLES:
        create_table(client, table.name, table.columns)
    if "pipeline" not in columns_of(client, client.dataset_name, SYNC_RUNS.name):
        # of an earlier release
        name = client.make_qualified_table_name(SYNC_RUNS.name)
        client.execute_sql(f"alter table {name} add column pipeline {_type(client, 'text')}")


def create_table(client: SqlClientBase[Any], name: str, columns: Iterable[Column]) -> None:
    """Makes a table that is not there; any column may be null."""
    typed = ", ".join(f"{column.name} {_type(client, column.data_type)}" for column in columns)
    client.execute_sql(f"create table if not exists {client.make_qualified_table_name(name)} ({typed})")


def _type(client: SqlClientBase[Any], data_type: Any) -> str:
    """What the database calls a type of dlt's."""
    mapper = client.capabilities.get_type_mapper()
    return mapper.to_destination_type({"name": "", "data_type": data_type}, {"name": ""})


def _insert(client: SqlClientBase[Any], table: Endpoint, rows: Sequence[Mapping[str, Any]]) -> None:
    if not rows:
        return
    names = [column.name for column in table.columns]
    marks = f"({', '.join(['%s'] * len(names))})"
    client.execute_sql(
        f"insert into {client.make_qualified_table_name(table.name)} ({', '.join(names)}) "  # noqa: S608
        f"values {', '.join([marks] * len(rows))}",
        *(row.get(name) for row in rows for name in names),
    )
