"""Splits feeds into walks by how busy the days were, walks down them, newest first, and types what they bring."""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import replace
from datetime import date, datetime, timedelta
from itertools import chain

import pyarrow as pa

from .client import Params
from .endpoints import ACCOUNT_STATS_BY_DATE, Endpoint, Row
from .errors import ResourceLost
from .paging import PAGE_SIZE
from .progress import Read
from .rows import to_table
from .task import Task
from .values import time_of
from .windows import Days, days_asked, midnight, split_by_volume

PAGES_AT_LEAST = 4
"""Of a list without days in each load package: the first two may be known already."""
LONGEST_WINDOW = timedelta(days=31)
SHORT_SPAN = timedelta(days=3)
"""Up to here it costs more to ask how busy the days were than to read them in one go."""


def walk_days(task: Task, first: date, last: date) -> list[Days]:
    """Days to ask for, newest first: in one go for an hourly run, in several side by side for a history."""
    if last - first <= SHORT_SPAN:
        return [(first, last)] if first <= last else []
    plays = _plays(task, first, last)
    found = split_by_volume(first, last, plays, task.run.tuning.plays_per_walk)
    task.expect(_pages(found, plays))
    return found


def window_days(task: Task, first: date, last: date) -> list[list[Days]]:
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


def walk_down(task: Task, queries: Iterable[Params], oldest: datetime | None = None) -> Iterator[pa.Table | None]:
    """The rows of several walks side by side, one for each query, down to the oldest cursor value that is wanted."""

    def walk(query: Params) -> Iterator[list[Row]]:
        for page in task.pages(query):
            wanted = _wanted(page, task.endpoint, oldest)
            yield wanted
            if len(wanted) < len(page):
                return

    return typed_walks(task, map(walk, queries))


def typed_walks(task: Task, walks: Iterable[Iterator[list[Row]]]) -> Iterator[pa.Table | None]:
    """What the walks bring, in batches; None while nothing has arrived."""
    pending: list[Row] = []
    for arrived in task.run.walks.stream(walks):
        for page in arrived or ():
            pending.extend(page)
        if len(pending) >= task.run.tuning.rows_per_batch:
            yield typed_feed(task, pending)
            pending = []
        else:
            yield None
    if pending:
        yield typed_feed(task, pending)


def typed_feed(task: Task, rows: list[Row]) -> pa.Table:
    """The rows of a feed, with the keys that some lack; these are the same whatever becomes of personal data."""
    run, endpoint = task.run, task.endpoint
    if endpoint.repair:
        for row in rows:
            endpoint.repair(row, run.keep_public_token)
    forgotten = run.memory.forgotten
    rows = forgotten.leave_out(endpoint, rows, run.pii)
    if endpoint.tells == "sessions":
        task.metrics.forgotten = {day.isoformat(): len(keys) for day, keys in forgotten.sessions.items()}
    run.pii.treat(endpoint, rows)
    return task.typed(rows)


def descend(task: Task, read: Read, first: int) -> Iterator[list[Row]]:
    """Walks down a list without days from page `first` on, and moves what is read of it. It may stop when the package
    is full, and go on in the next one."""
    endpoint, start = task.endpoint, midnight(task.run.start_date)
    any_came = False
    for number, page in enumerate(task.pages({}, first), first):
        if number == first > 1 and (not page or _is_older(page[0], endpoint, read.since)):
            # too many have gone
            break
        any_came = True
        wanted = _wanted(page, endpoint, start)
        yield wanted
        if len(wanted) < len(page):
            break
        oldest = time_of(endpoint, page[-1]) if page else None
        read.since, read.page = min(read.since, oldest or read.since), number
        # a row at the very start may have others of that moment on the next page
        if number - first + 1 >= PAGES_AT_LEAST and task.run.package.is_full and read.since > start:
            return
    if first > 1 and not any_came:
        yield from descend(task, read, 1)
        return
    read.since, read.page = start, 1


def _wanted(page: list[Row], endpoint: Endpoint, oldest: datetime | None) -> list[Row]:
    """A page, newest first, without its rows that are older than `oldest`."""
    if oldest is None or not page or not _is_older(page[-1], endpoint, oldest):
        return page
    return [row for row in page if not _is_older(row, endpoint, oldest)]


def _is_older(row: Row, endpoint: Endpoint, oldest: datetime) -> bool:
    at = time_of(endpoint, row)
    return at is not None and at < oldest
