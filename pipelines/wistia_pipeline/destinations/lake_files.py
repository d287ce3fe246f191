"""Maintenance of a lake's files: every change adds some, and none goes away by itself."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import timedelta
from typing import Any

import duckdb

GRACE = timedelta(days=1)
"""Files that nothing needs any more are deleted this much later: a query that is under way may be reading them."""


def tidy(lake: duckdb.DuckDBPyConnection, name: str, keep: timedelta) -> dict[str, int]:
    """Merges small files, drops deleted rows from files, and lets go of older states of the attached lake.

    `keep` is how long states can be queried yet. Returns what was done, and how often.
    """
    done: dict[str, int] = {}
    # rows so few that they are in the catalog
    done["rows moved out of the catalog"] = sum(row[2] for row in _call(lake, f"ducklake_flush_inlined_data('{name}')"))
    older = f"older_than => now() - interval '{int(keep.total_seconds())} seconds'"
    done["states expired"] = len(_call(lake, f"ducklake_expire_snapshots('{name}', {older})"))
    merged = _call(lake, f"ducklake_merge_adjacent_files('{name}')")
    rewritten = _call(lake, f"ducklake_rewrite_data_files('{name}')")
    done["files merged or rewritten"] = sum(row[2] for row in (*merged, *rewritten))
    done["files written instead"] = sum(row[3] for row in (*merged, *rewritten))
    after = f"older_than => now() - interval '{int(GRACE.total_seconds())} seconds'"
    done["files deleted"] = len(_call(lake, f"ducklake_cleanup_old_files('{name}', {after})"))
    return done


def forget_deleted_rows(lake: duckdb.DuckDBPyConnection, name: str) -> None:
    """Rewrites each file of the attached lake that has deleted rows, and lets go of all states but the last."""
    _call(lake, f"ducklake_flush_inlined_data('{name}')")
    _call(lake, f"ducklake_rewrite_data_files('{name}', delete_threshold => 0.0)")
    _call(lake, f"ducklake_expire_snapshots('{name}', older_than => now())")
    _call(lake, f"ducklake_cleanup_old_files('{name}', cleanup_all => true)")


def _call(lake: duckdb.DuckDBPyConnection, function: str) -> Sequence[Sequence[Any]]:
    return lake.execute(f"call {function}").fetchall()
