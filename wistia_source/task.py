"""One run of the source, and what all its resources do: take turns, type and count rows, declare their table."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from datetime import date, datetime
from functools import wraps
from threading import Lock
from time import monotonic
from typing import Any

import dlt
import pyarrow as pa

from .client import Client, Params
from .endpoints import Endpoint, Row
from .errors import PlanLacksFeature, ResourceLost
from .listings import Listings
from .load_package import LoadPackage
from .memory import Memory
from .metrics import Metrics
from .paging import Lists
from .pii import Pii
from .rows import LOAD_ID, all_columns, to_table, with_key
from .tuning import Tuning
from .walks import Walks
from .windows import Days

IDLE_SECONDS = 0.5
"""How long the warehouse is kept open for the next question: an open DuckDB file shuts out its readers."""

Batch = pa.Table | None
"""Rows for dlt, or None: nothing yet, let other resources go on."""


@dataclass
class Run:
    """What the resources of one run share, in one load package or several."""

    client: Client
    run_id: str
    clock: Callable[[], datetime]
    start_date: date
    backfill: Days | None
    """The days to read again instead of what is new, whatever was read before."""
    dry: bool
    """Whether it only counts what it would ask: it asks what it needs for that, the lists above all."""
    package_seconds: float
    keep_public_token: bool
    pii: Pii
    tuning: Tuning

    def __post_init__(self) -> None:
        self.lists = Lists(self.client)
        self.walks = Walks(self.tuning.active_walks)
        self.package = LoadPackage(self.package_seconds, self.tuning.rows_per_package)
        self.listings = Listings(self.client, self.lists, self.walks, self.package)
        self.memory = Memory(self.run_id, self.listings, self.start_date, self.clock)
        self.turn = Lock()


@dataclass(frozen=True)
class Task:
    """One resource of a run: what it reads, what it shares with the others, and what it counts."""

    run: Run
    endpoint: Endpoint
    metrics: Metrics = field(default_factory=Metrics)

    def ask_account(self) -> str:
        """The account's own id; the first resource that needs it pays the request."""
        return self.run.listings.account_id(self.metrics)

    def rows(self, params: Params, parent_id: str | None = None, key: str | None = None) -> list[Row]:
        """The rows of one answer: for a parent, or the one of a key. Raises as `Client.get` does."""
        path = self.run.client.path(self.endpoint, parent_id, key)
        return self.run.lists.rows(path, params, self.metrics, self.endpoint.permission)

    def pages(self, params: Params, first: int = 1) -> Iterator[list[Row]]:
        """The pages of the list: see `Lists.pages`."""
        path = self.run.client.path(self.endpoint)
        return self.run.lists.pages(path, params, self.metrics, self.endpoint.permission, first)

    def expect(self, requests: int) -> None:
        """Notes how many requests are still to come, about, and how long the quota makes them take."""
        self.metrics.expected = self.metrics.requests + requests
        self.metrics.expected_minutes = requests / self.run.client.requests_per_minute
        self.run.package.reach(self.endpoint.name, "estimated")

    def declare_table(self) -> None:
        """Puts the table into the schema, so that it can be made even if nothing is found to load.

        Not `dlt.mark.materialize_table_schema()`: its empty file stops every load into Postgres.
        """
        # the tables are those of one account
        self.ask_account()
        if self.endpoint.name not in self.run.memory.warehouse.tables:
            table = dlt.current.resource().compute_table_schema()
            if dlt.config.get("normalize.parquet_normalizer.add_dlt_load_id", bool):
                # dlt would add it to Arrow batches when the first one comes
                table["columns"][LOAD_ID] = {"name": LOAD_ID, "data_type": "text", "nullable": False}
            dlt.current.source_schema().update_table(table)

    def typed(self, rows: Sequence[Row]) -> pa.Table:
        """The rows as `to_table` makes them, without those that lack a part of their key; these are counted."""
        keyed = with_key(self.endpoint, rows)
        self.metrics.count(left_out=len(rows) - len(keyed))
        return to_table(self.endpoint, keyed, self.ask_account())

    def counted(self, table: pa.Table) -> Batch:
        """The batch, its rows counted and its undeclared fields named in the metrics."""
        if not table.num_rows:
            # an empty file would make work, and stop a load into Postgres
            return None
        self.metrics.rows += table.num_rows
        self.run.package.rows += table.num_rows
        held = self.run.memory.warehouse.columns[self.endpoint.name]
        known = held.union(column.name for column in all_columns(self.endpoint))
        new = set(table.column_names) - known
        self.metrics.new_fields = sorted(new.union(self.metrics.new_fields))
        return table


def tracked(generate: Callable[..., Iterator[Batch]]) -> Callable[..., Iterator[Batch]]:
    """Marks a resource as running from when dlt makes its generator, so before any of them is iterated."""

    @wraps(generate)
    def start(task: Task, /, *args: Any, **kwargs: Any) -> Iterator[Batch]:
        if task.run.package.begin(task.endpoint.name):
            # the same source may be run again: what it has learned before is old
            task.run.listings.forget()
            task.run.memory.forget()
        return _until_done(task, generate(task, *args, **kwargs))

    return start


def _until_done(task: Task, batches: Iterator[Batch]) -> Iterator[Batch]:
    run, name, metrics = task.run, task.endpoint.name, task.metrics
    # where dlt, and any other program, looks for the counts
    published, started = dlt.current.resource_metrics(), monotonic()
    metrics.unfinished = True
    try:
        while True:
            # one resource works at a time: they learn from one another, also where `parallelize()` gives each a thread
            with run.turn:
                batch = next(batches)
            published.update(vars(metrics))
            if batch is None:
                run.memory.close(IDLE_SECONDS)
            yield batch
    except StopIteration:
        pass
    except ResourceLost as error:
        # the other resources go on; a feed that failed has not moved its watermark
        metrics.note_failure("", str(error))
        metrics.refused = isinstance(error, PlanLacksFeature)
        run.package.left.pop(name, None)
    except GeneratorExit:
        # whoever stops reading one resource may go on with the others
        raise
    except BaseException:
        # one failure ends the run: nobody waits on for the budget, and the warehouse is left to others
        run.client.close()
        run.walks.close()
        run.memory.close()
        raise
    finally:
        run.package.running.discard(name)
        if not run.package.running:
            run.memory.end_package()
        metrics.seconds += monotonic() - started
        metrics.unfinished = name in run.package.left
        published.update(vars(metrics))
