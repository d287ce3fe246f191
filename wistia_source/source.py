"""The dlt source: walks the table of endpoints and makes a resource of each. Makes no request while building."""

# no postponed annotations here: dlt finds a resource's incremental cursor by its annotation
from collections.abc import Callable, Iterable, Iterator, Sequence
from datetime import UTC, date, datetime, time, timedelta
from functools import wraps
from time import monotonic
from typing import Any, ParamSpec
from urllib.parse import quote

import dlt
import pyarrow as pa
import pyarrow.compute as pc
from dlt.common.schema.typing import TColumnSchema
from dlt.extract import DltResource

from .budget import RequestBudget
from .client import Client, Row, Tally
from .endpoints import (
    ACCOUNT_STATS_BY_DATE,
    BY_NAME,
    DELETED,
    ENDPOINTS,
    EVENTS,
    MEDIAS,
    REFRESHES,
    VISITORS,
    Column,
    Endpoint,
)
from .errors import NotFound, RequestFailed, SettingInvalid
from .rows import all_columns, carried_rows, fix_event, primary_key, timestamp, to_table
from .run import Outcome, Run
from .warehouse import changed
from .windows import by_date_range, cut, split_by_volume

ROWS_PER_BATCH = 1_000
PLAYS_PER_WINDOW = 2_000
"""About 20 pages: long enough to waste little on each last page, short enough to have several at a time."""

SHORT_SPAN = timedelta(days=3)
"""Up to here it costs more to ask how busy the days were than to read them in one go."""

DEFAULT_REQUESTS_PER_MINUTE = 540
"""Wistia allows 600 an account (docs); the rest is left to its owner's other tools."""

LOAD_ID = "_dlt_load_id"

Batch = pa.Table | None
P = ParamSpec("P")


@dlt.source(name="wistia", max_table_nesting=1)
def wistia(
    access_token: str = dlt.secrets.value,
    base_url: str = "https://api.wistia.com",
    api_version: str = "v1",
    start_date: str | None = None,
    requests_per_minute: int = DEFAULT_REQUESTS_PER_MINUTE,
    visitor_filter: str | None = None,
    visitor_search: str | None = None,
    visitor_key: str | None = None,
    event_key: str | None = None,
    keep_public_token: bool = False,
    backoff_seconds: float = 1.0,
    now: datetime | None = None,
) -> Iterable[DltResource]:
    """A Wistia account: twelve resources and the memory of what was asked (`refreshes`).

    Args:
        access_token: a token with the permissions "Read detailed stats" and "Read all folder and media data".
        base_url: scheme and host of the API, without a path.
        api_version: `v1`, or a release of the dated modern API such as `2026-03`. Tables are the same.
        start_date: first day to load, `YYYY-MM-DD`; two years ago by default, which is all the events that
            Wistia keeps.
        requests_per_minute: the most requests sent in any 60 seconds.
        visitor_filter: only visitors that `has_name`, `has_email` or are `identified_by_email_gate`; all such
            are read each run, and the cursor of the full list stays where it is.
        visitor_search: only visitors whose name or email starts with this; else as `visitor_filter`.
        visitor_key: refresh this one visitor instead of the list.
        event_key: refresh this one viewing session instead of the list.
        keep_public_token: keep the account's public token inside `events.iframe_heatmap_url`.
        backoff_seconds: half the longest first pause after a failure, more than 0; doubled with each further one,
            up to a minute.
        now: the time of the run, for tests; the clock by default.

    Raises `SettingInvalid` at once; while it runs, the errors of `wistia_source.errors`.
    """

    def clock() -> datetime:
        return now or datetime.now(UTC)

    if visitor_filter not in (None, "has_name", "has_email", "identified_by_email_gate"):
        raise SettingInvalid(
            f"visitor_filter is {visitor_filter!r}, but must be has_name, has_email or identified_by_email_gate."
        )
    if requests_per_minute < 1:
        raise SettingInvalid(f"requests_per_minute is {requests_per_minute}, but must be at least 1.")
    run = Run(
        client=Client(access_token, base_url, api_version, RequestBudget(requests_per_minute), backoff_seconds),
        start_date=_start_date(start_date, clock()),
        clock=clock,
        keep_public_token=keep_public_token,
    )
    filters = {"filter": visitor_filter, "search": visitor_search}
    visitor_params = {name: value for name, value in filters.items() if value}
    for endpoint in ENDPOINTS:
        if endpoint is VISITORS and visitor_key:
            yield _resource(endpoint, _show)(run, endpoint, visitor_key)
        elif endpoint is EVENTS and event_key:
            yield _resource(endpoint, _show)(run, endpoint, event_key)
        elif endpoint is VISITORS and visitor_params:
            # a filtered list must not move the cursor of the whole one
            yield _resource(endpoint, _filtered_feed)(run, endpoint, visitor_params)
        elif endpoint.kind == "feed":
            yield _resource(endpoint, _incremental_feed)(run, endpoint, _cursor(endpoint, run))
        elif endpoint.listing:
            yield _resource(endpoint, _listing)(run, endpoint)
        else:
            yield _resource(endpoint, _fan_out)(run, endpoint)
        for child in endpoint.children:
            yield _resource(child, _carried)(run, child, endpoint)
    yield _resource(REFRESHES, _refreshes)(run, REFRESHES)


def _start_date(text: str | None, now: datetime) -> date:
    if text is None:
        # a leap day has no like two years ago
        return (now - timedelta(days=730)).date()
    try:
        start = date.fromisoformat(str(text))
    except ValueError:
        raise SettingInvalid(f"start_date is {text!r}, but must be a day such as '2026-01-31'.") from None
    if start > now.date():
        raise SettingInvalid(f"start_date {start} is in the future; set it to a day up to today, {now.date()}.")
    return start


def _cursor(endpoint: Endpoint, run: Run) -> dlt.sources.incremental[datetime]:
    assert endpoint.cursor is not None
    return dlt.sources.incremental[datetime](
        endpoint.cursor,
        initial_value=datetime.combine(run.start_date, time(), UTC),
        # the merge key makes overlaps harmless; dlt's own deduplication would keep keys in the state
        primary_key=(),
        on_cursor_value_missing="include",
    )


def _resource(endpoint: Endpoint, generate: Callable[..., Any]) -> Callable[..., DltResource]:
    """A dlt resource with everything that the table of endpoints declares."""
    return dlt.resource(
        generate,
        name=endpoint.name,
        primary_key=primary_key(endpoint),
        write_disposition={"disposition": "merge", "strategy": "delete-insert"},
        columns=_hints(all_columns(endpoint), primary_key(endpoint)),
        schema_contract={"tables": "evolve", "columns": "evolve", "data_type": "freeze"},
    )


def _hints(columns: Iterable[Column], key: Sequence[str]) -> dict[str, TColumnSchema]:
    return {
        column.name: {
            "name": column.name,
            "data_type": column.data_type,
            "description": column.description,
            "nullable": column.name not in key,
            **({"hard_delete": True} if column is DELETED else {}),
        }
        for column in columns
    }


def _tracked(generate: Callable[P, Iterator[Batch]]) -> Callable[P, Iterator[Batch]]:
    """Marks a resource as running from when dlt makes its generator, so before any of them is iterated."""

    @wraps(generate)
    def start(*args: P.args, **kwargs: P.kwargs) -> Iterator[Batch]:
        run, endpoint = args[:2]
        assert isinstance(run, Run)
        assert isinstance(endpoint, Endpoint)
        run.running.add(endpoint.name)
        return until_done(run, endpoint, generate(*args, **kwargs))

    def until_done(run: Run, endpoint: Endpoint, batches: Iterator[Batch]) -> Iterator[Batch]:
        tally, started = dlt.current.resource_metrics(), monotonic()
        try:
            yield from batches
        except GeneratorExit:
            # whoever stops reading one resource may go on with the others
            raise
        except BaseException:
            # one failure ends the run: nobody may wait on for the budget
            run.client.close()
            raise
        finally:
            run.finish(endpoint)
            tally["seconds"] = monotonic() - started

    return start


@_tracked
def _incremental_feed(run: Run, endpoint: Endpoint, cursor: dlt.sources.incremental[datetime]) -> Iterator[Batch]:
    """A feed from its incremental cursor on."""
    # dlt binds the cursor to its state only when the first batch is asked for
    watermark, initial = cursor.start_value, cursor.initial_value
    assert watermark is not None
    assert initial is not None
    first_load = watermark <= initial
    if endpoint is EVENTS:
        run.catching_up = first_load
    oldest = watermark if first_load else cut(watermark, endpoint.lookback, run.clock())
    # the cut is made here; dlt's own would drop the late rows behind its watermark
    cursor.advance(watermark)
    for batch in _walk_feed(run, endpoint, {}, oldest):
        if isinstance(batch, pa.Table):
            watermark = max(watermark, pc.max(batch[cursor.cursor_path]).as_py() or watermark)
        yield batch
    cursor.advance(watermark)


@_tracked
def _filtered_feed(run: Run, endpoint: Endpoint, params: dict[str, str]) -> Iterator[Batch]:
    """A feed narrowed by a filter, whole: its rows say nothing about how far the full one was read."""
    yield from _walk_feed(run, endpoint, params, None)


def _walk_feed(run: Run, endpoint: Endpoint, params: dict[str, str], oldest: datetime | None) -> Iterator[Batch]:
    """A paged list, newest first, down to `oldest`."""
    cursor = endpoint.cursor
    assert cursor is not None
    tally = dlt.current.resource_metrics()
    account_id = run.account_id(tally)
    _declare_table(run, endpoint)
    known = run.warehouse.unchanged(endpoint, since=oldest)
    path = run.client.path(endpoint)
    windows = [params]
    if endpoint is EVENTS:
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
        if endpoint is EVENTS:
            run.note_sessions(fresh)
        return fresh

    for arrived in run.client.stream(walk(window) for window in windows):
        for page in arrived or ():
            pending.extend(page)
        yield _counted(run, endpoint, flush(), tally) if len(pending) >= ROWS_PER_BATCH else None
    if pending:
        yield _counted(run, endpoint, flush(), tally)


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
    plays = [(date.fromisoformat(day["date"]), int(day["play_count"])) for day in days]
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
    if endpoint is EVENTS:
        for row in rows:
            fix_event(row, run.keep_public_token)
    return to_table(endpoint, rows, account_id)


@_tracked
def _show(run: Run, endpoint: Endpoint, key: str) -> Iterator[Batch]:
    """One row, by its key."""
    tally = dlt.current.resource_metrics()
    account_id = run.account_id(tally)
    rows = run.client.rows(f"{run.client.path(endpoint)}/{quote(key, safe='')}", {}, tally, endpoint.permission)
    yield _counted(run, endpoint, _feed_table(run, endpoint, rows, account_id), tally)


@_tracked
def _listing(run: Run, endpoint: Endpoint) -> Iterator[Batch]:
    """A complete paged list of the account."""
    tally = dlt.current.resource_metrics()
    account_id = run.account_id(tally)
    _declare_table(run, endpoint)
    yield from run.list_all(endpoint, tally)
    table = to_table(endpoint, run.listed(endpoint), account_id)
    yield _counted(run, endpoint, changed(table, run.warehouse.unchanged(endpoint)), tally)


@_tracked
def _fan_out(run: Run, endpoint: Endpoint) -> Iterator[Batch]:
    """An endpoint asked once for each parent that is due, or once for the account."""
    tally = dlt.current.resource_metrics()
    account_id = run.account_id(tally)
    _declare_table(run, endpoint)
    for parent in _parents(endpoint):
        yield from run.list_all(parent, tally)
    if endpoint.follows_plays and endpoint.parent:
        yield from run.wait_for_sessions()
    due = run.due(endpoint)
    tally["asked"] = len(due)
    pending: list[Outcome] = []
    for arrived in run.client.stream(_ask(run, endpoint, parent_id, tally) for parent_id in due):
        for outcome in arrived or ():
            if outcome.error:
                tally.setdefault("failures", []).append({"parent_id": outcome.parent_id, "error": outcome.error})
            else:
                pending.append(outcome)
        if sum(len(outcome.rows) for outcome in pending) >= ROWS_PER_BATCH:
            yield _landed(run, endpoint, pending, account_id, tally)
        else:
            yield None
    if pending:
        yield _landed(run, endpoint, pending, account_id, tally)


def _parents(endpoint: Endpoint) -> list[Endpoint]:
    """The listings that an endpoint needs; a project is due when one of its medias was played."""
    if endpoint.parent is None:
        return []
    return list({name: BY_NAME[name] for name in (endpoint.parent, MEDIAS.name)}.values())


def _ask(run: Run, endpoint: Endpoint, parent_id: str, tally: Tally) -> Iterator[Outcome]:
    """One request for one parent, as a walk. What to ask is settled here, before a thread takes it over."""
    params: dict[str, str] = {}
    through: date | None = None
    if endpoint.kind == "daily":
        first, through = by_date_range(
            run.start_date, run.through_date(endpoint, parent_id), endpoint.lookback, run.clock()
        )
        # without both dates the API means yesterday and today, or answers 500 (third party)
        params = {"start_date": first.isoformat(), "end_date": through.isoformat()}
    path = run.client.path(endpoint, parent_id)

    def walk() -> Iterator[Outcome]:
        try:
            rows = run.client.rows(path, params, tally, endpoint.permission)
        except NotFound as error:
            yield Outcome(parent_id, result="not_found", error=None if endpoint.optional else str(error))
        except RequestFailed as error:
            yield Outcome(parent_id, error=str(error))
        else:
            yield Outcome(parent_id, rows, through)

    return walk()


@_tracked
def _carried(run: Run, endpoint: Endpoint, carrier: Endpoint) -> Iterator[Batch]:
    """A table whose rows are lists inside another resource's rows, as that one brings them."""
    tally = dlt.current.resource_metrics()
    account_id = run.account_id(tally)
    _declare_table(run, endpoint)
    while carrier.name in run.running or endpoint.name in run.carried:
        outcomes = run.carried.pop(endpoint.name, [])
        yield _counted(run, endpoint, _delta(run, endpoint, outcomes, account_id), tally) if outcomes else None


def _landed(run: Run, endpoint: Endpoint, outcomes: list[Outcome], account_id: str, tally: Tally) -> Batch:
    """What is new of the outcomes; the parents are noted as asked, and the list emptied."""
    table = _delta(run, endpoint, outcomes, account_id)
    for child in endpoint.children:
        run.carried.setdefault(child.name, []).extend(
            Outcome(outcome.parent_id, carried_rows(endpoint, child, row))
            for outcome in outcomes
            for row in outcome.rows
        )
    for outcome in outcomes:
        run.note(endpoint, outcome.parent_id, outcome.through, outcome.result)
    outcomes.clear()
    return _counted(run, endpoint, table, tally)


def _delta(run: Run, endpoint: Endpoint, outcomes: Sequence[Outcome], account_id: str) -> pa.Table:
    """The rows of the outcomes that the warehouse does not hold, and marks for those that are gone."""
    rows = [row for outcome in outcomes for row in _rows_of(run, endpoint, outcome)]
    table = to_table(endpoint, rows, account_id)
    if not run.warehouse.holds(endpoint.name):
        return table
    parents = [outcome.parent_id for outcome in outcomes]
    if not endpoint.complete:
        since = pc.min(table[endpoint.cursor]).as_py() if endpoint.cursor else None
        held = run.warehouse.unchanged(endpoint, parents=parents if endpoint.parent else None, since=since)
        return changed(table, held)
    present = set(zip(*(table[name].to_pylist() for name in endpoint.primary_key), strict=True))
    held_rows = run.warehouse.held(endpoint, parents)
    gone = [{**_as_sent(endpoint, key), DELETED.name: True} for *key, _ in held_rows if tuple(key) not in present]
    fresh = changed(table, pa.array([hash_ for *_, hash_ in held_rows], pa.int64()))
    return pa.concat_tables([fresh, to_table(endpoint, gone, account_id)], promote_options="default") if gone else fresh


def _as_sent(endpoint: Endpoint, key: Sequence[Any]) -> Row:
    """A primary key in the form of the API's rows."""
    columns = map(endpoint.column, endpoint.primary_key)
    return {column.sources[0][0]: value for column, value in zip(columns, key, strict=True)}


def _rows_of(run: Run, endpoint: Endpoint, outcome: Outcome) -> Iterator[Row]:
    """The rows of an outcome, with what the body leaves out: whose they are, which, and when they were asked for."""
    for position, row in enumerate(outcome.rows):
        if endpoint.parent_key:
            row[endpoint.parent_key] = outcome.parent_id
        if "position" in endpoint.primary_key:
            row["position"] = position
        if "captured_at" in endpoint.primary_key:
            row["captured_at"] = run.clock().isoformat()
        yield row


@_tracked
def _refreshes(run: Run, endpoint: Endpoint) -> Iterator[Batch]:
    """The memory of the fan-outs, in the load package of the data it speaks of: it waits for all others."""
    while run.running > {endpoint.name}:
        yield None
    if run.notes:
        table = to_table(endpoint, run.notes, run.account_id({}))
        yield _filled(changed(table, run.warehouse.unchanged(endpoint)))


def _declare_table(run: Run, endpoint: Endpoint) -> None:
    """Puts the table into the schema, so that it can be made even if nothing is found to load.

    Not `dlt.mark.materialize_table_schema()`: its empty file stops every load into Postgres.
    """
    if not run.warehouse.holds(endpoint.name):
        table = dlt.current.resource().compute_table_schema()
        if dlt.config.get("normalize.parquet_normalizer.add_dlt_load_id", bool):
            # dlt would add it to Arrow batches when the first one comes
            table["columns"][LOAD_ID] = {"name": LOAD_ID, "data_type": "text", "nullable": False}
        dlt.current.source_schema().update_table(table)


def _counted(run: Run, endpoint: Endpoint, table: pa.Table, tally: Tally) -> Batch:
    """The batch, its rows counted and its undeclared fields named in the resource's metrics."""
    tally["rows"] = tally.get("rows", 0) + table.num_rows
    known = run.warehouse.columns(endpoint.name).union(column.name for column in all_columns(endpoint))
    new = [name for name in table.column_names if name not in known]
    if new and table.num_rows:
        tally["new_fields"] = sorted({*new, *tally.get("new_fields", ())})
    return _filled(table)


def _filled(table: pa.Table) -> pa.Table | None:
    """The table, or None where it is empty: an empty file would make work, and stop a load into Postgres."""
    return table if table.num_rows else None
