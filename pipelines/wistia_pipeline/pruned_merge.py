"""DuckDB as dlt knows it, but for merges that do not read all of a long table.

dlt deletes the rows that it has staged anew by `where exists`, for which DuckDB reads the keys of the whole table. With
the bounds of the staged keys beside it, which change nothing in what is found, it skips what lies outside of them: keys
of Wistia's begin with the time of the session.
"""

from __future__ import annotations

from collections.abc import Sequence

import dlt
from dlt.common.destination import PreparedTableSchema
from dlt.common.destination.client import FollowupJobRequest
from dlt.destinations.impl.duckdb.duck import DuckDbClient
from dlt.destinations.sql_jobs import SqlMergeFollowupJob


class _PrunedMerge(SqlMergeFollowupJob):
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
        clauses: list[str] = super().gen_key_table_clauses(
            root_table_name, staging_root_table_name, primary_keys, merge_keys, for_delete, source_filter
        )
        if merge_keys:
            return clauses
        bounds = [
            f"d.{key} {comparison} (SELECT {bound}({key}) FROM {staging_root_table_name})"
            for key in primary_keys
            for comparison, bound in ((">=", "min"), ("<=", "max"))
        ]
        return [" AND ".join([clause, *bounds]) for clause in clauses]


class _Client(DuckDbClient):
    def _create_merge_followup_jobs(self, table_chain: Sequence[PreparedTableSchema]) -> list[FollowupJobRequest]:
        return [_PrunedMerge.from_table_chain(table_chain, self.sql_client)]


class duckdb(dlt.destinations.duckdb):
    """The destination; dlt calls it by the name of its class."""

    @property
    def client_class(self) -> type[DuckDbClient]:
        """What loads."""
        return _Client
