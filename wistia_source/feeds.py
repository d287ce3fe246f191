"""Loads feeds: paged lists with a timestamp cursor, newest first."""

# no postponed annotations here: dlt finds a resource's incremental cursor by its annotation
from collections.abc import Iterable, Iterator, Mapping
from datetime import date, datetime

import dlt
import pyarrow as pa

from .client import Params
from .endpoints import BY_NAME
from .errors import NotFound, SettingInvalid
from .feed_walks import descend, typed_feed, typed_walks, walk_days, walk_down, window_days
from .memory import Outcome
from .paging import PAGE_SIZE
from .progress import DONE, Backfilled, Read
from .task import Batch, Task
from .warehouse import Held
from .windows import DEEP_EVERY, ONE_DAY, Days, cut, days_asked, midnight


def incremental_feed(task: Task, cursor: dlt.sources.incremental[datetime]) -> Iterator[Batch]:
    """A feed from its watermark on; then what is missing of its history, newest first, as far as the time allows."""
    run, endpoint, account_id = task.run, task.endpoint, task.ask_account()
    task.declare_table()
    start, today = midnight(run.start_date), run.clock().date()
    read = Read.of(account_id)
    is_new = read is None
    if read is None:
        # tomorrow covers a clock that is behind
        read = Read(watermark=start, since=midnight(today + 2 * ONE_DAY))
        run.memory.note(endpoint, Outcome("", at=run.memory.started))
    if run.dry:
        run.package.reach(endpoint.name, "told")
        _count_pages(task, read, is_new)
        return
    # from here on dlt leaves the cut to us: its own would drop the late rows behind its watermark
    cursor.advance(read.watermark)
    if not (is_new or endpoint.name in run.package.left):
        yield from _news(task, read)
        read.keep(account_id)
        cursor.advance(read.watermark)
    run.package.reach(endpoint.name, "told")
    if start < read.since:
        yield from (_missing_days if endpoint.takes_days else _missing_pages)(task, read)
        read.keep(account_id)
        cursor.advance(read.watermark)
        task.metrics.note_asked(read.since, run.clock())


def _count_pages(task: Task, read: Read, is_new: bool) -> None:
    """Says how many pages of a feed would be read, about: as many rows an hour as on the day before the watermark. A
    list without days that was never read does not say how long it is."""
    run, endpoint, warehouse = task.run, task.endpoint, task.run.memory.warehouse
    start, now, pages = midnight(run.start_date), run.clock(), 0
    if endpoint.takes_days and start < read.since:
        walk_days(task, run.start_date, read.since.date() - ONE_DAY)
        pages += (task.metrics.expected or task.metrics.requests) - task.metrics.requests
    if not is_new:
        gap = now - read.watermark
        oldest, _ = _oldest(task, read.watermark)
        of_a_day = len(warehouse.held(endpoint, since=read.watermark - ONE_DAY, before=read.watermark))
        again = len(warehouse.held(endpoint, since=oldest, before=now))
        pages += 1 + int(again + of_a_day * gap / ONE_DAY) // PAGE_SIZE
        run.memory.expect_sessions(warehouse.watched(read.watermark - gap, read.watermark))
    if not (endpoint.has_unknown_length and is_new):
        task.expect(pages)


def _news(task: Task, read: Read) -> Iterator[Batch]:
    """What is new since the watermark, and again what is shortly behind it."""
    run, endpoint = task.run, task.endpoint
    before, today = read.watermark, run.clock().date()
    oldest, is_deep = _oldest(task, before)
    task.metrics.note_asked(oldest, run.clock())
    queries: list[Params] = [{}]
    if endpoint.takes_days:
        queries = [days_asked(*walk) for walk in walk_days(task, oldest.date(), today + ONE_DAY)]
    tables = walk_down(task, queries, oldest)
    held = run.memory.warehouse.held(endpoint, since=oldest)
    yield from _changed(task, held, tables, read, read_before=(read.since, before), are_new=True)
    if is_deep:
        run.memory.note(endpoint, Outcome("", at=run.memory.started))


def _oldest(task: Task, watermark: datetime) -> tuple[datetime, bool]:
    """From when on the feed is read again, and whether that is its deep lookback, which is due once a day."""
    endpoint, memory, now = task.endpoint, task.run.memory, task.run.clock()
    oldest, asked = cut(watermark, endpoint.lookback, now), memory.asked(endpoint, "")
    if not endpoint.deep_lookback or (asked and memory.started - asked.refreshed_at < DEEP_EVERY):
        return oldest, False
    # back from the last deep one: what was not there yet then may have been as late as this by now
    last = min(watermark, asked.refreshed_at) if asked else watermark
    return min(oldest, cut(last, endpoint.deep_lookback, now)), True


def _changed(
    task: Task,
    held: Held,
    tables: Iterable[pa.Table | None],
    read: Read | None = None,
    *,
    read_before: tuple[datetime, datetime] | None = None,
    are_new: bool = False,
) -> Iterator[Batch]:
    """What the warehouse does not hold of these rows, and what follows from it: the watermark of `read` moves, rows are
    counted as restated that earlier runs have read, and other resources learn which medias were played."""
    endpoint, memory = task.endpoint, task.run.memory
    for table in tables:
        if table is None:
            yield None
            continue
        fresh = held.changed(table)
        if read:
            read.saw(endpoint, table, task.run.clock())
        if read_before:
            memory.count_restated(endpoint, fresh, held, {"": read_before})
        memory.learn(endpoint, fresh, are_new)
        yield task.counted(fresh)


def _missing_days(task: Task, read: Read) -> Iterator[Batch]:
    """The days before `read.since`, several walks side by side."""
    run, endpoint, package = task.run, task.endpoint, task.run.package
    left: list[Days] = package.left.pop(endpoint.name, [])
    left = left or walk_days(task, run.start_date, read.since.date() - ONE_DAY)
    tables = walk_down(task, (days_asked(*days) for days in package.take(left)))
    held = run.memory.warehouse.held(endpoint, since=midnight(run.start_date), before=read.since)
    yield from _changed(task, held, tables, read)
    read.since = midnight(run.start_date)
    if left:
        read.since = midnight(left[0][1] + ONE_DAY)
        package.left[endpoint.name] = left


def _missing_pages(task: Task, read: Read) -> Iterator[Batch]:
    """The rows before `read.since`, by one walk that goes on from the page where it stopped."""
    run, endpoint, start = task.run, task.endpoint, midnight(task.run.start_date)
    run.package.left.pop(endpoint.name, None)
    held = run.memory.warehouse.held(endpoint, since=start)
    # one page back: rows that went away meanwhile have moved others up
    walk = descend(task, read, max(1, read.page - 1))
    yield from _changed(task, held, typed_walks(task, [walk]), read)
    if read.since > start:
        run.package.left[endpoint.name] = [read.page]


def backfilled_feed(task: Task) -> Iterator[Batch]:
    """A feed's days of a backfill, one window in each load package, newest first; its watermark stays."""
    run, endpoint, account_id = task.run, task.endpoint, task.ask_account()
    task.declare_table()
    progress = Backfilled(task)
    left: list[list[Days]] = run.package.left.pop(endpoint.name, [])
    if not left:
        assert run.backfill is not None
        first, last = run.backfill
        if progress.reached == DONE:
            last = first - ONE_DAY
        elif progress.reached:
            last = date.fromisoformat(progress.reached) - ONE_DAY
        else:
            last = min(last, run.clock().date())
        left = window_days(task, first, last)
        yield from run.package.wait(BY_NAME, "estimated")
    if left and not run.dry:
        window = left.pop(0)
        since, before = midnight(window[-1][0]), midnight(window[0][1] + ONE_DAY)
        known = Read.of(account_id)
        tables = walk_down(task, [days_asked(*walk) for walk in window])
        held = run.memory.warehouse.held(endpoint, since=since, before=before)
        # the next run finds these sessions known already: what they tell is learned now
        yield from _changed(task, held, tables, read_before=(known.since, known.watermark) if known else None)
        progress.reach(since.date().isoformat())
        task.metrics.note_asked(since, min(before, run.clock()))
    if left:
        run.package.left[endpoint.name] = left
    else:
        progress.reach(DONE)


def filtered_feed(task: Task, params: Mapping[str, str]) -> Iterator[Batch]:
    """A feed narrowed by a filter, whole: its rows say nothing about how far the full one was read."""
    task.ask_account()
    if task.run.dry:
        return
    task.declare_table()
    held = task.run.memory.warehouse.held(task.endpoint)
    yield from _changed(task, held, walk_down(task, [params]))


def one_row(task: Task, key: str) -> Iterator[Batch]:
    """One row of a feed, by its key."""
    task.ask_account()
    task.expect(1)
    if task.run.dry:
        return
    try:
        rows = task.rows({}, key=key)
    except NotFound:
        raise SettingInvalid(
            f"Wistia has no row of {task.endpoint.name} with the key {key!r}; check the key."
        ) from None
    table = typed_feed(task, rows)
    task.run.memory.learn(task.endpoint, table, are_new=True)
    yield task.counted(table)
