"""The models as others use them: the README's queries, and a dbt project of their own on top."""

from __future__ import annotations

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
from tests.support.warehouse import MOSTLY_DUCKDB, Warehouse

README = Path(__file__).parents[2] / "README.md"
SQL = Path(__file__).parents[2] / "sql"


def examples() -> list[tuple[str, str, str]]:
    """Each mart, the query that the README gives as an example, and its answer."""
    rows = [
        line.split(" | ") for line in README.read_text(encoding="utf-8").splitlines() if line.startswith("| `wistia__")
    ]
    return [(row[0].strip("| `"), row[3].strip("`"), row[4].rstrip(" |")) for row in rows]


@pytest.mark.slow
def test_the_examples_of_the_readme_give_what_it_says(duckdb_warehouse: Warehouse, living: Sandbox) -> None:
    load_first(duckdb_warehouse, living)
    assert sorted(mart for mart, *_ in examples()) == list(GRAINS)
    with closing(duckdb_warehouse.connect()) as connection:
        for mart, query, answer in examples():
            assert f"wistia.{mart}" in query
            rows = connection.execute(query).fetchall()
            assert [", ".join(map(str, row)) for row in rows] == [answer], query


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
