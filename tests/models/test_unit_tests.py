"""The unit tests of the models: they hold, and none is missing."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
import yaml
from wistia_pipeline.models.dbt import run_dbt
from wistia_pipeline.sandbox import Sandbox

from tests.support.mart_rows import ACCOUNT as ACCOUNT
from tests.support.mart_rows import load_first
from tests.support.warehouse import MOSTLY_DUCKDB, Warehouse

SQL = Path(__file__).parents[2] / "sql"
PICKS_COLUMNS = re.compile(r"select\n(    \w+,?\n)+from .+\n")
"""A view of some columns of another model: there is nothing in it to test."""


@pytest.mark.slow
@MOSTLY_DUCKDB
def test_unit_tests_of_the_models_hold(warehouse: Warehouse, living: Sandbox) -> None:
    load_first(warehouse, living)
    command = ["test", "--select", "test_type:unit"]
    results = run_dbt(warehouse.pipeline(), command, variables={"wistia_unit_tests": True}).result
    assert len(results) == len(unit_tests())
    assert [(node.node.name, node.status, node.message) for node in results if node.status != "pass"] == []


def unit_tests() -> list[tuple[str, bool | None]]:
    """The model of each unit test, and which branch of an incremental one it runs."""
    return [
        (test["model"], test.get("overrides", {}).get("macros", {}).get("is_incremental"))
        for file in SQL.rglob("unit_tests.yml")
        for test in yaml.safe_load(file.read_text("utf-8"))["unit_tests"]
    ]


def test_every_rollup_and_every_incremental_branch_has_a_unit_test() -> None:
    branches: set[tuple[str, bool | None]] = set()
    for layer in ("intermediate", "marts"):
        for file in (SQL / "models" / layer).glob("*.sql"):
            sql = file.read_text("utf-8")
            if "materialized=wistia.by_part()" in sql:
                branches |= {(file.stem, True), (file.stem, False)}
            elif not PICKS_COLUMNS.fullmatch(sql):
                branches.add((file.stem, None))
    assert branches <= set(unit_tests())
