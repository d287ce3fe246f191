"""`status`: how fresh the warehouse is, told by the warehouse alone, and usable as a monitor."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from wistia_pipeline.health.status import WarehouseStatus, status
from wistia_pipeline.models.build import rebuild
from wistia_pipeline.models.marts import mart_names
from wistia_pipeline.sandbox import Account, Fault, Sandbox
from wistia_pipeline.warehouses.reading import reading

from tests.support import mart_rows
from tests.support.commands import loaded_at_now
from tests.support.folder import Folder
from tests.support.run_log import ACCOUNT as ACCOUNT
from tests.support.run_log import HOUR, MINUTE, load_at_now, logged, look, moment, older, shown, sync
from tests.support.sandbox import NOW, START, TOKEN
from tests.support.warehouse import Warehouse, change, in_duckdb
from wistia_source.endpoints import BY_NAME


@pytest.fixture
def loaded(duckdb_warehouse: Warehouse, living: Sandbox) -> Warehouse:
    """A warehouse after one sync at NOW, without models."""
    load_at_now(duckdb_warehouse, living)
    return duckdb_warehouse


@pytest.fixture
def folder(tmp_path: Path, living: Sandbox) -> Folder:
    """A folder with a warehouse after one sync."""
    return loaded_at_now(tmp_path / "user", living)


# numbers


def test_numbers_are_those_of_the_tables(warehouse: Warehouse, living: Sandbox) -> None:
    requests = load_at_now(warehouse, living).requests
    found = look(warehouse)
    assert [row.resource for row in found.resources] == list(BY_NAME)
    held = {row.resource: row for row in found.resources}
    for name, row in held.items():
        assert row.rows == len(warehouse.rows(name)), name
        assert row.account_id == str(living.account.account_id)
        assert row.last_run is not None
        assert (row.last_run["command"], row.last_run["status"], row.last_run["error"]) == ("sync", "ok", None)
        assert row.overdue == 0
        assert row.landed_at is None or abs(row.landed_at - found.checked_at) < HOUR
    for name, column in (
        ("events", "received_at"),
        ("visitors", "last_active_at"),
        ("account_stats_by_date", "date"),
        ("account_stats", "captured_at"),
        ("media_stats_by_date", "date"),
    ):
        assert held[name].cursor == max(row[column] for row in warehouse.rows(name)), name
    asked = [row["refreshed_at"] for row in warehouse.rows("refreshes") if row["endpoint"] == "captions"]
    assert held["captions"].cursor == max(asked)
    assert held["medias"].cursor is None
    ended = max(row["finished_at"] for row in warehouse.rows("sync_runs"))
    assert {row.read_at for row in found.resources} == {found.last_runs[0]["last_ok_at"]} == {ended}
    assert found.fresh
    assert found.age_hours == pytest.approx((found.checked_at - ended) / HOUR, abs=0.001)
    assert found.requests_today == requests
    assert found.last_runs[0]["requests"] == requests
    assert (found.running, found.failures, found.models) == ([], [], None)


@pytest.mark.deep
def test_requests_of_today_are_those_of_all_runs(loaded: Warehouse, living: Sandbox) -> None:
    first = look(loaded).requests_today
    more = sync(loaded, living, select=["account_stats"]).requests
    more += sync(loaded, living, access_token="wrong").requests
    assert more >= 3
    assert look(loaded).requests_today == first + more
    change(loaded, older(24))
    assert look(loaded).requests_today == 0


# the age


def test_the_oldest_resource_decides(loaded: Warehouse) -> None:
    change(loaded, older(2))
    assert look(loaded).fresh
    change(loaded, older(1.5, "resource = 'captions'"))
    found = look(loaded)
    assert not found.fresh
    assert found.age_hours == pytest.approx(3.5 + 1 / 6)
    assert {row.resource for row in found.resources if not row.is_fresh(3)} == {"captions"}
    said = shown(found)
    assert re.search(r"Not fresh: what was read longest ago was 3\.7 h ago, 3 h are allowed \(captions\);", said)
    assert look(loaded, 4).fresh
    assert not look(loaded, 2).fresh


@pytest.mark.slow
def test_what_was_never_selected_is_shown_and_does_not_count(living: Sandbox, duckdb_warehouse: Warehouse) -> None:
    sync(duckdb_warehouse, living, select=["events"])
    change(duckdb_warehouse, "create table {raw}.captions (account_id varchar, _dlt_load_id varchar)")
    change(duckdb_warehouse, f"insert into {{raw}}.captions values ('{living.account.account_id}', '1')")
    found = look(duckdb_warehouse)
    held = {row.resource: row for row in found.resources}
    assert found.fresh
    assert held.keys() == {"events", "captions"}
    assert (held["captions"].rows, held["captions"].age_hours, held["captions"].is_watched) == (1, None, False)
    assert re.search(r"captions .* not selected", shown(found))
    # what was tried and never read counts
    change(duckdb_warehouse, "drop table {raw}.captions")
    living.faults.add(Fault("medias.json", kind="html", times=None))
    assert sync(duckdb_warehouse, living, select=["events", "captions"]).status == "partial"
    found = look(duckdb_warehouse)
    assert (found.fresh, found.age_hours) == (False, None)
    said = shown(found)
    assert "Not fresh: something was never read (captions);" in said
    assert re.search(r"captions .* never", said)


@pytest.mark.slow
def test_a_failed_run_after_a_good_one(loaded: Warehouse, living: Sandbox) -> None:
    before = look(loaded)
    assert sync(loaded, living, access_token="wrong-token").status == "failed"
    found = look(loaded)
    assert found.fresh
    assert [row.read_at for row in found.resources] == [row.read_at for row in before.resources]
    assert {row.last_run["status"] for row in found.resources if row.last_run} == {"failed"}
    assert "does not accept the access token" in found.last_runs[0]["error"]
    assert "Last run: sync failed" in shown(found)
    change(loaded, older(4, "status = 'ok'"))
    assert not look(loaded).fresh


def test_a_killed_run(loaded: Warehouse) -> None:
    began = moment(NOW + 2 * MINUTE)
    change(
        loaded,
        "insert into {raw}.sync_runs (run_id, resource, command, started_at, status) "
        f"values ('x', 'events', 'sync', {began}, 'running'), ('x', 'medias', 'sync', {began}, 'running')",
    )
    found = look(loaded)
    (running,) = found.running
    assert (running["run_id"], running["command"]) == ("x", "sync")
    assert found.fresh
    assert found.last_runs[0]["status"] == "ok"
    assert "Running: sync" in shown(found)
    change(loaded, "update {raw}.sync_runs set status = 'killed' where run_id = 'x'", older(4, "run_id <> 'x'"))
    found = look(loaded)
    assert found.running == []
    assert found.last_runs[0]["status"] == "killed"
    assert not found.fresh


@pytest.mark.slow
def test_refreshes_backfills_and_rebuilds_make_nothing_fresh(loaded: Warehouse, living: Sandbox) -> None:
    change(loaded, older(4))
    key = living.account.at(NOW).visitors()[0]["visitor_key"]
    assert sync(loaded, living, select=["visitors"], visitor_key=key).status == "ok"
    days = {"backfill_start": "2026-06-12", "backfill_end": "2026-06-15"}
    assert sync(loaded, living, select=["events"], **days).status == "ok"
    found = look(loaded)
    held = {row.resource: row for row in found.resources}
    assert not found.fresh
    assert {row.age_hours for row in found.resources} == {found.age_hours}
    commands = {name: (row.last_run or {})["command"] for name, row in held.items()}
    assert commands == dict.fromkeys(BY_NAME, "sync") | {"visitors": "refresh", "events": "backfill"}


@pytest.mark.slow
def test_a_warehouse_of_refreshes_alone_is_not_fresh(duckdb_warehouse: Warehouse, living: Sandbox) -> None:
    key = living.account.at(NOW).visitors()[0]["visitor_key"]
    assert sync(duckdb_warehouse, living, select=["visitors"], visitor_key=key).status == "ok"
    found = look(duckdb_warehouse)
    assert (found.fresh, found.age_hours) == (False, None)
    # nor is one whose first run has failed
    change(duckdb_warehouse, "delete from {raw}.sync_runs", "delete from {raw}.visitors")
    sync(duckdb_warehouse, living, access_token="wrong")
    found = look(duckdb_warehouse)
    assert (found.fresh, found.resources) == (False, [])


@pytest.mark.slow
def test_a_lost_resource_of_a_partial_run_stays_old(loaded: Warehouse, living: Sandbox) -> None:
    change(loaded, older(4))
    media_id = living.account.at(NOW).medias()[0]["hashed_id"]
    living.faults.add(Fault("stats/visitors", kind="html", times=None))
    living.faults.add(Fault(f"medias/{media_id}/captions", status=500, times=None))
    change(loaded, "delete from {raw}.refreshes where endpoint = 'captions'")
    assert sync(loaded, living).status == "partial"
    found = look(loaded)
    assert {row.resource for row in found.resources if not row.is_fresh(3)} == {"visitors"}
    assert not found.fresh
    assert {(row["resource"], row["parent_id"]) for row in found.failures} == {("visitors", ""), ("captions", media_id)}
    assert {row.resource: row.overdue for row in found.resources if row.overdue} == {"captions": 1}
    said = shown(found)
    # the last run without a failure is the first one
    assert found.last_runs[0]["last_ok_at"] == NOW - 4 * HOUR
    assert f"Not loaded: captions of {media_id}: " in said
    assert "Overdue: 1 captions" in said


@pytest.mark.slow
def test_of_several_accounts_the_oldest_counts(loaded: Warehouse, living: Sandbox) -> None:
    with Sandbox(Account(start=NOW, **ACCOUNT | {"seed": 20}), rate_limit=None) as other:
        assert sync(loaded, other).status == "ok"
        assert other.account.account_id != living.account.account_id
        found = look(loaded)
        assert found.fresh
        assert len(found.resources) == 2 * len(BY_NAME)
        by_account = {(row.account_id, row.resource): row.rows for row in found.resources}
        for account in (living.account, other.account):
            assert by_account[str(account.account_id), "events"] == len(account.at(NOW).events())
        change(loaded, older(5, f"account_id = '{living.account.account_id}'"))
        found = look(loaded)
        assert not found.fresh
        old = {row.account_id for row in found.resources if not row.is_fresh(3)}
        assert old == {str(living.account.account_id)}


def test_turns_that_were_missed(loaded: Warehouse) -> None:
    change(loaded, "update {raw}.refreshes set refreshed_at = refreshed_at - interval '26 hours'")
    assert not any(row.overdue for row in look(loaded).resources)
    change(loaded, "update {raw}.refreshes set refreshed_at = refreshed_at - interval '2 hours'")
    asked_daily = [name for name, endpoint in BY_NAME.items() if endpoint.parent and name != "captions"]

    def overdue() -> dict[str, int]:
        return {row.resource: row.overdue for row in look(loaded).resources if row.overdue}

    assert overdue() == {name: 2 if BY_NAME[name].parent == "projects" else 5 for name in asked_daily}
    # a media that was deleted is never refreshed again
    (deleted, *_) = (row["media_id"] for row in loaded.rows("medias"))
    change(loaded, f"update {{raw}}.medias set deleted_at = {moment(NOW)} where media_id = '{deleted}'")
    assert overdue() == {name: 2 if BY_NAME[name].parent == "projects" else 4 for name in asked_daily}


def test_an_account_belongs_to_the_pipeline_that_has_loaded_it_last(loaded: Warehouse, living: Sandbox) -> None:
    change(
        loaded,
        "insert into {raw}.sync_runs "
        "(run_id, resource, account_id, pipeline, command, started_at, finished_at, status) "
        f"values ('x', 'events', '{living.account.account_id}', 'wistia_first', 'sync', "
        f"{moment(NOW - HOUR)}, {moment(NOW - HOUR)}, 'ok')",
    )
    assert {row.pipeline for row in look(loaded).resources} == {"wistia"}
    change(loaded, logged(NOW + MINUTE, "run_id = 'x'"))
    assert {row.pipeline for row in look(loaded).resources} == {"wistia_first"}


@pytest.mark.slow
def test_each_account_is_held_to_its_own_settings_and_runs(
    folder: Folder, living: Sandbox, monkeypatch: pytest.MonkeyPatch
) -> None:
    loaded = in_duckdb(folder.warehouse)
    change(loaded, logged(NOW))
    with Sandbox(Account(start=NOW, **ACCOUNT | {"seed": 20}), now=lambda: NOW, rate_limit=None, token=TOKEN) as other:
        own = {"BASE_URL": other.url, "ACCESS_TOKEN": other.token, "NOW": NOW.isoformat(), "START_DATE": START}
        folder.env |= {f"SOURCES__ACME__{name}": value for name, value in own.items()}
        assert folder.sync("--account", "acme")["status"] == "ok"
        change(loaded, logged(NOW, "pipeline = 'wistia_acme'"))
        assert folder.sync("--account", "acme", SOURCES__ACME__ACCESS_TOKEN="wrong")["status"] == "failed"
        change(loaded, logged(NOW + MINUTE, "status = 'failed'"))
    change(loaded, "update {raw}.refreshes set refreshed_at = refreshed_at - interval '5 hours'")
    assert not any(row.overdue for row in look(loaded).resources)
    monkeypatch.setenv("SOURCES__ACME__REFRESH_WITHIN_HOURS", "1")
    found = look(loaded)
    account_ids = {"wistia": str(living.account.account_id), "wistia_acme": str(other.account.account_id)}
    assert {row.pipeline: row.account_id for row in found.resources} == account_ids
    overdue = {(row.pipeline, row.resource): row.overdue for row in found.resources if row.overdue}
    asked_daily = [name for name, endpoint in BY_NAME.items() if endpoint.parent and name != "captions"]
    assert overdue == {("wistia_acme", name): 2 if BY_NAME[name].parent == "projects" else 5 for name in asked_daily}
    assert {(run["pipeline"], run["status"]) for run in found.last_runs} == {
        ("wistia", "ok"),
        ("wistia_acme", "failed"),
    }
    assert {(row.pipeline, (row.last_run or {})["status"]) for row in found.resources} == {
        ("wistia", "ok"),
        ("wistia_acme", "failed"),
    }
    said = shown(found)
    for words in (
        f"Account {account_ids['wistia_acme']} (wistia_acme)",
        "Last run of wistia: sync ok",
        "Last run of wistia_acme: sync failed",
        "Lookback of wistia_acme events",
        "Overdue of wistia_acme: 5 media_stats",
        "wistia_acme info",
    ):
        assert words in said


# models


def look_at_once(warehouse: Warehouse) -> WarehouseStatus:
    """The status by the machine's clock, as builds of models have no other."""
    with reading(warehouse.pipeline()) as reader:
        return status(reader, 3.0, "somewhere")


@pytest.mark.slow
def test_models_that_failed_and_were_fixed(duckdb_warehouse: Warehouse, monkeypatch: pytest.MonkeyPatch) -> None:
    warehouse = duckdb_warehouse
    with Sandbox(Account(start=NOW, **mart_rows.ACCOUNT), rate_limit=None, token=TOKEN) as sandbox:
        mart_rows.load_first(warehouse, sandbox)
    found = look_at_once(warehouse)
    assert found.models is not None
    assert (found.models["status"], found.models["missing_marts"]) == ("ok", [])
    assert re.search(rf"Models: {len(mart_names())} marts, built .+, all tests hold\.", shown(found))
    marts = warehouse.marts
    change(
        warehouse,
        f"drop view {marts}.wistia__leads",
        "update {raw}._models_built_from set tested_at = null",
    )
    found = look_at_once(warehouse)
    assert found.models is not None
    assert found.models["missing_marts"] == ["wistia__leads"]
    monkeypatch.setenv("WISTIA_PIPELINE__MODELS__TIMEZONE", "Mars/Olympus")
    before = len(warehouse.rows("sync_runs"))
    assert rebuild(warehouse.pipeline()).failures
    monkeypatch.delenv("WISTIA_PIPELINE__MODELS__TIMEZONE")
    assert len(warehouse.rows("sync_runs")) == before + 1
    found = look_at_once(warehouse)
    assert found.models is not None
    assert (found.models["status"], found.models["failed_models"]) == ("partial", ["wistia"])
    assert found.fresh
    assert "failed model wistia" in shown(found)
    assert not rebuild(warehouse.pipeline()).failures
    found = look_at_once(warehouse)
    assert found.models is not None
    assert (found.models["status"], found.models["failed_models"], found.models["missing_marts"]) == ("ok", [], [])
    assert {row["command"] for row in warehouse.rows("sync_runs")} == {"sync", "models"}
    # a build is no run that has read something
    assert found.last_runs[0]["command"] == "sync"


def test_tests_that_failed_are_told_from_models(loaded: Warehouse) -> None:
    built = moment(NOW + 2 * MINUTE)
    change(
        loaded,
        "insert into {raw}.sync_runs (run_id, resource, command, started_at, finished_at, status, failures, error) "
        f"values ('m', 'models', 'models', {built}, {built}, 'partial', 2, "
        "'wistia__leads, unique_grain_wistia__viewers_x')",
    )
    found = look(loaded)
    assert found.models is not None
    assert (found.models["failed_models"], found.models["failed_tests"]) == (
        ["wistia__leads"],
        ["unique_grain_wistia__viewers_x"],
    )
    assert found.fresh
    assert "failed test unique_grain_wistia__viewers_x" in shown(found)
