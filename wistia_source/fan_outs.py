"""Snapshots and days: complete listings, and what is asked once for each media or project that is due."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from datetime import date
from typing import Any
from urllib.parse import quote

import dlt
import pyarrow as pa
import pyarrow.compute as pc

from .batches import ROWS_PER_BATCH, Batch, counted, declare_table, filled, note_failure, tracked
from .client import Row, Tally
from .endpoints import BY_NAME, DELETED, MEDIAS, Endpoint
from .errors import NotFound, RequestFailed, RowUnusable
from .rows import carried_rows, to_table, value_of
from .run import Outcome, Run
from .warehouse import changed
from .windows import by_date_range, days_asked, is_due


@tracked
def listing(run: Run, endpoint: Endpoint) -> Iterator[Batch]:
    """A complete paged list of the account."""
    tally = dlt.current.resource_metrics()
    account_id = run.account_id(tally)
    declare_table(run, endpoint)
    yield from run.list_all(endpoint, tally)
    column = endpoint.column(endpoint.primary_key[0])
    rows = run.listed(endpoint)
    missing = run.warehouse.listed(endpoint) - {value_of(column, row) for row in rows}
    gone: list[str] = []
    # offset pages skip a row when one before it goes away while we read, so each is asked for by itself
    for arrived in run.client.stream(_look_again(run, endpoint, id_, tally) for id_ in sorted(missing)):
        for id_, found in arrived or ():
            rows.extend(found)
            gone.extend([] if found else [id_])
        yield None
    fresh = changed(to_table(endpoint, rows, account_id), run.warehouse.unchanged(endpoint))
    yield counted(run, endpoint, fresh, tally)
    if gone:
        yield counted(run, endpoint, run.warehouse.as_deleted(endpoint, gone, run.clock()), tally)


def _look_again(run: Run, endpoint: Endpoint, id_: str, tally: Tally) -> Iterator[tuple[str, list[Row]]]:
    """The row of one media or project that a listing lacks, as a walk; no row where Wistia has none."""
    try:
        yield id_, run.client.rows(f"{run.client.path(endpoint)}/{quote(id_, safe='')}", {}, tally, endpoint.permission)
    except NotFound:
        yield id_, []


@tracked
def fan_out(run: Run, endpoint: Endpoint) -> Iterator[Batch]:
    """An endpoint asked once for each parent that is due, or once for the account."""
    tally = dlt.current.resource_metrics()
    account_id = run.account_id(tally)
    declare_table(run, endpoint)
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
                note_failure(tally, outcome.parent_id, outcome.error)
                if outcome.result == "not_found":
                    # Wistia has nothing for it: asking every hour would not change that
                    run.note(endpoint, outcome)
            else:
                pending.append(outcome)
        if sum(len(outcome.rows) for outcome in pending) >= ROWS_PER_BATCH:
            yield _landed(run, endpoint, pending, account_id, tally)
        else:
            yield None
    if pending:
        yield _landed(run, endpoint, pending, account_id, tally)


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
def refreshes(run: Run, endpoint: Endpoint) -> Iterator[Batch]:
    """The memory of the fan-outs, in the load package of the data it speaks of: it waits for all others."""
    while run.running > {endpoint.name}:
        yield None
    if run.notes:
        table = to_table(endpoint, run.notes, run.account_id({}))
        yield filled(changed(table, run.warehouse.unchanged(endpoint)))


def _parents(endpoint: Endpoint) -> list[Endpoint]:
    """The listings that an endpoint needs; a project is due when one of its medias was played."""
    if endpoint.parent is None:
        return []
    return list({name: BY_NAME[name] for name in (endpoint.parent, MEDIAS.name)}.values())


def _ask(run: Run, endpoint: Endpoint, parent_id: str, tally: Tally) -> Iterator[Outcome]:
    """One request for one parent, as a walk. What to ask is settled here, before a thread takes it over."""
    params: dict[str, str] = {}
    through: date | None = None
    whole = False
    if endpoint.kind == "daily":
        asked, now = run.asked(endpoint, parent_id), run.clock()
        # recent days are restated within weeks, hours_watched of all days whenever the lifetime average moves (derived)
        whole = (
            asked is None or is_due(parent_id, asked.history_at, endpoint.history_within, now) or run.lacks_days(asked)
        )
        known_through = None if asked is None or whole else asked.through_date
        first, through = by_date_range(run.start_date, known_through, endpoint.lookback, now)
        params = days_asked(first, through)
    path = run.client.path(endpoint, parent_id)

    def walk() -> Iterator[Outcome]:
        try:
            rows = run.client.rows(path, params, tally, endpoint.permission)
        except NotFound as error:
            yield Outcome(parent_id, result="not_found", error=None if endpoint.optional else str(error))
        except RequestFailed as error:
            yield Outcome(parent_id, error=str(error))
        else:
            yield Outcome(parent_id, rows, through, whole)

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
    for outcome in outcomes:
        run.note(endpoint, outcome)
    outcomes.clear()
    return counted(run, endpoint, table, tally)


def _isolated(run: Run, endpoint: Endpoint, outcomes: list[Outcome], account_id: str, tally: Tally) -> pa.Table:
    """`_delta` of the outcomes whose rows fit; one that does not is a failure, and costs the others nothing."""
    try:
        return _delta(run, endpoint, outcomes, account_id)
    except RowUnusable:
        outcomes[:] = [outcome for outcome in outcomes if _is_usable(run, endpoint, outcome, tally)]
        return _delta(run, endpoint, outcomes, account_id)


def _is_usable(run: Run, endpoint: Endpoint, outcome: Outcome, tally: Tally) -> bool:
    try:
        to_table(endpoint, list(_rows_of(run, endpoint, outcome)), "")
    except RowUnusable as error:
        note_failure(tally, outcome.parent_id, str(error))
        return False
    return True


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
