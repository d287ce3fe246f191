"""Does for every resource what all of them do: follows its run, types and counts its rows, declares its table."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from functools import wraps
from time import monotonic
from typing import Concatenate, ParamSpec

import dlt
import pyarrow as pa

from .client import Params
from .endpoints import BY_NAME, Endpoint, Row
from .errors import PlanLacksFeature, ResourceLost
from .load_package import Pause
from .metrics import Metrics
from .rows import LOAD_ID, all_columns, to_table, with_key
from .run import Run

Batch = pa.Table | None
"""Rows for dlt, or None: nothing yet, let other resources go on."""
P = ParamSpec("P")


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

    def wait_for_the_others(self) -> Pause:
        """Waits for what other resources tell, as the table of endpoints declares."""
        return self.run.package.wait(self.endpoint.after, "told")

    def wait_for_estimates(self) -> Pause:
        """A backfill makes no request of its own before all its resources know how many it will take."""
        return self.run.package.wait(BY_NAME if self.run.backfill else (), "estimated")

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
        if not self.run.memory.warehouse.holds(self.endpoint.name):
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
        self.metrics.rows += table.num_rows
        self.run.package.rows += table.num_rows
        held = self.run.memory.warehouse.columns(self.endpoint.name)
        known = held.union(column.name for column in all_columns(self.endpoint))
        new = [name for name in table.column_names if name not in known]
        if new and table.num_rows:
            self.metrics.new_fields = sorted({*new, *self.metrics.new_fields})
        return filled(table)


def filled(table: pa.Table) -> Batch:
    """The table, or None where it is empty: an empty file would make work, and stop a load into Postgres."""
    return table if table.num_rows else None


def tracked(
    generate: Callable[Concatenate[Task, P], Iterator[Batch]],
) -> Callable[Concatenate[Task, P], Iterator[Batch]]:
    """Marks a resource as running from when dlt makes its generator, so before any of them is iterated."""

    @wraps(generate)
    def start(task: Task, /, *args: P.args, **kwargs: P.kwargs) -> Iterator[Batch]:
        task.run.begin(task.endpoint)
        return _until_done(task, generate(task, *args, **kwargs))

    return start


def _until_done(task: Task, batches: Iterator[Batch]) -> Iterator[Batch]:
    run, endpoint, metrics = task.run, task.endpoint, task.metrics
    published, started = dlt.current.resource_metrics(), monotonic()
    metrics.unfinished = True
    try:
        for batch in _in_turns(run, batches):
            metrics.publish(published)
            if batch is None:
                # an open DuckDB file shuts out its readers
                run.memory.close_when_idle()
            yield batch
    except ResourceLost as error:
        # the other resources go on; a feed that failed has not moved its watermark
        metrics.note_failure("", str(error))
        metrics.refused = isinstance(error, PlanLacksFeature)
        run.package.left.pop(endpoint.name, None)
    except GeneratorExit:
        # whoever stops reading one resource may go on with the others
        raise
    except BaseException:
        run.stop()
        raise
    finally:
        run.end(endpoint)
        metrics.seconds += monotonic() - started
        metrics.unfinished = endpoint.name in run.package.left
        metrics.publish(published)


def _in_turns(run: Run, batches: Iterator[Batch]) -> Iterator[Batch]:
    while True:
        with run.turn:
            try:
                batch = next(batches)
            except StopIteration:
                return
        yield batch
