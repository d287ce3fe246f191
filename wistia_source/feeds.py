"""Feeds: paged lists with a timestamp cursor, newest first."""

# no postponed annotations here: dlt finds a resource's incremental cursor by its annotation
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from itertools import chain

import dlt
import pyarrow as pa

from .batches import Batch, asked_for, count_restated, counted, declare_table, tracked, typed
from .client import PAGE_SIZE, Row, Tally
from .endpoints import ACCOUNT_STATS_BY_DATE, EVENTS, Endpoint
from .errors import NotFound, ResourceLost, SettingInvalid
from .reads import DONE, Backfilled, Read
from .rows import fix_event, timestamp, to_table
from .run import Outcome, Run
from .warehouse import Held
from .windows import DEEP_EVERY, ONE_DAY, Days, cut, days_asked, midnight, split_by_volume

LONGEST_WINDOW = timedelta(days=31)
SHORT_SPAN = timedelta(days=3)
"""Up to here it costs more to ask how busy the days were than to read them in one go."""
PAGES_AT_LEAST = 4
"""Of a list without days in each load package: the first two may be known already."""


@dataclass(frozen=True)
class Stretch:
    """One walk through a feed: what to ask for, and the oldest cursor value that is wanted of it."""

    params: Mapping[str, str]
    oldest: datetime | None = None


@tracked
def incremental_feed(run: Run, endpoint: Endpoint, cursor: dlt.sources.incremental[datetime]) -> Iterator[Batch]:
    """A feed from its watermark on; then what is missing of its history, newest first, as far as the time allows."""
    tally = dlt.current.resource_metrics()
    account_id = run.account_id(tally)
    declare_table(run, endpoint)
    start, today = midnight(run.start_date), run.clock().date()
    read = Read.of(account_id)
    is_new = read is None
    if read is None:
        # tomorrow covers a clock that is behind
        read = Read(watermark=start, since=midnight(today + 2 * ONE_DAY))
        run.note(endpoint, Outcome("", at=run.started))
    if run.dry:
        _count_pages(run, endpoint, None if is_new else read, tally)
        return
    # from here on dlt leaves the cut to us: its own would drop the late rows behind its watermark
    cursor.advance(read.watermark)
    if not (is_new or endpoint.name in run.left):
        yield from _news(run, endpoint, read, tally)
        read.keep(account_id)
        cursor.advance(read.watermark)
    run.sessions_seen |= endpoint.name == EVENTS.name
    if start < read.since:
        yield from (_missing_days if endpoint.takes_days else _missing_pages)(run, endpoint, read, tally)
        read.keep(account_id)
        cursor.advance(read.watermark)
        asked_for(tally, read.since, run.clock())


def _count_pages(run: Run, endpoint: Endpoint, read: Read | None, tally: Tally) -> None:
    """Says how many pages of a feed would be read, about: as many rows an hour as on the day before the watermark. A
    list without days that was never read does not say how long it is."""
    run.sessions_seen |= endpoint.name == EVENTS.name
    start, now, pages = midnight(run.start_date), run.clock(), 0
    since = read.since if read else midnight(now.date() + 2 * ONE_DAY)
    if endpoint.takes_days and start < since:
        _walks(run, endpoint, run.start_date, since.date() - ONE_DAY, tally)
        pages += tally.get("expected", 0) - tally.get("requests", 0)
    if read:
        gap = now - read.watermark
        deep = _deep_cut(run, endpoint, read.watermark)
        oldest = min(cut(read.watermark, endpoint.lookback, now), deep or now)
        new = run.warehouse.count(endpoint, read.watermark - ONE_DAY, read.watermark) * gap / ONE_DAY
        pages += 1 + int(run.warehouse.count(endpoint, oldest, now) + new) // PAGE_SIZE
        run.expect_sessions(run.warehouse.watched(read.watermark - gap, read.watermark))
    if read or endpoint.takes_days:
        run.expect(endpoint, pages, tally)


def _news(run: Run, endpoint: Endpoint, read: Read, tally: Tally) -> Iterator[Batch]:
    """What is new since the watermark, and again what is shortly behind it."""
    before, today = read.watermark, run.clock().date()
    oldest = cut(before, endpoint.lookback, run.clock())
    deep = _deep_cut(run, endpoint, before)
    if deep:
        oldest = min(oldest, deep)
    asked_for(tally, oldest, run.clock())
    stretches = [Stretch({}, oldest)]
    if endpoint.takes_days:
        walks = _walks(run, endpoint, oldest.date(), today + ONE_DAY, tally)
        stretches = [Stretch(days_asked(*walk), oldest) for walk in walks]
    held = run.warehouse.held(endpoint, since=oldest)

    def see(table: pa.Table, fresh: pa.Table) -> None:
        read.saw(endpoint, table, run.clock())
        count_restated(run, endpoint, fresh, held, lambda _: (read.since, before))
        run.note_sessions(endpoint, fresh)

    yield from _changed(run, endpoint, held, _walk_feed(run, endpoint, stretches, tally), tally, see)
    if deep:
        run.note(endpoint, Outcome("", at=run.started))


def _deep_cut(run: Run, endpoint: Endpoint, watermark: datetime) -> datetime | None:
    """From when on the feed's deep lookback reads; null where it has none, or was read within the day."""
    asked = run.asked(endpoint, "")
    if not endpoint.deep_lookback or (asked and run.started - asked.refreshed_at < DEEP_EVERY):
        return None
    # back from the last deep one: what was not there yet then may have been as late as this by now
    last = min(watermark, asked.refreshed_at) if asked else watermark
    return cut(last, endpoint.deep_lookback, run.clock())


def _changed(
    run: Run,
    endpoint: Endpoint,
    held: Held,
    tables: Iterable[pa.Table | None],
    tally: Tally,
    see: Callable[[pa.Table, pa.Table], None] = lambda table, fresh: None,
) -> Iterator[Batch]:
    """What the warehouse does not hold of these rows; `see` is shown each table, and what is fresh of it, first."""
    for table in tables:
        if table is None:
            yield None
            continue
        fresh = held.changed(table)
        see(table, fresh)
        yield counted(run, endpoint, fresh, tally)


def _missing_days(run: Run, endpoint: Endpoint, read: Read, tally: Tally) -> Iterator[Batch]:
    """The days before `read.since`, several walks side by side."""
    walks: list[Days] = run.left.pop(endpoint.name, [])
    if not walks:
        walks = _walks(run, endpoint, run.start_date, read.since.date() - ONE_DAY, tally)
    begun: list[Days] = []

    def stretches() -> Iterator[Stretch]:
        while walks and not (begun and run.package_is_full()):
            begun.append(walks.pop(0))
            yield Stretch(days_asked(*begun[-1]))

    held = run.warehouse.held(endpoint, since=midnight(run.start_date), before=read.since)

    def see(table: pa.Table, fresh: pa.Table) -> None:
        read.saw(endpoint, table, run.clock())
        # numbers that were asked after these sessions hold them already
        run.note_sessions(endpoint, fresh, run.stats_known_since)

    yield from _changed(run, endpoint, held, _walk_feed(run, endpoint, stretches(), tally), tally, see)
    read.since = midnight(begun[-1][0])
    if walks:
        run.left[endpoint.name] = walks


def _missing_pages(run: Run, endpoint: Endpoint, read: Read, tally: Tally) -> Iterator[Batch]:
    """The rows before `read.since`, by one walk that goes on from the page where it stopped."""
    run.left.pop(endpoint.name, None)
    walk = _Descent(run, endpoint, read, tally)
    held = run.warehouse.held(endpoint, since=walk.start)

    def see(table: pa.Table, _: pa.Table) -> None:
        read.saw(endpoint, table, run.clock())

    yield from _changed(run, endpoint, held, _typed(run, endpoint, [iter(walk)], tally), tally, see)
    read.since, read.page = walk.since, walk.page
    if not walk.at_the_end:
        run.left[endpoint.name] = [walk.page]


class _Descent:
    """A walk down a list without days, which may stop when the time is up and go on in the next load package."""

    def __init__(self, run: Run, endpoint: Endpoint, read: Read, tally: Tally) -> None:
        self.start = midnight(run.start_date)
        self.since, self.page, self.at_the_end = read.since, read.page, False
        self._run, self._endpoint, self._tally = run, endpoint, tally

    def __iter__(self) -> Iterator[list[Row]]:
        # one page back: rows that went away meanwhile have moved others up
        yield from self._from(max(1, self.page - 1))

    def _from(self, first: int) -> Iterator[list[Row]]:
        client, endpoint = self._run.client, self._endpoint
        pages = client.pages(client.path(endpoint), {}, self._tally, endpoint.permission, first)
        any_came = False
        for number, page in enumerate(pages, first):
            if number == first > 1 and (not page or _is_older(page[0], endpoint, self.since)):
                # too many have gone
                break
            any_came = True
            wanted = _wanted(page, endpoint, self.start)
            yield wanted
            if len(wanted) < len(page):
                break
            oldest = _at(page[-1], endpoint) if page else None
            self.since, self.page = min(self.since, oldest or self.since), number
            if number - first + 1 >= PAGES_AT_LEAST and self._run.package_is_full():
                return
        if first > 1 and not any_came:
            yield from self._from(1)
            return
        self.since, self.page, self.at_the_end = self.start, 1, True


@tracked
def backfilled_feed(run: Run, endpoint: Endpoint) -> Iterator[Batch]:
    """A feed's days of a backfill, one window in each load package, newest first; its watermark stays."""
    tally = dlt.current.resource_metrics()
    account_id = run.account_id(tally)
    declare_table(run, endpoint)
    progress = Backfilled(run, endpoint, account_id)
    windows: list[list[Days]] = run.left.pop(endpoint.name, [])
    if not windows:
        windows = _windows(run, endpoint, progress.reached, tally)
        yield from run.all_have_estimated()
    if windows and not run.dry:
        walks = windows.pop(0)
        since, before = midnight(walks[-1][0]), midnight(walks[0][1] + ONE_DAY)
        known = Read.of(account_id)
        held = run.warehouse.held(endpoint, since=since, before=before)

        def see(_: pa.Table, fresh: pa.Table) -> None:
            if known:
                count_restated(run, endpoint, fresh, held, lambda _: (known.since, known.watermark))
            # the next run finds them known already
            run.note_sessions(endpoint, fresh, run.stats_known_since)

        stretches = [Stretch(days_asked(*walk)) for walk in walks]
        yield from _changed(run, endpoint, held, _walk_feed(run, endpoint, stretches, tally), tally, see)
        progress.reach(since.date().isoformat())
        asked_for(tally, since, min(before, run.clock()))
    if windows:
        run.left[endpoint.name] = windows
    else:
        progress.reach(DONE)


def _windows(run: Run, endpoint: Endpoint, reached: str | None, tally: Tally) -> list[list[Days]]:
    """What is left of a backfill, newest first: windows of a load package each, split into walks side by side."""
    assert run.backfill is not None
    first, last = run.backfill
    last = min(last, run.clock().date())
    if reached:
        last = first - ONE_DAY if reached == DONE else date.fromisoformat(reached) - ONE_DAY
    plays = _plays(run, first, last, tally) if first <= last else {}
    windows = split_by_volume(first, last, plays, run.tuning.plays_per_window, LONGEST_WINDOW)
    walks = [split_by_volume(*window, plays, run.tuning.plays_per_walk) for window in windows]
    run.expect(endpoint, _pages(chain(*walks), plays), tally)
    return walks


@tracked
def filtered_feed(run: Run, endpoint: Endpoint, params: dict[str, str]) -> Iterator[Batch]:
    """A feed narrowed by a filter, whole: its rows say nothing about how far the full one was read."""
    tally = dlt.current.resource_metrics()
    run.account_id(tally)
    if run.dry:
        return
    declare_table(run, endpoint)
    held = run.warehouse.held(endpoint)
    yield from _changed(run, endpoint, held, _walk_feed(run, endpoint, [Stretch(params)], tally), tally)


@tracked
def show(run: Run, endpoint: Endpoint, key: str) -> Iterator[Batch]:
    """One row, by its key."""
    tally = dlt.current.resource_metrics()
    run.account_id(tally)
    run.expect(endpoint, 1, tally)
    if run.dry:
        return
    try:
        rows = run.client.rows(run.client.row_path(endpoint, key), {}, tally, endpoint.permission)
    except NotFound:
        raise SettingInvalid(f"Wistia has no row of {endpoint.name} with the key {key!r}; check the key.") from None
    table = _table(run, endpoint, rows, tally)
    run.note_sessions(endpoint, table)
    yield counted(run, endpoint, table, tally)


def _walk_feed(run: Run, endpoint: Endpoint, stretches: Iterable[Stretch], tally: Tally) -> Iterator[pa.Table | None]:
    """Paged lists, newest first, each down to the oldest row that is wanted."""
    path = run.client.path(endpoint)

    def walk(stretch: Stretch) -> Iterator[list[Row]]:
        for page in run.client.pages(path, stretch.params, tally, endpoint.permission):
            wanted = _wanted(page, endpoint, stretch.oldest)
            yield wanted
            if len(wanted) < len(page):
                return

    yield from _typed(run, endpoint, map(walk, stretches), tally)


def _typed(
    run: Run, endpoint: Endpoint, walks: Iterable[Iterator[list[Row]]], tally: Tally
) -> Iterator[pa.Table | None]:
    """What the walks bring, in batches; None while nothing has arrived."""
    pending: list[Row] = []
    for arrived in run.client.stream(walks):
        for page in arrived or ():
            pending.extend(page)
        if len(pending) >= run.tuning.rows_per_batch:
            yield _table(run, endpoint, pending, tally)
            pending = []
        else:
            yield None
    if pending:
        yield _table(run, endpoint, pending, tally)


def _table(run: Run, endpoint: Endpoint, rows: list[Row], tally: Tally) -> pa.Table:
    """The rows of a feed, with the keys that some events lack; these are the same whatever becomes of personal data."""
    if endpoint.name == EVENTS.name:
        for row in rows:
            fix_event(row, run.keep_public_token)
    rows = run.forgotten.leave_out(endpoint, rows, run.pii)
    if endpoint.name == EVENTS.name and run.forgotten.sessions:
        tally["forgotten"] = {day.isoformat(): len(keys) for day, keys in run.forgotten.sessions.items()}
    run.pii.treat(endpoint, rows)
    return typed(endpoint, rows, run.account_id(tally), tally)


def _wanted(page: list[Row], endpoint: Endpoint, oldest: datetime | None) -> list[Row]:
    """A page, newest first, without its rows that are older than `oldest`."""
    if oldest is None or not page or not _is_older(page[-1], endpoint, oldest):
        return page
    return [row for row in page if not _is_older(row, endpoint, oldest)]


def _is_older(row: Row, endpoint: Endpoint, oldest: datetime) -> bool:
    at = _at(row, endpoint)
    return at is not None and at < oldest


def _at(row: Row, endpoint: Endpoint) -> datetime | None:
    try:
        return timestamp(row.get(endpoint.cursor or "") or "")
    except (TypeError, ValueError):
        # said by name when the row is typed
        return None


def _walks(run: Run, endpoint: Endpoint, first: date, last: date, tally: Tally) -> list[Days]:
    """Days to ask for, newest first: in one go for an hourly run, in several side by side for a history."""
    if last - first <= SHORT_SPAN:
        return [(first, last)] if first <= last else []
    plays = _plays(run, first, last, tally)
    walks = split_by_volume(first, last, plays, run.tuning.plays_per_walk)
    run.expect(endpoint, _pages(walks, plays), tally)
    return walks


def _plays(run: Run, first: date, last: date, tally: Tally) -> dict[date, int]:
    """How busy the days were; nothing where Wistia does not say, since only how the work is split depends on it."""
    path = run.client.path(ACCOUNT_STATS_BY_DATE)
    try:
        days = run.client.rows(path, days_asked(first, last), tally, ACCOUNT_STATS_BY_DATE.permission)
        table = to_table(ACCOUNT_STATS_BY_DATE, days, "").select(["date", "play_count"])
    except ResourceLost:
        return {}
    return {row["date"]: row["play_count"] or 0 for row in table.to_pylist()}


def _pages(walks: Iterable[Days], plays: Mapping[date, int]) -> int:
    """How many pages the walks have, about; one that has no row takes a request too."""
    counts = (sum(count for day, count in plays.items() if first <= day <= last) for first, last in walks)
    return sum(max(1, -(-count // PAGE_SIZE)) for count in counts)
