"""What every resource does with its batches: types and counts them, declares their table, says when it is done."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from datetime import date, datetime
from functools import wraps
from time import monotonic
from typing import Any, ParamSpec

import dlt
import pyarrow as pa

from .client import Row, Tally
from .endpoints import Endpoint
from .errors import PlanLacksFeature, ResourceLost
from .rows import LOAD_ID, all_columns, to_table, with_key
from .run import Run
from .warehouse import Held

Batch = pa.Table | None
"""Rows for dlt, or None: nothing yet, let other resources go on."""
P = ParamSpec("P")


def tracked(generate: Callable[P, Iterator[Batch]]) -> Callable[P, Iterator[Batch]]:
    """Marks a resource as running from when dlt makes its generator, so before any of them is iterated."""

    @wraps(generate)
    def start(*args: P.args, **kwargs: P.kwargs) -> Iterator[Batch]:
        run, endpoint = args[:2]
        assert isinstance(run, Run)
        assert isinstance(endpoint, Endpoint)
        run.begin(endpoint)
        return until_done(run, endpoint, generate(*args, **kwargs))

    def until_done(run: Run, endpoint: Endpoint, batches: Iterator[Batch]) -> Iterator[Batch]:
        tally, started = dlt.current.resource_metrics(), monotonic()
        tally["unfinished"] = True
        try:
            for batch in batches:
                if batch is None:
                    run.idle()
                yield batch
        except ResourceLost as error:
            # the other resources go on; a feed that failed has not moved its watermark
            note_failure(tally, "", str(error))
            tally["refused"] = isinstance(error, PlanLacksFeature)
            run.left.pop(endpoint.name, None)
        except GeneratorExit:
            # whoever stops reading one resource may go on with the others
            raise
        except BaseException:
            run.stop()
            raise
        finally:
            run.finish(endpoint)
            tally["seconds"] = tally.get("seconds", 0.0) + monotonic() - started
            tally["unfinished"] = endpoint.name in run.left

    return start


def note_failure(tally: Tally, parent_id: str, error: str) -> None:
    """Puts a failure into the resource's metrics: of one parent, or of all of it where that is empty."""
    tally.setdefault("failures", []).append({"parent_id": parent_id, "error": error})


def declare_table(run: Run, endpoint: Endpoint) -> None:
    """Puts the table into the schema, so that it can be made even if nothing is found to load.

    Not `dlt.mark.materialize_table_schema()`: its empty file stops every load into Postgres.
    """
    if not run.warehouse.holds(endpoint.name):
        table = dlt.current.resource().compute_table_schema()
        if dlt.config.get("normalize.parquet_normalizer.add_dlt_load_id", bool):
            # dlt would add it to Arrow batches when the first one comes
            table["columns"][LOAD_ID] = {"name": LOAD_ID, "data_type": "text", "nullable": False}
        dlt.current.source_schema().update_table(table)


def typed(endpoint: Endpoint, rows: Sequence[Row], account_id: str, tally: Tally) -> pa.Table:
    """The rows as `to_table` makes them, without those that lack a part of their key; these are counted."""
    keyed = with_key(endpoint, rows)
    if len(keyed) < len(rows):
        tally["left_out"] = tally.get("left_out", 0) + len(rows) - len(keyed)
    return to_table(endpoint, keyed, account_id)


def asked_for(tally: Tally, begin: datetime | date, end: datetime | date) -> None:
    """Notes in the resource's metrics what stretch of time was asked for: moments, or days with both ends."""
    tally["asked_from"] = min(begin.isoformat(), tally.get("asked_from", begin.isoformat()))
    tally["asked_to"] = max(end.isoformat(), tally.get("asked_to", end.isoformat()))


def count_restated(
    run: Run, endpoint: Endpoint, fresh: pa.Table, held: Held, read_before: Callable[[str], tuple[Any, Any] | None]
) -> None:
    """Counts the rows behind the watermark that are new or have changed.

    `read_before` says for a parent from when on, and before when, its rows were read by earlier runs.
    """
    parents: list[Any] = fresh[endpoint.primary_key[0]].unique().to_pylist() if endpoint.parent else [""]
    read = {parent: bounds for parent in parents if (bounds := read_before(parent))}
    if not read:
        return
    names = (*endpoint.primary_key, endpoint.cursor or "")
    for *key, at in zip(*(fresh[name].to_pylist() for name in names), strict=True):
        bounds = read.get(key[0] if endpoint.parent else "")
        if bounds and at is not None and bounds[0] <= at < bounds[1]:
            run.restated(endpoint, at, tuple(key) not in held.hashes)


def counted(run: Run, endpoint: Endpoint, table: pa.Table, tally: Tally) -> Batch:
    """The batch, its rows counted and its undeclared fields named in the resource's metrics."""
    tally["rows"] = tally.get("rows", 0) + table.num_rows
    run.package_rows += table.num_rows
    known = run.warehouse.columns(endpoint.name).union(column.name for column in all_columns(endpoint))
    new = [name for name in table.column_names if name not in known]
    if new and table.num_rows:
        tally["new_fields"] = sorted({*new, *tally.get("new_fields", ())})
    return filled(table)


def filled(table: pa.Table) -> pa.Table | None:
    """The table, or None where it is empty: an empty file would make work, and stop a load into Postgres."""
    return table if table.num_rows else None
