"""Loads into DuckDB: what a merge leaves, and that little memory is enough for it."""

from __future__ import annotations

from copy import deepcopy
from pathlib import Path
from typing import Any

import dlt
import pytest
from dlt.pipeline.exceptions import PipelineStepFailed
from wistia_pipeline.sandbox import Sandbox
from wistia_pipeline.warehouses.duckdb import loads as duckdb_loads
from wistia_pipeline.warehouses.duckdb.file import DuckDBFile

from tests.support.sandbox import settings_for
from tests.support.warehouse import Warehouse


def load(warehouse: Warehouse, rows: list[dict[str, Any]]) -> None:
    """Merges rows as one load package."""
    warehouse.pipeline().run(
        rows, table_name="things", primary_key=["a", "b"], write_disposition="merge", loader_file_format="parquet"
    )


def held(warehouse: Warehouse) -> list[tuple[Any, ...]]:
    """What the table holds."""
    return sorted((row["a"], row["b"], row["value"]) for row in warehouse.rows("things"))


def test_of_a_key_that_comes_twice_the_last_row_stays(duckdb_warehouse: Warehouse) -> None:
    load(duckdb_warehouse, [{"a": 1, "b": n % 5, "value": n} for n in range(20_000)])
    assert held(duckdb_warehouse) == [(1, b, 19_995 + b) for b in range(5)]


def test_a_merge_replaces_rows_of_the_same_key_and_no_others(duckdb_warehouse: Warehouse) -> None:
    load(duckdb_warehouse, [{"a": a, "b": b, "value": 0} for a in range(10) for b in range(10)])
    load(duckdb_warehouse, [{"a": 3, "b": b, "value": 1} for b in (2, 4, 10)])
    expected = {(a, b): 0 for a in range(10) for b in range(10)} | {(3, 2): 1, (3, 4): 1, (3, 10): 1}
    assert held(duckdb_warehouse) == sorted((*key, value) for key, value in expected.items())


@pytest.mark.slow
def test_a_load_for_which_little_memory_is_not_enough_takes_more(
    duckdb_warehouse: Warehouse, sandbox: Sandbox, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(duckdb_loads.FRUGAL, "memory_limit", "8MB")
    result = duckdb_warehouse.sync(settings_for(sandbox), ("events",))
    assert not duckdb_warehouse.destination.frugal
    assert len(duckdb_warehouse.rows("events")) == result.resources["events"]["rows"] > 0


def test_memory_is_not_blamed_for_what_else_goes_wrong(
    duckdb_warehouse: Warehouse, monkeypatch: pytest.MonkeyPatch
) -> None:
    attempts: list[str] = []

    def fail(pipeline: dlt.Pipeline) -> None:
        attempts.append(pipeline.pipeline_name)
        raise PipelineStepFailed(pipeline, "load", "1", ValueError("the disk is full"))

    monkeypatch.setattr(dlt.Pipeline, "load", fail)
    with pytest.raises(PipelineStepFailed, match="disk is full"):
        DuckDBFile(duckdb_warehouse.pipeline()).load()
    assert len(attempts) == 1
    assert duckdb_warehouse.destination.frugal


def test_pipelines_that_share_a_destination_have_settings_of_their_own(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    destination = duckdb_loads.duckdb()
    for name in ("one", "two"):
        monkeypatch.setenv(f"{name.upper()}__DESTINATION__DUCKDB__CREDENTIALS", str(tmp_path / f"{name}.duckdb"))
    pipelines = [dlt.pipeline(name, destination=destination, dataset_name="same") for name in ("one", "two")]
    for pipeline in (*pipelines, *pipelines):
        pipeline.activate()
        assert Path(pipeline.sql_client().credentials.database).stem == pipeline.pipeline_name
    # dlt copies it where it drops a pipeline
    assert deepcopy(destination).config_params == destination.config_params
