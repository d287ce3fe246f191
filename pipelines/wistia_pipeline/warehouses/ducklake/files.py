"""Maintenance of a lake's files: every change adds some, and none goes away by itself."""

from collections.abc import Collection, Sequence
from datetime import timedelta
from typing import Any

import duckdb

GRACE = timedelta(days=1)
"""Files that nothing needs any more are deleted this much later: a query that is under way may be reading them."""


def tidy(lake: duckdb.DuckDBPyConnection, name: str, keep: timedelta) -> dict[str, int]:
    """Merges small files of the attached lake, drops deleted rows from them, and lets go of older states.

    `keep` is how long states can be queried yet. Returns what was done, and how often.
    """
    done: dict[str, int] = {}
    # rows so few that they are in the catalog
    done["rows moved out of the catalog"] = sum(row[2] for row in _call(lake, f"ducklake_flush_inlined_data('{name}')"))
    rewritten = _without_deleted_rows(lake, name)
    merged = _call(lake, f"ducklake_merge_adjacent_files('{name}')")
    done["files merged or rewritten"] = sum(row[2] for row in (*rewritten, *merged))
    done["files written instead"] = sum(row[3] for row in (*rewritten, *merged))
    done["states let go"] = len(_call(lake, f"ducklake_expire_snapshots('{name}', {_older(keep)})"))
    done["files deleted"] = len(_call(lake, f"ducklake_cleanup_old_files('{name}', {_older(GRACE)})"))
    return done


def forget_deleted_rows(lake: duckdb.DuckDBPyConnection, name: str) -> None:
    """Rewrites each file of the attached lake that has deleted rows, and lets go of all states but the last."""
    _call(lake, f"ducklake_flush_inlined_data('{name}')")
    _without_deleted_rows(lake, name)
    _call(lake, f"ducklake_expire_snapshots('{name}', {_older(timedelta(0))})")
    _call(lake, f"ducklake_cleanup_old_files('{name}', cleanup_all => true)")


def stray_files(lake: duckdb.DuckDBPyConnection, name: str, schemas: Collection[str]) -> list[str]:
    """Files in the folders of these schemas that no table of the attached lake knows."""
    found = _call(lake, f"ducklake_delete_orphaned_files('{name}', dry_run => true, cleanup_all => true)")
    return [path for (path,) in found if any(f"/{schema}/" in path for schema in schemas)]


def _without_deleted_rows(lake: duckdb.DuckDBPyConnection, name: str) -> Sequence[Sequence[Any]]:
    # by itself it leaves files as they are, and never merges them, until all but one in twenty rows are gone
    return _call(lake, f"ducklake_rewrite_data_files('{name}', delete_threshold => 0.0)")


def _older(than: timedelta) -> str:
    return f"older_than => now() - interval '{int(than.total_seconds())} seconds'"


def _call(lake: duckdb.DuckDBPyConnection, function: str) -> Sequence[Sequence[Any]]:
    return lake.execute(f"call {function}").fetchall()
