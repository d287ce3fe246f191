"""Loads snapshots and days: complete lists, and what is asked once for each media or project that is due."""

from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from datetime import date, datetime
from itertools import product
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from .endpoints import BY_NAME, DATA_TABLES, DELETED, MEDIAS, TELLERS, Endpoint, Row
from .errors import NotFound, RequestFailed, ResourceLost, RowUnusable
from .load_package import Pause
from .memory import Outcome
from .paging import no_rows
from .progress import DONE, Backfilled
from .rows import carried_rows, is_row_of, joined, to_table, with_key
from .task import Batch, Task
from .windows import by_date_range, by_date_today, days_asked, is_due


def listing(task: Task) -> Iterator[Batch]:
    """A complete paged list of the account."""
    run, endpoint, metrics = task.run, task.endpoint, task.metrics
    task.declare_table()
    yield from run.listings.read(endpoint, metrics)
    warehouse = run.memory.warehouse
    missing = warehouse.listed(endpoint) - run.listings.ids(endpoint).keys()
    pages = [task.typed(rows) for rows in run.listings.take_pages(endpoint)]
    again: list[Row] = []
    gone: list[str] = []
    # offset pages skip a row when one before it goes away while we read, so each is asked for by itself
    for arrived in run.walks.stream(_look_again(task, id_) for id_ in sorted(missing)):
        for id_, found in arrived or ():
            again.extend(found)
            gone.extend([] if found else [id_])
        yield None
    fresh = warehouse.held(endpoint).changed(joined(endpoint, [*pages, task.typed(again)]))
    yield task.counted(fresh)
    if gone:
        yield task.counted(warehouse.as_deleted(endpoint, gone, run.clock()))


def _look_again(task: Task, id_: str) -> Iterator[tuple[str, list[Row]]]:
    """The row of one media or project that a list lacks, as a walk; no row where Wistia has none."""
    try:
        yield id_, task.rows({}, key=id_)
    except NotFound:
        yield id_, []
    except RequestFailed as error:
        # neither there nor gone: as it was, until it can be asked
        task.metrics.note_failure(id_, str(error))


def fan_out(task: Task) -> Iterator[Batch]:
    """An endpoint asked once for each parent that is due, or once for the account."""
    run, endpoint, metrics, package = task.run, task.endpoint, task.metrics, task.run.package
    task.declare_table()
    progress = Backfilled(task) if run.backfill else None
    due: list[str] = package.left.pop(endpoint.name, [])
    if not due:
        yield from _read_parents(task)
        if not run.backfill:
            yield from package.wait(TELLERS if endpoint.follows_plays else (), "told")
        due = _due(task, progress)
        task.expect(len(due))
        if run.backfill:
            yield from package.wait(BY_NAME, "estimated")
        if run.dry and endpoint.parent:
            return
    reached = DONE

    def walks() -> Iterator[Iterator[Outcome]]:
        nonlocal reached
        for reached in package.take(due):
            yield _ask(task, reached)

    pending: list[Outcome] = []
    rows = 0
    # those that Wistia no longer lists cannot be asked again
    failed = set(progress.failed).intersection(_backfilled_parents(task)) if progress else set()
    for arrived in run.walks.stream(walks()):
        for outcome in arrived or ():
            rows += len(outcome.rows)
            failed.discard(outcome.parent_id)
            if outcome.error:
                failed.add(outcome.parent_id)
                metrics.note_failure(outcome.parent_id, outcome.error)
                if outcome.result == "not_found" and not run.backfill:
                    # Wistia has nothing for it: asking every hour would not change that
                    run.memory.note(endpoint, outcome)
            else:
                pending.append(outcome)
        if rows >= run.tuning.rows_per_batch:
            yield _landed(task, pending)
            pending, rows = [], 0
        else:
            yield None
    if pending:
        yield _landed(task, pending)
    if due:
        package.left[endpoint.name] = due
    if progress:
        progress.reach(max(reached, progress.reached or "") if due else DONE, failed)


def carried(task: Task, carrier: Endpoint) -> Iterator[Batch]:
    """A table whose rows are lists inside another resource's rows, as that one brings them."""
    task.declare_table()
    package, name = task.run.package, task.endpoint.name
    while carrier.name in package.running or name in package.carried:
        outcomes = package.carried.pop(name, [])
        yield task.counted(_isolated(task, outcomes)) if outcomes else None


def record(task: Task, rows: Callable[[], list[Row]]) -> Iterator[Batch]:
    """What the run says of itself, in the load package of the data it speaks of."""
    yield from task.run.package.wait(DATA_TABLES, "ended")
    account_id = task.run.listings.known_account_id
    if account_id is None:
        return
    task.declare_table()
    table = to_table(task.endpoint, rows(), account_id)
    if table.num_rows:
        # reading all of them for each load package would cost more with every package
        held = task.run.memory.warehouse.held(task.endpoint, since=_since(task.endpoint, table))
        fresh = held.changed(table)
        yield fresh if fresh.num_rows else None


def _read_parents(task: Task) -> Pause:
    """Reads the lists that the endpoint needs; a project is due when one of its medias was played."""
    endpoint = task.endpoint
    if endpoint.parent is None:
        return
    for parent in {name: BY_NAME[name] for name in (endpoint.parent, MEDIAS.name)}.values():
        try:
            yield from task.run.listings.read(parent, task.metrics)
        except ResourceLost:
            # without the medias nobody knows what projects were played; they are refreshed regularly all the same
            if parent.name == endpoint.parent or parent.name not in task.run.package.members:
                raise


def _due(task: Task, progress: Backfilled | None) -> list[str]:
    """The parents to ask now; the reasons are counted, and those that are spared are noted."""
    run, endpoint = task.run, task.endpoint
    if run.backfill and run.backfill[0] > by_date_today(run.clock()):
        # its first day has begun in UTC only
        return []
    if progress:
        return [id_ for id_ in _backfilled_parents(task) if not progress.has_passed(id_)]
    if endpoint.parent is None:
        return [""]
    reasons = run.memory.decide(endpoint)
    task.metrics.reasons = dict(Counter(reasons.values()))
    for parent_id, why in reasons.items():
        if why == "quiet":
            run.memory.note(endpoint, Outcome(parent_id, result=why))
    return [parent_id for parent_id, why in reasons.items() if why != "quiet"]


def _backfilled_parents(task: Task) -> list[str]:
    """All parents, in the order in which a backfill asks them; "" for the account."""
    parent = task.endpoint.parent
    return sorted(task.run.listings.ids(BY_NAME[parent])) if parent else [""]


def _ask(task: Task, parent_id: str) -> Iterator[Outcome]:
    """One request for one parent, as a walk. What to ask is settled here, before a thread takes it over."""
    run, endpoint = task.run, task.endpoint
    params: dict[str, str] = {}
    through: date | None = None
    whole = endpoint.kind != "daily"
    if endpoint.kind == "daily":
        first, through, whole = _days_of(task, parent_id)
        params = days_asked(first, through)
        task.metrics.note_asked(first, through)

    def walk() -> Iterator[Outcome]:
        at = run.clock()
        try:
            rows = task.rows(params, parent_id)
            if not all(is_row_of(endpoint, row) for row in rows):
                raise no_rows(run.client.path(endpoint, parent_id))
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


def _days_of(task: Task, parent_id: str) -> tuple[date, date, bool]:
    """The first and last day to ask for, and whether that is the whole history."""
    run, endpoint, now = task.run, task.endpoint, task.run.clock()
    if run.backfill:
        return run.backfill[0], min(run.backfill[1], by_date_today(now)), False
    asked = run.memory.asked(endpoint, parent_id)
    # recent days are restated within weeks, hours_watched of all days whenever the lifetime average moves (derived)
    whole = (
        asked is None
        or is_due(parent_id, asked.history_at, endpoint.history_within, now)
        # the start has been moved to before the first day that was asked for
        or (asked.from_date is not None and run.start_date < asked.from_date)
    )
    known_through = None if asked is None or whole else asked.through_date
    return (*by_date_range(run.start_date, known_through, endpoint.lookback, now), whole)


def _landed(task: Task, outcomes: list[Outcome]) -> Batch:
    """What is new of the outcomes; the parents are noted as asked."""
    run, endpoint = task.run, task.endpoint
    table = _isolated(task, outcomes)
    for child in endpoint.children:
        run.package.carried.setdefault(child.name, []).extend(
            Outcome(outcome.parent_id, carried_rows(endpoint, child, row))
            for outcome in outcomes
            for row in outcome.rows
        )
    if not run.backfill:
        for outcome in outcomes:
            run.memory.note(endpoint, outcome)
    return task.counted(table)


def _isolated(task: Task, outcomes: list[Outcome]) -> pa.Table:
    """`_delta` of the outcomes whose rows fit; one that does not is a failure, and costs the others nothing."""
    left_out = task.metrics.left_out
    try:
        return _delta(task, outcomes)
    except RowUnusable:
        task.metrics.left_out = left_out
        outcomes[:] = [outcome for outcome in outcomes if _is_usable(task, outcome)]
        return _delta(task, outcomes)


def _is_usable(task: Task, outcome: Outcome) -> bool:
    try:
        rows = completed(task.endpoint, outcome, task.run.clock())
        to_table(task.endpoint, with_key(task.endpoint, rows), "")
    except RowUnusable as error:
        task.metrics.note_failure(outcome.parent_id, str(error))
        return False
    return True


def _delta(task: Task, outcomes: Sequence[Outcome]) -> pa.Table:
    """The rows of the outcomes that the warehouse does not hold, and marks for those that are gone."""
    endpoint, memory = task.endpoint, task.run.memory
    by_parent = {outcome.parent_id: completed(endpoint, outcome, task.run.clock()) for outcome in outcomes}
    # a row that was left out may be one that the warehouse holds
    unclear = {
        parent_id
        for parent_id, rows in by_parent.items()
        if endpoint.complete and len(with_key(endpoint, rows)) < len(rows)
    }
    table = task.typed([row for rows in by_parent.values() for row in rows])
    if endpoint.tells:
        memory.learn(endpoint, table, are_new=True)
        task.run.package.reach(endpoint.name, "told")
    if endpoint.name not in memory.warehouse.tables:
        return table
    parents = [outcome.parent_id for outcome in outcomes]
    held = memory.warehouse.held(endpoint, parents=parents if endpoint.parent else None, since=_since(endpoint, table))
    fresh = held.changed(table)
    if endpoint.cursor:
        memory.count_restated(endpoint, fresh, held, memory.days_read(endpoint, parents))
    if not endpoint.complete:
        return fresh
    present = set(zip(*(table[name].to_pylist() for name in endpoint.primary_key), strict=True))
    gone = {key for key in held.keys() - present if key[0] not in unclear}
    if not gone:
        return fresh
    # keys in the form of the API's rows
    fields = [endpoint.column(name).sources[0][0] for name in endpoint.primary_key]
    marks = [{**dict(zip(fields, key, strict=True)), DELETED.name: True} for key in gone]
    return pa.concat_tables([fresh, to_table(endpoint, marks, task.ask_account())], promote_options="default")


def _since(endpoint: Endpoint, table: pa.Table) -> Any:
    """The oldest of the rows, by their cursor: what is held from then on is what they can differ from."""
    return pc.min(table[endpoint.cursor]).as_py() if endpoint.cursor else None


def completed(endpoint: Endpoint, outcome: Outcome, now: datetime) -> list[Row]:
    """The rows of an outcome, with what the body leaves out: whose they are, which, and when they were asked for."""
    filled_in = [column for column in endpoint.columns if column.filled_with]
    for position, row in enumerate(outcome.rows):
        if endpoint.parent_key:
            row[endpoint.parent_key] = outcome.parent_id
        for column in filled_in:
            row[column.name] = position if column.filled_with == "position" else now.isoformat()
    return list(outcome.rows)
