"""Feeds: paged lists with a timestamp cursor, newest first."""

# no postponed annotations here: dlt finds a resource's incremental cursor by its annotation
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta
from urllib.parse import quote

import dlt
import pyarrow as pa
import pyarrow.compute as pc

from .batches import ROWS_PER_BATCH, Batch, counted, declare_table, tracked
from .client import Row, Tally
from .endpoints import ACCOUNT_STATS_BY_DATE, EVENTS, Endpoint
from .errors import NotFound, RequestFailed, RowUnusable, SettingInvalid
from .rows import fix_event, timestamp, to_table
from .run import Outcome, Run
from .warehouse import changed
from .windows import cut, days_asked, split_by_volume

PLAYS_PER_WINDOW = 2_000
"""About 20 pages: long enough to waste little on each last page, short enough to have several at a time."""

ONCE_A_DAY = timedelta(days=1)
SHORT_SPAN = timedelta(days=3)
"""Up to here it costs more to ask how busy the days were than to read them in one go."""


@dataclass(frozen=True)
class Stretch:
    """One walk through a feed: what to ask for, and the oldest cursor value that is wanted of it."""

    params: dict[str, str]
    oldest: datetime | None = None


@tracked
def incremental_feed(run: Run, endpoint: Endpoint, cursor: dlt.sources.incremental[datetime]) -> Iterator[Batch]:
    """A feed from its watermark on."""
    tally = dlt.current.resource_metrics()
    account_id = run.account_id(tally)
    # by account: dlt's cursor alone would take what one account has seen for what another has
    reads = dlt.current.resource_state().setdefault("reads", {})
    read: dict[str, str] | None = reads.get(account_id)
    start = datetime.combine(run.start_date, time(), UTC)
    watermark = start if read is None else datetime.fromisoformat(read["watermark"])
    since = run.start_date if read is None else date.fromisoformat(read["since"])
    if endpoint.name == EVENTS.name:
        run.catching_up = read is None and run.asked_nothing_yet
    deep = bool(endpoint.deep_lookback) and read is not None and _deep_is_due(run, endpoint)
    lookback = endpoint.deep_lookback if deep else endpoint.lookback
    oldest = start if read is None else cut(watermark, lookback, run.clock())
    # the cut is made here; dlt's own would drop the late rows behind its watermark
    cursor.advance(watermark)
    for batch in _walk_feed(run, endpoint, _stretches(run, endpoint, oldest, since, tally)):
        if batch is not None:
            watermark = max(watermark, pc.max(batch[endpoint.cursor or ""]).as_py() or watermark)
        yield batch
    cursor.advance(watermark)
    reads[account_id] = {"watermark": watermark.isoformat(), "since": min(since, run.start_date).isoformat()}
    if deep or read is None:
        run.note(endpoint, Outcome(""))


def _stretches(run: Run, endpoint: Endpoint, oldest: datetime, since: date, tally: Tally) -> list[Stretch]:
    """What to read: from `oldest` on, and what is before `since` if the start has been moved to an earlier day."""
    earlier = run.start_date < since
    if endpoint.name != EVENTS.name:
        return [Stretch({}, datetime.combine(run.start_date, time(), UTC) if earlier else oldest)]
    # events are filtered by UTC days; tomorrow covers a clock that is behind
    windows = _windows(run, oldest.date(), run.clock().date() + timedelta(days=1), tally)
    stretches = [Stretch(days_asked(*window), oldest) for window in windows]
    if earlier:
        before = _windows(run, run.start_date, min(since, oldest.date()) - timedelta(days=1), tally)
        stretches += [Stretch(days_asked(*window)) for window in before]
    return stretches


def _deep_is_due(run: Run, endpoint: Endpoint) -> bool:
    """Whether the deep lookback was last read a day ago or more."""
    asked = run.asked(endpoint, "")
    return asked is None or run.clock() - asked.refreshed_at >= ONCE_A_DAY


@tracked
def filtered_feed(run: Run, endpoint: Endpoint, params: dict[str, str]) -> Iterator[Batch]:
    """A feed narrowed by a filter, whole: its rows say nothing about how far the full one was read."""
    yield from _walk_feed(run, endpoint, [Stretch(params)])


def _walk_feed(run: Run, endpoint: Endpoint, stretches: Sequence[Stretch]) -> Iterator[Batch]:
    """Paged lists, newest first, each down to the oldest row that is wanted; rows that are known are left out."""
    tally = dlt.current.resource_metrics()
    account_id = run.account_id(tally)
    declare_table(run, endpoint)
    bounds = [stretch.oldest for stretch in stretches if stretch.oldest]
    known = run.warehouse.unchanged(endpoint, since=min(bounds) if len(bounds) == len(stretches) else None)
    path = run.client.path(endpoint)

    def walk(stretch: Stretch) -> Iterator[list[Row]]:
        for page in run.client.pages(path, stretch.params, tally, endpoint.permission):
            wanted = _wanted(page, endpoint, stretch.oldest)
            yield wanted
            if len(wanted) < len(page):
                return

    pending: list[Row] = []

    def flush() -> pa.Table:
        fresh = changed(_feed_table(run, endpoint, pending, account_id), known)
        pending.clear()
        if endpoint.name == EVENTS.name:
            run.note_sessions(fresh)
        return fresh

    for arrived in run.client.stream(walk(stretch) for stretch in stretches):
        for page in arrived or ():
            pending.extend(page)
        yield counted(run, endpoint, flush(), tally) if len(pending) >= ROWS_PER_BATCH else None
    if pending:
        yield counted(run, endpoint, flush(), tally)


def _wanted(page: list[Row], endpoint: Endpoint, oldest: datetime | None) -> list[Row]:
    """A page, newest first, without its rows that are older than `oldest`."""
    if oldest is None or not page or not _is_older(page[-1], endpoint, oldest):
        return page
    return [row for row in page if not _is_older(row, endpoint, oldest)]


def _is_older(row: Row, endpoint: Endpoint, oldest: datetime) -> bool:
    try:
        at = timestamp(row.get(endpoint.cursor or "") or "")
    except (TypeError, ValueError):
        # said by name when the row is typed
        return False
    return at is not None and at < oldest


def _windows(run: Run, first: date, last: date, tally: Tally) -> Sequence[tuple[date, date]]:
    """Days to ask for: one window for an hourly run, several side by side for a history."""
    if last - first <= SHORT_SPAN:
        return [(first, last)] if first <= last else []
    try:
        days = run.client.rows(
            run.client.path(ACCOUNT_STATS_BY_DATE), days_asked(first, last), tally, ACCOUNT_STATS_BY_DATE.permission
        )
        plays = to_table(ACCOUNT_STATS_BY_DATE, days, "").select(["date", "play_count"]).to_pylist()
    except (RequestFailed, RowUnusable):
        # only how the work is split depends on it
        plays = []
    return split_by_volume(first, last, [(day["date"], day["play_count"] or 0) for day in plays], PLAYS_PER_WINDOW)


@tracked
def show(run: Run, endpoint: Endpoint, key: str) -> Iterator[Batch]:
    """One row, by its key."""
    tally = dlt.current.resource_metrics()
    account_id = run.account_id(tally)
    try:
        rows = run.client.rows(f"{run.client.path(endpoint)}/{quote(key, safe='')}", {}, tally, endpoint.permission)
    except NotFound:
        raise SettingInvalid(f"Wistia has no row of {endpoint.name} with the key {key!r}; check the key.") from None
    yield counted(run, endpoint, _feed_table(run, endpoint, rows, account_id), tally)


def _feed_table(run: Run, endpoint: Endpoint, rows: Sequence[Row], account_id: str) -> pa.Table:
    """The rows of a feed, with the keys that some events lack."""
    if endpoint.name == EVENTS.name:
        for row in rows:
            fix_event(row, run.keep_public_token)
    return to_table(endpoint, rows, account_id)
