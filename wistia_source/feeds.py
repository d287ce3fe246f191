"""Feeds: paged lists with a timestamp cursor, newest first."""

# no postponed annotations here: dlt finds a resource's incremental cursor by its annotation
from collections.abc import Iterator, Sequence
from datetime import date, datetime, timedelta
from urllib.parse import quote

import dlt
import pyarrow as pa
import pyarrow.compute as pc

from .batches import Batch, counted, declare_table, tracked
from .client import Row, Tally
from .endpoints import ACCOUNT_STATS_BY_DATE, EVENTS, Endpoint
from .rows import fix_event, timestamp, to_table
from .run import Outcome, Run
from .warehouse import changed
from .windows import cut, split_by_volume

ROWS_PER_BATCH = 1_000
PLAYS_PER_WINDOW = 2_000
"""About 20 pages: long enough to waste little on each last page, short enough to have several at a time."""

ONCE_A_DAY = timedelta(days=1)
SHORT_SPAN = timedelta(days=3)
"""Up to here it costs more to ask how busy the days were than to read them in one go."""


@tracked
def incremental_feed(run: Run, endpoint: Endpoint, cursor: dlt.sources.incremental[datetime]) -> Iterator[Batch]:
    """A feed from its incremental cursor on."""
    # dlt binds the cursor to its state only when the first batch is asked for
    watermark, initial = cursor.start_value, cursor.initial_value
    assert watermark is not None
    assert initial is not None
    first_load = watermark <= initial
    if endpoint.name == EVENTS.name:
        run.catching_up = first_load
    run.account_id(dlt.current.resource_metrics())
    deep = bool(endpoint.deep_lookback) and not first_load and _deep_is_due(run, endpoint)
    oldest = watermark
    if not first_load:
        oldest = cut(watermark, endpoint.deep_lookback if deep else endpoint.lookback, run.clock())
    # the cut is made here; dlt's own would drop the late rows behind its watermark
    cursor.advance(watermark)
    for batch in _walk_feed(run, endpoint, {}, oldest):
        if isinstance(batch, pa.Table):
            watermark = max(watermark, pc.max(batch[cursor.cursor_path]).as_py() or watermark)
        yield batch
    cursor.advance(watermark)
    if deep or first_load:
        run.note(endpoint, Outcome(""))


def _deep_is_due(run: Run, endpoint: Endpoint) -> bool:
    """Whether the deep lookback was last read a day ago or more."""
    asked = run.asked(endpoint, "")
    return asked is None or run.clock() - asked.refreshed_at >= ONCE_A_DAY


@tracked
def filtered_feed(run: Run, endpoint: Endpoint, params: dict[str, str]) -> Iterator[Batch]:
    """A feed narrowed by a filter, whole: its rows say nothing about how far the full one was read."""
    yield from _walk_feed(run, endpoint, params, None)


@tracked
def show(run: Run, endpoint: Endpoint, key: str) -> Iterator[Batch]:
    """One row, by its key."""
    tally = dlt.current.resource_metrics()
    account_id = run.account_id(tally)
    rows = run.client.rows(f"{run.client.path(endpoint)}/{quote(key, safe='')}", {}, tally, endpoint.permission)
    yield counted(run, endpoint, _feed_table(run, endpoint, rows, account_id), tally)


def _walk_feed(run: Run, endpoint: Endpoint, params: dict[str, str], oldest: datetime | None) -> Iterator[Batch]:
    """A paged list, newest first, down to `oldest`."""
    cursor = endpoint.cursor
    assert cursor is not None
    tally = dlt.current.resource_metrics()
    account_id = run.account_id(tally)
    declare_table(run, endpoint)
    known = run.warehouse.unchanged(endpoint, since=oldest)
    path = run.client.path(endpoint)
    windows = [params]
    if endpoint.name == EVENTS.name:
        assert oldest is not None
        windows = [
            {"start_date": first.isoformat(), "end_date": last.isoformat()}
            for first, last in _event_windows(run, oldest.date(), tally)
        ]

    def walk(window: dict[str, str]) -> Iterator[list[Row]]:
        for page in run.client.pages(path, window, tally, endpoint.permission):
            yield page
            if oldest is not None and _reaches(page, cursor, oldest):
                return

    pending: list[Row] = []

    def flush() -> pa.Table:
        table = _feed_table(run, endpoint, pending, account_id)
        pending.clear()
        if oldest is not None:
            at = table[cursor]
            # the day filter is coarse, and the last page goes past the cut
            table = table.filter(pc.or_kleene(pc.is_null(at), pc.greater_equal(at, pa.scalar(oldest, at.type))))
        fresh = changed(table, known)
        if endpoint.name == EVENTS.name:
            run.note_sessions(fresh)
        return fresh

    for arrived in run.client.stream(walk(window) for window in windows):
        for page in arrived or ():
            pending.extend(page)
        yield counted(run, endpoint, flush(), tally) if len(pending) >= ROWS_PER_BATCH else None
    if pending:
        yield counted(run, endpoint, flush(), tally)


def _event_windows(run: Run, first: date, tally: Tally) -> Sequence[tuple[date, date]]:
    """Days to ask for: one window for an hourly run, several side by side for a history."""
    # events are filtered by UTC days; tomorrow covers a clock that is behind
    last = run.clock().date() + timedelta(days=1)
    if last - first <= SHORT_SPAN:
        return [(first, last)]
    days = run.client.rows(
        run.client.path(ACCOUNT_STATS_BY_DATE),
        {"start_date": first.isoformat(), "end_date": last.isoformat()},
        tally,
        ACCOUNT_STATS_BY_DATE.permission,
    )
    plays = [(date.fromisoformat(day["date"]), int(day.get("play_count") or 0)) for day in days if day.get("date")]
    return split_by_volume(first, last, plays, PLAYS_PER_WINDOW)


def _reaches(page: Sequence[Row], cursor: str, oldest: datetime) -> bool:
    """Whether a page, newest first, has a row older than `oldest`."""
    try:
        at = timestamp(page[-1].get(cursor) or "") if page else None
    except (TypeError, ValueError):
        # said by name when the row is typed
        return False
    return at is not None and at < oldest


def _feed_table(run: Run, endpoint: Endpoint, rows: Sequence[Row], account_id: str) -> pa.Table:
    """The rows of a feed, with the keys that some events lack."""
    if endpoint.name == EVENTS.name:
        for row in rows:
            fix_event(row, run.keep_public_token)
    return to_table(endpoint, rows, account_id)
