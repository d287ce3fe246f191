"""Splits days into walks and windows by how busy they were, and estimates their pages."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import replace
from datetime import date, timedelta
from itertools import chain

from .endpoints import ACCOUNT_STATS_BY_DATE
from .errors import ResourceLost
from .paging import PAGE_SIZE
from .rows import to_table
from .task import Task
from .windows import Days, days_asked, split_by_volume

LONGEST_WINDOW = timedelta(days=31)
SHORT_SPAN = timedelta(days=3)
"""Up to here it costs more to ask how busy the days were than to read them in one go."""


def walks(task: Task, first: date, last: date) -> list[Days]:
    """Days to ask for, newest first: in one go for an hourly run, in several side by side for a history."""
    if last - first <= SHORT_SPAN:
        return [(first, last)] if first <= last else []
    plays = _plays(task, first, last)
    found = split_by_volume(first, last, plays, task.run.tuning.plays_per_walk)
    task.expect(_pages(found, plays))
    return found


def windows(task: Task, first: date, last: date) -> list[list[Days]]:
    """The days of a backfill, newest first: windows of a load package each, split into walks side by side."""
    plays = _plays(task, first, last) if first <= last else {}
    tuning = task.run.tuning
    found = [
        split_by_volume(*window, plays, tuning.plays_per_walk)
        for window in split_by_volume(first, last, plays, tuning.plays_per_window, LONGEST_WINDOW)
    ]
    task.expect(_pages(chain(*found), plays))
    return found


def _plays(task: Task, first: date, last: date) -> dict[date, int]:
    """How busy the days were; nothing where Wistia does not say, since only how the work is split depends on it."""
    try:
        days = replace(task, endpoint=ACCOUNT_STATS_BY_DATE).rows(days_asked(first, last))
        table = to_table(ACCOUNT_STATS_BY_DATE, days, "").select(["date", "play_count"])
    except ResourceLost:
        return {}
    return {row["date"]: row["play_count"] or 0 for row in table.to_pylist()}


def _pages(found: Iterable[Days], plays: Mapping[date, int]) -> int:
    """How many pages the walks have, about; one that has no row takes a request too."""
    counts = (sum(count for day, count in plays.items() if first <= day <= last) for first, last in found)
    return sum(max(1, -(-count // PAGE_SIZE)) for count in counts)
