"""Snapshots and days: complete listings, and what is asked once for each media or project that is due."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from datetime import date
from functools import partial
from itertools import product
from typing import Any

import dlt
import pyarrow as pa
import pyarrow.compute as pc

from .batches import Batch, asked_for, count_restated, counted, declare_table, filled, note_failure, tracked, typed
from .client import Row, Tally
from .endpoints import BY_NAME, DELETED, MEDIAS, Endpoint
from .errors import NotFound, RequestFailed, ResourceLost, RowUnusable
from .reads import DONE, Backfilled
from .rows import carried_rows, is_row_of, joined, to_table, with_key
from .run import Outcome, Run
from .windows import by_date_range, by_date_today, days_asked, is_due


@tracked
def listing(run: Run, endpoint: Endpoint) -> Iterator[Batch]:
    """A complete paged list of the account."""
    tally = dlt.current.resource_metrics()
    account_id = run.account_id(tally)
    declare_table(run, endpoint)
    yield from run.list_all(endpoint, tally)
    missing = run.warehouse.listed(endpoint) - run.listed_ids(endpoint).keys()
    pages = [typed(endpoint, rows, account_id, tally) for rows in run.take_listed(endpoint)]
    again: list[Row] = []
    gone: list[str] = []
    # offset pages skip a row when one before it goes away while we read, so each is asked for by itself
    for arrived in run.client.stream(_look_again(run, endpoint, id_, tally) for id_ in sorted(missing)):
        for id_, found in arrived or ():
            again.extend(found)
            gone.extend([] if found else [id_])
        yield None
    listed = joined(endpoint, [*pages, typed(endpoint, again, account_id, tally)])
    fresh = run.warehouse.held(endpoint).changed(listed)
    yield counted(run, endpoint, fresh, tally)
    if gone:
        yield counted(run, endpoint, run.warehouse.as_deleted(endpoint, gone, run.clock()), tally)


def _look_again(run: Run, endpoint: Endpoint, id_: str, tally: Tally) -> Iterator[tuple[str, list[Row]]]:
    """The row of one media or project that a listing lacks, as a walk; no row where Wistia has none."""
    try:
        yield id_, run.client.rows(run.client.row_path(endpoint, id_), {}, tally, endpoint.permission)
    except NotFound:
        yield id_, []
    except RequestFailed as error:
        # neither there nor gone: as it was, until it can be asked
        note_failure(tally, id_, str(error))


@tracked
def fan_out(run: Run, endpoint: Endpoint) -> Iterator[Batch]:
    """An endpoint asked once for each parent that is due, or once for the account."""
    tally = dlt.current.resource_metrics()
    account_id = run.account_id(tally)
    declare_table(run, endpoint)
    progress = Backfilled(run, endpoint, account_id) if run.backfill else None
    due: list[str] = run.left.pop(endpoint.name, [])
    if not due:
        for parent in _parents(endpoint):
            try:
                yield from run.list_all(parent, tally)
            except ResourceLost:
                # without the medias nobody knows what projects were played; they have their turns
                if parent.name == endpoint.parent or parent.name not in run.members:
                    raise
        if endpoint.follows_plays and endpoint.parent and not progress:
            yield from run.wait_for_sessions()
            yield from run.wait_for_days()
        due = [id_ for id_ in run.due(endpoint, tally) if not (progress and progress.has_passed(id_))]
        if run.backfill and run.backfill[0] > by_date_today(run.clock()):
            # its first day has begun in UTC only
            due = []
        run.expect(endpoint, len(due), tally)
        yield from run.all_have_estimated()
        if run.dry and endpoint.parent:
            return
    reached = DONE

    def walks() -> Iterator[Iterator[Outcome]]:
        nonlocal reached
        begun = 0
        while due and not (begun and run.package_is_full()):
            begun, reached = begun + 1, due.pop(0)
            yield _ask(run, endpoint, reached, tally)

    pending: list[Outcome] = []
    rows = 0
    # those that Wistia no longer lists cannot be asked again
    failed = set(progress.failed).intersection(run.due(endpoint, tally)) if progress else set()
    for arrived in run.client.stream(walks()):
        for outcome in arrived or ():
            rows += len(outcome.rows)
            failed.discard(outcome.parent_id)
            if outcome.error:
                failed.add(outcome.parent_id)
                note_failure(tally, outcome.parent_id, outcome.error)
                if outcome.result == "not_found" and not run.backfill:
                    # Wistia has nothing for it: asking every hour would not change that
                    run.note(endpoint, outcome)
            else:
                pending.append(outcome)
        if rows >= run.tuning.rows_per_batch:
            rows = 0
            yield _landed(run, endpoint, pending, account_id, tally)
        else:
            yield None
    if pending:
        yield _landed(run, endpoint, pending, account_id, tally)
    if due:
        run.left[endpoint.name] = due
    if progress:
        progress.reach(max(reached, progress.reached or "") if due else DONE, failed)


@tracked
def carried(run: Run, endpoint: Endpoint, carrier: Endpoint) -> Iterator[Batch]:
    """A table whose rows are lists inside another resource's rows, as that one brings them."""
    tally = dlt.current.resource_metrics()
    account_id = run.account_id(tally)
    declare_table(run, endpoint)
    while carrier.name in run.running or endpoint.name in run.carried:
        outcomes = run.carried.pop(endpoint.name, [])
        table = _isolated(run, endpoint, outcomes, account_id, tally) if outcomes else None
        yield counted(run, endpoint, table, tally) if table is not None else None


@tracked
def record(run: Run, endpoint: Endpoint) -> Iterator[Batch]:
    """What the run says of itself, in the load package of the data it speaks of: it waits for all others."""
    yield from run.all_else_is_there()
    if run.has_account:
        declare_table(run, endpoint)
        table = to_table(endpoint, run.records(endpoint), run.account_id({}))
        if not table.num_rows:
            return
        # reading all of them for each load package would cost more with every package
        yield filled(run.warehouse.held(endpoint, since=_since(endpoint, table)).changed(table))


def _parents(endpoint: Endpoint) -> list[Endpoint]:
    """The listings that an endpoint needs; a project is due when one of its medias was played."""
    if endpoint.parent is None:
        return []
    return list({name: BY_NAME[name] for name in (endpoint.parent, MEDIAS.name)}.values())


def _ask(run: Run, endpoint: Endpoint, parent_id: str, tally: Tally) -> Iterator[Outcome]:
    """One request for one parent, as a walk. What to ask is settled here, before a thread takes it over."""
    params: dict[str, str] = {}
    through: date | None = None
    whole = endpoint.kind != "daily"
    if run.backfill:
        first, through = run.backfill[0], min(run.backfill[1], by_date_today(run.clock()))
        params = days_asked(first, through)
        asked_for(tally, first, through)
    elif endpoint.kind == "daily":
        asked, now = run.asked(endpoint, parent_id), run.clock()
        # recent days are restated within weeks, hours_watched of all days whenever the lifetime average moves (derived)
        whole = (
            asked is None or is_due(parent_id, asked.history_at, endpoint.history_within, now) or run.lacks_days(asked)
        )
        known_through = None if asked is None or whole else asked.through_date
        first, through = by_date_range(run.start_date, known_through, endpoint.lookback, now)
        params = days_asked(first, through)
        asked_for(tally, first, through)
    path = run.client.path(endpoint, parent_id)

    def walk() -> Iterator[Outcome]:
        at = run.clock()
        try:
            rows = run.client.rows(path, params, tally, endpoint.permission)
            if not all(is_row_of(endpoint, row) for row in rows):
                raise RequestFailed(f"GET {path} answered with something else than rows; nothing of it is loaded.")
            for child, row in product(endpoint.children, rows):
                # one that is no list of objects costs this parent alone
                carried_rows(endpoint, child, row)
        except NotFound as error:
            yield Outcome(parent_id, result="not_found", error=None if endpoint.optional else str(error))
        except (RequestFailed, RowUnusable) as error:
            yield Outcome(parent_id, error=str(error))
        else:
            # each day has a row, quiet ones too: without any, the days are still to be asked for
            has_days = endpoint.kind != "daily" or bool(rows)
            yield Outcome(parent_id, rows, through if has_days else None, whole and has_days, at=at)

    return walk()


def _landed(run: Run, endpoint: Endpoint, outcomes: list[Outcome], account_id: str, tally: Tally) -> Batch:
    """What is new of the outcomes; the parents are noted as asked, and the list emptied."""
    table = _isolated(run, endpoint, outcomes, account_id, tally)
    for child in endpoint.children:
        run.carried.setdefault(child.name, []).extend(
            Outcome(outcome.parent_id, carried_rows(endpoint, child, row))
            for outcome in outcomes
            for row in outcome.rows
        )
    if not run.backfill:
        for outcome in outcomes:
            run.note(endpoint, outcome)
    outcomes.clear()
    return counted(run, endpoint, table, tally)


def _isolated(run: Run, endpoint: Endpoint, outcomes: list[Outcome], account_id: str, tally: Tally) -> pa.Table:
    """`_delta` of the outcomes whose rows fit; one that does not is a failure, and costs the others nothing."""
    left_out = tally.get("left_out", 0)
    try:
        return _delta(run, endpoint, outcomes, account_id, tally)
    except RowUnusable:
        tally["left_out"] = left_out
        outcomes[:] = [outcome for outcome in outcomes if _is_usable(run, endpoint, outcome, tally)]
        return _delta(run, endpoint, outcomes, account_id, tally)


def _is_usable(run: Run, endpoint: Endpoint, outcome: Outcome, tally: Tally) -> bool:
    try:
        typed(endpoint, list(rows_of(run, endpoint, outcome)), "", {})
    except RowUnusable as error:
        note_failure(tally, outcome.parent_id, str(error))
        return False
    return True


def _delta(run: Run, endpoint: Endpoint, outcomes: Sequence[Outcome], account_id: str, tally: Tally) -> pa.Table:
    """The rows of the outcomes that the warehouse does not hold, and marks for those that are gone."""
    by_parent = {outcome.parent_id: list(rows_of(run, endpoint, outcome)) for outcome in outcomes}
    # a row that was left out may be one that the warehouse holds
    unclear = {
        parent_id
        for parent_id, rows in by_parent.items()
        if endpoint.complete and len(with_key(endpoint, rows)) < len(rows)
    }
    table = typed(endpoint, [row for rows in by_parent.values() for row in rows], account_id, tally)
    run.note_days(endpoint, table)
    if not run.warehouse.holds(endpoint.name):
        return table
    parents = [outcome.parent_id for outcome in outcomes]
    held = run.warehouse.held(endpoint, parents=parents if endpoint.parent else None, since=_since(endpoint, table))
    fresh = held.changed(table)
    if endpoint.cursor:
        count_restated(run, endpoint, fresh, held, partial(run.days_read, endpoint))
    if not endpoint.complete:
        return fresh
    present = set(zip(*(table[name].to_pylist() for name in endpoint.primary_key), strict=True))
    gone = {key for key in held.hashes.keys() - present if key[0] not in unclear}
    if not gone:
        return fresh
    marks = to_table(endpoint, [{**_as_sent(endpoint, key), DELETED.name: True} for key in gone], account_id)
    return pa.concat_tables([fresh, marks], promote_options="default")


def _since(endpoint: Endpoint, table: pa.Table) -> Any:
    """The oldest of the rows, by their cursor: what is held from then on is what they can differ from."""
    return pc.min(table[endpoint.cursor]).as_py() if endpoint.cursor else None


def _as_sent(endpoint: Endpoint, key: Sequence[Any]) -> Row:
    """A primary key in the form of the API's rows."""
    columns = map(endpoint.column, endpoint.primary_key)
    return {column.sources[0][0]: value for column, value in zip(columns, key, strict=True)}


def rows_of(run: Run, endpoint: Endpoint, outcome: Outcome) -> Iterator[Row]:
    """The rows of an outcome, with what the body leaves out: whose they are, which, and when they were asked for."""
    for position, row in enumerate(outcome.rows):
        if endpoint.parent_key:
            row[endpoint.parent_key] = outcome.parent_id
        if "position" in endpoint.primary_key:
            row["position"] = position
        if "captured_at" in endpoint.primary_key:
            row["captured_at"] = run.clock().isoformat()
        yield row
