"""The SQL models: every mart equals what can be computed from the API's rows without them, on both databases."""

from __future__ import annotations

import os
import shutil
from contextlib import closing
from datetime import timedelta
from pathlib import Path
from typing import Any

import dlt
import duckdb
import pytest
import yaml
from dbt.cli.main import dbtRunner
from wistia_pipeline import models
from wistia_pipeline.destinations.duckdb_loads import duckdb as duckdb_file
from wistia_pipeline.models import build_models, run_dbt
from wistia_pipeline.sandbox import Account, Fault, Sandbox

from tests.support.mart_rows import ACCOUNT as ACCOUNT
from tests.support.mart_rows import GRAINS, START, assert_right, differences, held, load, marts_of
from tests.support.sandbox import NOW, settings_for
from tests.support.warehouse import Warehouse

README = Path(__file__).parents[2] / "README.md"
SQL = Path(__file__).parents[2] / "sql"
HOUR, DAY = timedelta(hours=1), timedelta(days=1)
OVERDUE = "update {raw}._models_built_from set tested_at = now() - interval '1 day'"
"""All data tests are due again."""


def change(warehouse: Warehouse, *statements: str) -> None:
    """Changes what was loaded or built, as neither the API nor a build would."""
    with warehouse.pipeline().sql_client() as client:
        for statement in statements:
            client.execute_sql(statement.format(raw=warehouse.dataset, marts=warehouse.marts))


def test_every_mart_holds_what_the_account_shows(warehouse: Warehouse, living: Sandbox) -> None:
    load(warehouse, living)
    assert_right(warehouse, marts_of(living))
    # and after an hour with all that can happen
    view = living.account.at(NOW)
    medias, events = view.medias(), view.events()
    living.account.add_late_event(medias[0]["hashed_id"], NOW - 40 * DAY, percent_viewed=0.95)
    living.account.restate_event(events[3]["event_key"], percent_viewed=1.0)
    living.account.restate_event(events[90]["event_key"], percent_viewed=0.05, email="late@example.com")
    load(warehouse, living, NOW + HOUR, events_lookback_hours=2400, visitors_lookback_hours=2400)
    assert_right(warehouse, marts_of(living, NOW + HOUR))


@pytest.mark.slow
def test_a_build_of_rows_that_are_built_already_changes_no_mart(warehouse: Warehouse, living: Sandbox) -> None:
    load(warehouse, living)
    media = living.account.at(NOW).medias()[0]["hashed_id"]
    living.account.add_late_event(media, NOW - 40 * DAY, percent_viewed=0.95)
    load(warehouse, living, NOW + HOUR, events_lookback_hours=2400, visitors_lookback_hours=2400)
    assert build_models(warehouse.pipeline()).failures == []
    assert_right(warehouse, marts_of(living, NOW + HOUR))


@pytest.mark.slow
@pytest.mark.parametrize("account", ["no events", "no projects", "nothing at all"])
def test_an_account_that_lacks_something_builds_all_models(warehouse: Warehouse, account: str) -> None:
    sizes: dict[str, Any] = {
        "no events": {"medias": 3, "projects": 1, "visitors": 1, "events": 0},
        "no projects": {"medias": 3, "projects": 1, "visitors": 5, "events": 20},
        "nothing at all": {"medias": 0, "projects": 1, "visitors": 1, "events": 0},
    }[account]
    with Sandbox(Account(seed=2, start=NOW, days=20, hourly_events=0, **sizes), rate_limit=None) as server:
        for path in {"no projects": ["projects"], "nothing at all": ["projects", "stats/visitors"]}.get(account, []):
            server.faults.add(Fault(rf"{path}\.json", status=200, body="[]", times=None))
        load(warehouse, server)
    assert len(held(warehouse, "wistia__account_daily")) > 0
    for mart in GRAINS:
        held(warehouse, mart)


@pytest.mark.slow
def test_a_selection_of_resources_builds_all_models(warehouse: Warehouse, living: Sandbox) -> None:
    result = warehouse.sync(settings_for(living, start_date=START), ["events"], models=True)
    assert result.status == "ok"
    assert len(held(warehouse, "wistia__sessions")) == len(living.account.at(NOW).events())
    assert held(warehouse, "wistia__media_performance")
    assert held(warehouse, "wistia__transcripts") == {}
    # what is loaded later fits into the tables that were made for the models
    load(warehouse, living)
    assert_right(warehouse, marts_of(living))


@pytest.mark.slow
def test_what_fails_is_named_and_costs_the_data_nothing(warehouse: Warehouse, living: Sandbox) -> None:
    load(warehouse, living)
    change(
        warehouse,
        # a row that no model can explain, and a table that is no longer what it was
        "insert into {marts}_intermediate.int_wistia__viewers (account_id, viewer_key, session_count) "
        "values ('x', 'nobody', -1)",
        "alter table {marts}.wistia__audience_daily alter column date type integer using 1",
        OVERDUE,
    )
    result = warehouse.sync(settings_for(living, NOW + HOUR, start_date=START), models=True)
    assert result.models
    assert result.status == "partial"
    failed = {failure["name"]: failure["kind"] for failure in result.models.failures}
    assert failed.pop("wistia__audience_daily") == "model"
    assert "assert_rollups_agree" in result.models.skipped
    assert any(name.startswith("wistia__viewers_") for name in failed), failed
    assert set(failed.values()) == {"test"}
    (row,) = [
        row for row in warehouse.rows("sync_runs") if (row["run_id"], row["resource"]) == (result.run_id, "models")
    ]
    assert (row["status"], row["failures"]) == ("partial", len(failed) + 1)
    assert "wistia__audience_daily" in row["error"]
    assert len(warehouse.rows("events")) == len(living.account.at(NOW + HOUR).events())


@pytest.mark.slow
def test_a_test_that_fails_is_run_until_it_holds(duckdb_warehouse: Warehouse, living: Sandbox) -> None:
    load(duckdb_warehouse, living)
    pipeline = duckdb_warehouse.pipeline()
    shift = "update {raw}.media_stats set play_rate = play_rate {by}"
    change(duckdb_warehouse, OVERDUE, shift.replace("{by}", "- 9"))
    for _ in range(2):
        (failure,) = build_models(pipeline).failures
        assert failure["name"] == "wistia__media_performance_ranges"
    change(duckdb_warehouse, shift.replace("{by}", "+ 9"))
    assert build_models(pipeline).failures == []
    assert build_models(pipeline).tests < 20


@pytest.mark.slow
def test_what_hourly_builds_cannot_see_is_mended_once_a_day(duckdb_warehouse: Warehouse, living: Sandbox) -> None:
    load(duckdb_warehouse, living)
    # somebody is erased while others watch
    change(
        duckdb_warehouse,
        "delete from {raw}.events where visitor_key = (select max(visitor_key) from {raw}.events)",
        OVERDUE,
    )
    built = load(duckdb_warehouse, living, NOW + HOUR).built
    assert built > 30
    assert len(held(duckdb_warehouse, "wistia__sessions")) == len(duckdb_warehouse.rows("events"))


@pytest.mark.slow
def test_what_the_environment_holds_for_other_dbt_projects_is_theirs(
    duckdb_warehouse: Warehouse, living: Sandbox, monkeypatch: pytest.MonkeyPatch
) -> None:
    load(duckdb_warehouse, living)
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
@pytest.mark.timeout(600)
def test_sessions_that_move_or_go_leave_nothing_behind_and_databases_agree(
    duckdb_warehouse: Warehouse, postgres_warehouse: Warehouse, living: Sandbox
) -> None:
    both = (duckdb_warehouse, postgres_warehouse)

    def assert_same_and_as_if_built_anew() -> None:
        hourly = [{mart: held(warehouse, mart) for mart in GRAINS} for warehouse in both]
        assert all(build_models(warehouse.pipeline(), full_refresh=True).failures == [] for warehouse in both)
        anew = [{mart: held(warehouse, mart) for mart in GRAINS} for warehouse in both]
        for found, wanted in ((hourly[0], anew[0]), (hourly[1], anew[1]), (anew[0], anew[1])):
            wrong = [line for mart in GRAINS for line in differences(mart, found[mart], wanted[mart])]
            assert not wrong, "\n".join(wrong)

    for warehouse in both:
        load(warehouse, living)
    assert_same_and_as_if_built_anew()
    # all sessions of one day, which others may have on their own, and one that is no longer timed
    day = sorted(row["session_date"] for row in held(duckdb_warehouse, "wistia__sessions").values())[300]
    for warehouse in both:
        change(
            warehouse,
            "update {raw}.events set received_at = received_at - interval '40 days', _dlt_load_id = 'moved' "
            f"where cast(received_at at time zone 'UTC' as date) = '{day}'",
            "update {raw}.events set received_at = null, _dlt_load_id = 'moved' "
            "where event_key = (select min(event_key) from {raw}.events)",
            "insert into {raw}._dlt_loads select 'moved', schema_name, 0, inserted_at, schema_version_hash "
            "from {raw}._dlt_loads limit 1",
        )
        assert build_models(warehouse.pipeline()).built == 8
    assert (day,) not in held(duckdb_warehouse, "wistia__audience_daily")
    assert_same_and_as_if_built_anew()
    # a visitor who was erased is seen when all tests are due
    for warehouse in both:
        change(
            warehouse,
            "delete from {raw}.events where visitor_key = (select max(visitor_key) from {raw}.events)",
            OVERDUE,
        )
        assert build_models(warehouse.pipeline()).failures == []
    assert len(held(duckdb_warehouse, "wistia__sessions")) == len(duckdb_warehouse.rows("events"))
    assert_same_and_as_if_built_anew()


@pytest.mark.slow
def test_a_warehouse_file_may_be_called_otherwise(duckdb_warehouse: Warehouse, living: Sandbox, tmp_path: Path) -> None:
    load(duckdb_warehouse, living)
    with duckdb_warehouse.pipeline().sql_client() as client:
        file = Path(client.credentials.database)
    for name in ("copy.duckdb", "wistia.duckdb"):
        copy = tmp_path / name
        shutil.copy(file, copy)
        with closing(duckdb.connect()) as connection:
            connection.execute(f"attach '{copy}' as mine (read_only)")
            counts = connection.execute("select count(*) from mine.wistia.wistia__leads").fetchone()
            assert counts == (len(held(duckdb_warehouse, "wistia__leads")),)
        duckdb_warehouse.destination = duckdb_file(str(copy))
        assert build_models(duckdb_warehouse.pipeline()).failures == []


@pytest.mark.slow
def test_views_that_users_have_built_on_ours_stay(postgres_warehouse: Warehouse, living: Sandbox) -> None:
    load(postgres_warehouse, living)
    change(postgres_warehouse, "create view {marts}.mine as select count(*) as leads from {marts}.wistia__leads")
    assert load(postgres_warehouse, living, NOW + HOUR).built == 8
    with postgres_warehouse.pipeline().sql_client() as client:
        ((count,),) = client.execute_sql(f"select leads from {postgres_warehouse.marts}.mine") or ((None,),)
    assert count == len(held(postgres_warehouse, "wistia__leads"))


@pytest.mark.slow
def test_what_the_url_of_postgres_asks_for_holds_for_the_models(postgres_warehouse: Warehouse, living: Sandbox) -> None:
    load(postgres_warehouse, living)
    postgres_warehouse.destination = dlt.destinations.postgres(
        f"{postgres_warehouse.address}?sslmode=disable&application_name=hourly&connect_timeout=7"
    )
    shown = run_dbt(
        postgres_warehouse.pipeline(), ["show", "--inline", "select current_setting('application_name') as name"]
    )
    assert shown.result.results[0].agate_table.rows[0]["name"] == "hourly"


@pytest.mark.slow
def test_a_change_of_the_vars_builds_all_anew(
    duckdb_warehouse: Warehouse, living: Sandbox, monkeypatch: pytest.MonkeyPatch
) -> None:
    load(duckdb_warehouse, living)
    monkeypatch.setenv("WISTIA_PIPELINE__MODELS__TIMEZONE", "Asia/Tokyo")
    assert load(duckdb_warehouse, living).built > 30
    assert_right(duckdb_warehouse, marts_of(living, zone="Asia/Tokyo"))


@pytest.mark.slow
def test_dropped_models_are_built_again(duckdb_warehouse: Warehouse, living: Sandbox) -> None:
    load(duckdb_warehouse, living)
    change(
        duckdb_warehouse,
        "drop view {marts}.wistia__leads",
        "drop table {marts}_intermediate.int_wistia__medias",
        "update {raw}.medias set duration = duration * 2",
    )
    assert build_models(duckdb_warehouse.pipeline()).failures == []
    found = {mart: held(duckdb_warehouse, mart) for mart in GRAINS}
    assert build_models(duckdb_warehouse.pipeline(), full_refresh=True).failures == []
    for mart in GRAINS:
        assert differences(mart, found[mart], held(duckdb_warehouse, mart)) == []


@pytest.mark.slow
def test_unit_tests_of_the_models_hold(warehouse: Warehouse, living: Sandbox, monkeypatch: pytest.MonkeyPatch) -> None:
    load(warehouse, living)
    monkeypatch.setattr(models, "_vars", lambda: {"wistia_unit_tests": True})
    results = run_dbt(warehouse.pipeline(), ["test", "--select", "test_type:unit"]).result
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
            is_incremental = "materialized=wistia.by_part()" in file.read_text("utf-8")
            branches |= {(file.stem, True), (file.stem, False)} if is_incremental else {(file.stem, None)}
    assert branches <= set(unit_tests())


def examples() -> list[tuple[str, str, str]]:
    """Each mart, the query that the README gives as an example, and its answer."""
    rows = [
        line.split(" | ") for line in README.read_text(encoding="utf-8").splitlines() if line.startswith("| `wistia__")
    ]
    return [(row[0].strip("| `"), row[3].strip("`"), row[4].rstrip(" |")) for row in rows]


@pytest.mark.slow
def test_the_examples_of_the_readme_give_what_it_says(duckdb_warehouse: Warehouse, living: Sandbox) -> None:
    load(duckdb_warehouse, living)
    assert [mart for mart, *_ in examples()] == list(GRAINS)
    with closing(duckdb_warehouse.connect()) as connection:
        for mart, query, answer in examples():
            assert f"wistia.{mart}" in query
            rows = connection.execute(query).fetchall()
            assert [", ".join(map(str, row)) for row in rows] == [answer], query


@pytest.mark.slow
def test_another_dbt_project_builds_on_the_package(
    warehouse: Warehouse, living: Sandbox, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    warehouse.sync(settings_for(living, start_date=START))
    package = tmp_path / "package"
    shutil.copytree(SQL, package, ignore=shutil.ignore_patterns("dbt_packages", "package-lock.yml"))
    project = package / "integration_tests"
    monkeypatch.setattr(models, "packaged", lambda _: project)
    monkeypatch.setattr(models, "_vars", dict)
    assert dbtRunner().invoke(["--quiet", "deps", "--project-dir", str(project), "--profiles-dir", str(SQL)]).success
    results = run_dbt(warehouse.pipeline(), ["build"]).result
    assert {node.status for node in results} == {"success", "pass"}
    with closing(warehouse.connect()) as connection, closing(connection.cursor()) as cursor:
        cursor.execute(f"select date, session_count from {warehouse.marts}.best_days order by watched_hours desc, date")
        found = cursor.fetchall()
    days = marts_of(living, zone="America/New_York").wistia__account_daily()
    best = sorted(days, key=lambda key: (-days[key]["watched_hours"], key))[:3]
    assert found == [(day, days[day,]["session_count"]) for (day,) in best]
    # what many a CI does first, and what a second build does
    for command in (["build", "--empty"], ["build"]):
        results = run_dbt(warehouse.pipeline(), command).result
        assert [node.message for node in results if node.status not in ("success", "pass")] == []
