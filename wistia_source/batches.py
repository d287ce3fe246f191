"""What every resource does with its batches: counts them, declares their table, says when it is done."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import wraps
from time import monotonic
from typing import ParamSpec

import dlt
import pyarrow as pa

from .client import Tally
from .endpoints import Endpoint
from .errors import RequestFailed, RowUnusable
from .rows import LOAD_ID, all_columns
from .run import Run

ROWS_PER_BATCH = 1_000

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
        run.running.add(endpoint.name)
        return until_done(run, endpoint, generate(*args, **kwargs))

    def until_done(run: Run, endpoint: Endpoint, batches: Iterator[Batch]) -> Iterator[Batch]:
        tally, started = dlt.current.resource_metrics(), monotonic()
        try:
            yield from batches
        except (RequestFailed, RowUnusable) as error:
            # the other resources go on; a feed that failed has not moved its watermark
            note_failure(tally, "", str(error))
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


def counted(run: Run, endpoint: Endpoint, table: pa.Table, tally: Tally) -> Batch:
    """The batch, its rows counted and its undeclared fields named in the resource's metrics."""
    tally["rows"] = tally.get("rows", 0) + table.num_rows
    known = run.warehouse.columns(endpoint.name).union(column.name for column in all_columns(endpoint))
    new = [name for name in table.column_names if name not in known]
    if new and table.num_rows:
        tally["new_fields"] = sorted({*new, *tally.get("new_fields", ())})
    return filled(table)


def filled(table: pa.Table) -> pa.Table | None:
    """The table, or None where it is empty: an empty file would make work, and stop a load into Postgres."""
    return table if table.num_rows else None
