"""What a build of the models does where something fails, is set otherwise, or belongs to somebody else."""

from __future__ import annotations

import os
from datetime import timedelta

import pytest
from wistia_pipeline.models.build import build_models
from wistia_pipeline.models.dbt import run_dbt
from wistia_pipeline.sandbox import Sandbox
from wistia_pipeline.warehouses.postgres import postgres

from tests.support.mart_rows import ACCOUNT as ACCOUNT
from tests.support.mart_rows import OVERDUE, assert_right, held, load, load_first, marts_of
from tests.support.sandbox import NOW
from tests.support.warehouse import Warehouse, change

HOUR = timedelta(hours=1)


@pytest.mark.slow
def test_a_test_that_fails_is_run_until_it_holds(duckdb_warehouse: Warehouse, living: Sandbox) -> None:
    load_first(duckdb_warehouse, living)
    pipeline = duckdb_warehouse.pipeline()
    shift = "update {raw}.media_stats set play_rate = play_rate {by}"
    change(duckdb_warehouse, OVERDUE, shift.replace("{by}", "- 9"))
    for _ in range(2):
        (failure,) = build_models(pipeline).failures
        assert failure["name"] == "wistia__media_performance_ranges"
    change(duckdb_warehouse, shift.replace("{by}", "+ 9"))
    assert build_models(pipeline).failures == []
    assert build_models(pipeline).tests < 20


@pytest.mark.deep
def test_what_the_environment_holds_for_other_dbt_projects_is_theirs(
    duckdb_warehouse: Warehouse, living: Sandbox, monkeypatch: pytest.MonkeyPatch
) -> None:
    load_first(duckdb_warehouse, living)
    for name, value in {"TARGET": "prod", "PROFILE": "mine", "FULL_REFRESH": "1", "PROJECT_DIR": "/nowhere"}.items():
        monkeypatch.setenv(f"DBT_{name}", value)
    load(duckdb_warehouse, living, NOW + HOUR)
    assert_right(duckdb_warehouse, marts_of(living, NOW + HOUR))
    assert os.environ["DBT_TARGET"] == "prod"


@pytest.mark.parametrize(
    ("name", "value", "sentence"),
    [
        (
            "timezone",
            "Mars/Base",
            "The models' timezone is 'Mars/Base', which is none; set one such as",
        ),
        ("lead_fraction", "most", "The setting wistia_pipeline.models.lead_fraction must be a number; correct it"),
    ],
)
def test_settings_that_cannot_be_are_named(
    duckdb_warehouse: Warehouse, monkeypatch: pytest.MonkeyPatch, name: str, value: str, sentence: str
) -> None:
    monkeypatch.setenv(f"WISTIA_PIPELINE__MODELS__{name.upper()}", value)
    (failure,) = build_models(duckdb_warehouse.pipeline()).failures
    assert failure["error"].startswith(sentence)


def test_settings_that_are_not_there_are_named(duckdb_warehouse: Warehouse, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("WISTIA_PIPELINE__MODELS", '{"timezon": "UTC"}')
    (failure,) = build_models(duckdb_warehouse.pipeline()).failures
    assert failure["error"].startswith("The models have no setting timezon; they have timezone, completed_fraction")


@pytest.mark.slow
def test_views_that_users_have_built_on_ours_stay(postgres_warehouse: Warehouse, living: Sandbox) -> None:
    load_first(postgres_warehouse, living)
    change(postgres_warehouse, "create view {marts}.mine as select count(*) as leads from {marts}.wistia__leads")
    assert load(postgres_warehouse, living, NOW + HOUR).built == 8
    with postgres_warehouse.pipeline().sql_client() as client:
        ((count,),) = client.execute_sql(f"select leads from {postgres_warehouse.marts}.mine") or ((None,),)
    assert count == len(held(postgres_warehouse, "wistia__leads"))


@pytest.mark.slow
def test_marts_that_were_tables_become_views(warehouse: Warehouse, living: Sandbox) -> None:
    """Earlier builds kept sessions and audiences in the marts themselves, with the columns that builds need."""
    load_first(warehouse, living)
    for mart, table in {"sessions": "sessions", "audience_daily": "audience_days"}.items():
        change(
            warehouse,
            f"drop view {{marts}}.wistia__{mart} cascade",
            f"create table {{marts}}.wistia__{mart} as select * from {{marts}}_intermediate.int_wistia__{table}",
            f"drop table {{marts}}_intermediate.int_wistia__{table} cascade",
        )
    change(
        warehouse,
        "drop view if exists {marts}.wistia__activity",
        "create view {marts}.wistia__activity as select event_key, batch from {marts}.wistia__sessions",
    )
    load(warehouse, living, NOW + HOUR)
    assert_right(warehouse, marts_of(living, NOW + HOUR))
    assert load(warehouse, living, NOW + 2 * HOUR).built == 8
    assert_right(warehouse, marts_of(living, NOW + 2 * HOUR))
    tables = "select table_name from information_schema.tables where table_schema = '{}' and table_type = 'BASE TABLE'"
    with warehouse.cursor() as cursor:
        cursor.execute(tables.format(warehouse.marts))
        assert cursor.fetchall() == []


@pytest.mark.slow
def test_what_the_url_of_postgres_asks_for_holds_for_the_models(postgres_warehouse: Warehouse, living: Sandbox) -> None:
    load_first(postgres_warehouse, living)
    postgres_warehouse.destination = postgres(
        f"{postgres_warehouse.address}?sslmode=disable&application_name=hourly&connect_timeout=7"
    )
    shown = run_dbt(
        postgres_warehouse.pipeline(), ["show", "--inline", "select current_setting('application_name') as name"]
    )
    assert shown.result.results[0].agate_table.rows[0]["name"] == "hourly"
