"""The models as others use them: the queries of the documentation, and a dbt project of their own on top."""

from __future__ import annotations

import re
import shutil
from contextlib import closing
from pathlib import Path

import pytest
from dbt.cli.main import dbtRunner
from wistia_pipeline.models.dbt import run_dbt
from wistia_pipeline.sandbox import Sandbox

from tests.support.loaded import load_once
from tests.support.mart_rows import ACCOUNT as ACCOUNT
from tests.support.mart_rows import GRAINS, START, load_first, marts_of
from tests.support.pages import blocks
from tests.support.warehouse import MOSTLY_DUCKDB, Warehouse

SQL = Path(__file__).parents[2] / "sql"


@pytest.mark.slow
def test_the_queries_of_the_pages_give_what_they_say(duckdb_warehouse: Warehouse, living: Sandbox) -> None:
    load_first(duckdb_warehouse, living)
    queries = [block.text for block in blocks("sql") if not block.why_not]
    answered = [query.rpartition("-- ") for query in queries if "\n-- " in query]
    assert sorted(re.findall(r"from wistia\.(\w+)", str(answered))) == list(GRAINS)
    with closing(duckdb_warehouse.connect()) as connection:
        for query in queries:
            connection.execute(query)
        for query, _, answer in answered:
            rows = connection.execute(query).fetchall()
            assert [", ".join(map(str, row)) for row in rows] == [answer.rstrip("\n")], query


@pytest.mark.slow
@MOSTLY_DUCKDB
@pytest.mark.parametrize(
    "commands",
    # what many a CI does first, and then a build
    [[["build"]], pytest.param([["build", "--empty"], ["build"]], marks=pytest.mark.deep)],
    ids=["at once", "after an empty one"],
)
def test_another_dbt_project_builds_on_the_package(
    warehouse: Warehouse, living: Sandbox, tmp_path: Path, commands: list[list[str]]
) -> None:
    load_once(warehouse, living, start_date=START)
    package = tmp_path / "package"
    shutil.copytree(SQL, package, ignore=shutil.ignore_patterns("dbt_packages", "package-lock.yml"))
    project = package / "integration_tests"
    assert dbtRunner().invoke(["--quiet", "deps", "--project-dir", str(project), "--profiles-dir", str(SQL)]).success
    for command in commands:
        results = run_dbt(warehouse.pipeline(), command, project=project, variables={}).result
        assert [node.message for node in results if node.status not in ("success", "pass")] == []
    with closing(warehouse.connect()) as connection, closing(connection.cursor()) as cursor:
        cursor.execute(f"select date, session_count from {warehouse.marts}.best_days order by watched_hours desc, date")
        found = cursor.fetchall()
    days = marts_of(living, zone="America/New_York").wistia__account_daily()
    best = sorted(days, key=lambda key: (-days[key]["watched_hours"], key))[:3]
    assert found == [(day, days[day,]["session_count"]) for (day,) in best]
