"""DuckDB as dlt knows it, but for where its file is, and loads whose time and memory do not grow with what it holds.

Two statements of dlt's merges are worded anew; what they do stays the same. Its delete, by `where exists`, reads the
keys of the whole table; a join of both tables skips what lies outside of the keys that have come: Wistia's begin with
the time of the session. Its window over all columns, which leaves one row of each key, keeps the load package in
memory, and leaves any of them: here it is the one that arrived last.
"""

from collections.abc import Sequence
from typing import Any

import dlt
from dlt.common.configuration import configspec
from dlt.common.destination import PreparedTableSchema
from dlt.common.destination.client import FollowupJobRequest
from dlt.destinations.impl.duckdb.configuration import DuckDbClientConfiguration
from dlt.destinations.impl.duckdb.duck import DuckDbClient
from dlt.destinations.sql_jobs import SqlMergeFollowupJob

from ..resolved_once import ResolvedOnce

FRUGAL: dict[str, Any] = {"memory_limit": "100MB", "threads": 1}
"""Of DuckDB while it loads; what is more is spilled. By itself it takes the memory of the machine, little by little,
and more with each thread. Another choice can be made as dlt's `destination.duckdb.credentials.global_config`."""
GENEROUS: dict[str, Any] = {"memory_limit": "2GB"}
"""Where that was too little."""


@configspec(init=False)
class _Configuration(DuckDbClientConfiguration):
    def make_default_location(self, _: str) -> str:
        """The file where none is set. Not among the other defaults: dlt's own tools make the destination without."""
        return "warehouse.duckdb"


class _Merge(SqlMergeFollowupJob):
    @classmethod
    def gen_key_table_clauses(
        cls,
        root_table_name: str,
        staging_root_table_name: str,
        primary_keys: Sequence[str],
        merge_keys: Sequence[str],
        for_delete: bool,
        source_filter: str | None = None,
    ) -> list[str]:
        """What to delete: rows of which another version has come."""
        if merge_keys or source_filter or not for_delete:
            clauses: list[str] = super().gen_key_table_clauses(
                root_table_name, staging_root_table_name, primary_keys, merge_keys, for_delete, source_filter
            )
            return clauses
        same_key = " AND ".join(f"d.{key} = s.{key}" for key in primary_keys)
        held = f"SELECT d.rowid FROM {root_table_name} AS d JOIN {staging_root_table_name} AS s ON {same_key}"  # noqa: S608
        return [f"FROM {root_table_name} WHERE rowid IN ({held})"]

    @classmethod
    def gen_select_from_dedup_sql(
        cls,
        table_name: str,
        primary_keys: Sequence[str],
        columns: Sequence[str],
        dedup_sort: Any = None,
        condition: Any = None,
        condition_columns: Any = None,
        skip_dedup: bool = False,
    ) -> str:
        """What to insert: of each key the row that arrived last."""
        if dedup_sort or skip_dedup:
            query: str = super().gen_select_from_dedup_sql(
                table_name, primary_keys, columns, dedup_sort, condition, condition_columns, skip_dedup
            )
            return query
        latest = f"SELECT max(rowid) FROM {table_name} GROUP BY {', '.join(primary_keys)}"  # noqa: S608
        return f"SELECT {', '.join(columns)} FROM {table_name} WHERE rowid IN ({latest}) AND ({condition or 'true'})"  # noqa: S608


class _Client(DuckDbClient):
    def _create_merge_followup_jobs(self, table_chain: Sequence[PreparedTableSchema]) -> list[FollowupJobRequest]:
        return [_Merge.from_table_chain(table_chain, self.sql_client)]


class duckdb(ResolvedOnce, dlt.destinations.duckdb):
    """The destination; dlt calls it by the name of its class."""

    spec = _Configuration
    client_class = _Client
    frugal = True
    """Whether it loads with little memory."""

    def configuration(self, initial_config: Any, accept_partial: bool = False) -> Any:
        """The settings, with a limit of memory where none is set."""
        config = super().configuration(initial_config, accept_partial)
        if config.credentials:
            limits = FRUGAL if self.frugal else GENEROUS
            config.credentials.global_config = {**limits, **(config.credentials.global_config or {})}
        return config

    def take_more_memory(self) -> None:
        """For all that is loaded from now on."""
        self.frugal = False
        # connections that are shared keep the settings of the first of them
        self.look_up_again()
