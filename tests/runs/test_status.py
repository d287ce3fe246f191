"""`status`: how fresh the warehouse is, told by the warehouse alone, and usable as a monitor."""

from __future__ import annotations

import json
import os
import re
from collections.abc import Iterator
from contextlib import closing
from datetime import UTC, date, datetime, timedelta
from io import StringIO
from pathlib import Path
from typing import Any

import dlt
import duckdb
import pytest
from rich.console import Console
from wistia_pipeline.destinations.base import NotReadable
from wistia_pipeline.failures import explain
from wistia_pipeline.health_tables import show_status
from wistia_pipeline.lookbacks import Lookback, judged
from wistia_pipeline.models import rebuild
from wistia_pipeline.reading import reading
from wistia_pipeline.results import SyncResult
from wistia_pipeline.sandbox import Account, Fault, Sandbox
from wistia_pipeline.status import WarehouseStatus, status

from tests.support.folder import ESCAPE, Folder, empty_folder, rows
from tests.support.sandbox import TOKEN, settings_for
from tests.support.warehouse import Warehouse
from wistia_source.endpoints import BY_NAME

START = datetime.now(UTC).replace(microsecond=0)
HOUR = timedelta(hours=1)
ACCOUNT: dict[str, Any] = {
    "seed": 19, "medias": 5, "projects": 2, "visitors": 30, "events": 120, "days": 20, "hourly_events": 3
}  # fmt: skip
DAYS = {"start_date": (START - timedelta(days=30)).date().isoformat()}


@pytest.fixture(scope="module")
def shared() -> Iterator[Sandbox]:
    """One account for all, whose faults are lifted after each test."""
    with Sandbox(Account(start=START, **ACCOUNT), now=lambda: START, rate_limit=None, token=TOKEN) as server:
        yield server


@pytest.fixture
def sandbox(shared: Sandbox) -> Iterator[Sandbox]:
    """The account over HTTP."""
    shared.log.clear()
    yield shared
    shared.faults.clear()


@pytest.fixture(scope="module")
def loaded_once(tmp_path_factory: pytest.TempPathFactory, shared: Sandbox) -> Folder:
    """A folder in which one sync has run, without models. Tests take a copy."""
    folder = empty_folder(tmp_path_factory.mktemp("loaded") / "user", shared, START)
    assert folder.sync()["status"] == "ok"
    return folder


@pytest.fixture
def folder(tmp_path: Path, loaded_once: Folder, sandbox: Sandbox) -> Folder:
    """A folder in which one sync has run."""
    return loaded_once.copied_to(tmp_path / "user")


@pytest.fixture
def loaded(folder: Folder, duckdb_warehouse: Warehouse) -> Warehouse:
    """The same warehouse, in this process."""
    path = str(folder.warehouse)
    return Warehouse("duckdb", dlt.destinations.duckdb(path), lambda: duckdb.connect(path, read_only=True), path)


def look(warehouse: Warehouse, max_age: float = 3.0, now: datetime | None = None) -> WarehouseStatus:
    """The status of a warehouse."""
    with reading(warehouse.pipeline()) as reader:
        return status(reader, max_age, "somewhere", now)


def shown(found: WarehouseStatus) -> str:
    """What a person sees of it."""
    text = StringIO()
    show_status(found, Console(file=text, width=200))
    return text.getvalue()


def change(warehouse: Warehouse, *statements: str) -> None:
    """Changes the run log as time or a kill would."""
    with warehouse.pipeline().sql_client() as client:
        for statement in statements:
            client.execute_sql(statement.format(raw=warehouse.dataset))


def older(hours: float, where: str = "true") -> str:
    """SQL that moves runs into the past."""
    past = f"interval '{round(hours * 3600)} seconds'"
    moved = ", ".join(f"{moment} = {moment} - {past}" for moment in ("started_at", "finished_at"))
    return f"update {{raw}}.sync_runs set {moved} where {where}"


def sync(warehouse: Warehouse, sandbox: Sandbox, **more: Any) -> SyncResult:
    """One run, or what became of it before it failed."""
    select, result, models = more.pop("select", ()), SyncResult(), more.pop("models", False)
    settings = settings_for(sandbox, more.pop("now", START), **(DAYS | more))
    try:
        return warehouse.sync(settings, select, result, models=models)
    except Exception:
        return result


# numbers


@pytest.mark.slow
def test_numbers_are_those_of_the_tables(warehouse: Warehouse, sandbox: Sandbox) -> None:
    result = sync(warehouse, sandbox)
    _numbers_agree(warehouse, sandbox, result.requests)


def _numbers_agree(warehouse: Warehouse, sandbox: Sandbox, requests: int) -> None:
    found = look(warehouse)
    assert [row.resource for row in found.resources] == list(BY_NAME)
    held = {row.resource: row for row in found.resources}
    for name, row in held.items():
        assert row.rows == len(warehouse.rows(name)), name
        assert row.account_id == str(sandbox.account.account_id)
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
    assert found.requests_today in (requests, 0 if START.date() < found.checked_at.date() else requests)
    assert found.last_runs[0]["requests"] == requests
    assert (found.running, found.failures, found.models) == ([], [], None)


def test_numbers_of_a_file_are_those_of_its_tables(loaded: Warehouse, sandbox: Sandbox) -> None:
    (requests,) = rows(
        Path(loaded.pipeline().sql_client().credentials.database), "select sum(requests) from wistia_raw.sync_runs"
    )[0]
    _numbers_agree(loaded, sandbox, requests)


@pytest.mark.slow
def test_requests_of_today_are_those_of_all_runs(loaded: Warehouse, sandbox: Sandbox) -> None:
    first = look(loaded).requests_today
    more = sync(loaded, sandbox, select=["account_stats"]).requests
    more += sync(loaded, sandbox, access_token="wrong").requests
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
    assert found.age_hours == pytest.approx(3.5, abs=0.1)
    assert {row.resource for row in found.resources if not row.is_fresh(3)} == {"captions"}
    said = shown(found)
    assert re.search(r"Not fresh: what was read longest ago was 3\.5 h ago, 3 h are allowed \(captions\);", said)
    assert look(loaded, 4).fresh
    assert not look(loaded, 2).fresh


def test_what_was_never_selected_is_shown_and_does_not_count(sandbox: Sandbox, duckdb_warehouse: Warehouse) -> None:
    sync(duckdb_warehouse, sandbox, select=["events"])
    change(duckdb_warehouse, "create table {raw}.captions (account_id varchar, _dlt_load_id varchar)")
    change(duckdb_warehouse, f"insert into {{raw}}.captions values ('{sandbox.account.account_id}', '1')")
    found = look(duckdb_warehouse)
    held = {row.resource: row for row in found.resources}
    assert found.fresh
    assert held.keys() == {"events", "captions"}
    assert (held["captions"].rows, held["captions"].age_hours, held["captions"].is_watched) == (1, None, False)
    assert re.search(r"captions .* not selected", shown(found))
    # what was tried and never read counts
    change(duckdb_warehouse, "drop table {raw}.captions")
    sandbox.faults.add(Fault("medias.json", kind="html", times=None))
    assert sync(duckdb_warehouse, sandbox, select=["events", "captions"]).status == "partial"
    found = look(duckdb_warehouse)
    assert (found.fresh, found.age_hours) == (False, None)
    said = shown(found)
    assert "Not fresh: something was never read (captions);" in said
    assert re.search(r"captions .* never", said)


def test_a_failed_run_after_a_good_one(loaded: Warehouse, sandbox: Sandbox) -> None:
    before = look(loaded)
    assert sync(loaded, sandbox, access_token="wrong-token").status == "failed"
    found = look(loaded)
    assert found.fresh
    assert [row.read_at for row in found.resources] == [row.read_at for row in before.resources]
    assert {row.last_run["status"] for row in found.resources if row.last_run} == {"failed"}
    assert "does not accept the access token" in found.last_runs[0]["error"]
    assert "Last run: sync failed" in shown(found)
    change(loaded, older(4, "status = 'ok'"))
    assert not look(loaded).fresh


def test_a_killed_run(loaded: Warehouse) -> None:
    change(
        loaded,
        "insert into {raw}.sync_runs (run_id, resource, command, started_at, status) "
        "values ('x', 'events', 'sync', now(), 'running'), ('x', 'medias', 'sync', now(), 'running')",
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
def test_refreshes_backfills_and_rebuilds_make_nothing_fresh(loaded: Warehouse, sandbox: Sandbox) -> None:
    change(loaded, older(4))
    key = sandbox.account.at(START).visitors()[0]["visitor_key"]
    assert sync(loaded, sandbox, select=["visitors"], visitor_key=key).status == "ok"
    days = {"backfill_start": (START - timedelta(days=3)).date().isoformat(), "backfill_end": START.date().isoformat()}
    assert sync(loaded, sandbox, select=["events"], **days).status == "ok"
    found = look(loaded)
    held = {row.resource: row for row in found.resources}
    assert not found.fresh
    assert {row.age_hours for row in found.resources} == {found.age_hours}
    commands = {name: (row.last_run or {})["command"] for name, row in held.items()}
    assert commands == dict.fromkeys(BY_NAME, "sync") | {"visitors": "refresh", "events": "backfill"}


@pytest.mark.slow
def test_a_warehouse_of_refreshes_alone_is_not_fresh(duckdb_warehouse: Warehouse, sandbox: Sandbox) -> None:
    key = sandbox.account.at(START).visitors()[0]["visitor_key"]
    assert sync(duckdb_warehouse, sandbox, select=["visitors"], visitor_key=key).status == "ok"
    found = look(duckdb_warehouse)
    assert (found.fresh, found.age_hours) == (False, None)
    # nor is one whose first run has failed
    change(duckdb_warehouse, "delete from {raw}.sync_runs", "delete from {raw}.visitors")
    sync(duckdb_warehouse, sandbox, access_token="wrong")
    found = look(duckdb_warehouse)
    assert (found.fresh, found.resources) == (False, [])


def test_a_lost_resource_of_a_partial_run_stays_old(loaded: Warehouse, sandbox: Sandbox) -> None:
    change(loaded, older(4))
    media_id = sandbox.account.at(START).medias()[0]["hashed_id"]
    sandbox.faults.add(Fault("stats/visitors", kind="html", times=None))
    sandbox.faults.add(Fault(f"medias/{media_id}/captions", status=500, times=None))
    change(loaded, "delete from {raw}.refreshes where endpoint = 'captions'")
    assert sync(loaded, sandbox).status == "partial"
    found = look(loaded)
    assert {row.resource for row in found.resources if not row.is_fresh(3)} == {"visitors"}
    assert not found.fresh
    assert {(row["resource"], row["parent_id"]) for row in found.failures} == {("visitors", ""), ("captions", media_id)}
    assert {row.resource: row.overdue for row in found.resources if row.overdue} == {"captions": 1}
    said = shown(found)
    assert f"Not loaded: captions of {media_id}: " in said
    assert "Overdue: 1 captions" in said


@pytest.mark.slow
def test_of_several_accounts_the_oldest_counts(loaded: Warehouse, sandbox: Sandbox) -> None:
    with Sandbox(Account(start=START, **ACCOUNT | {"seed": 20}), rate_limit=None) as other:
        assert sync(loaded, other).status == "ok"
        assert other.account.account_id != sandbox.account.account_id
        found = look(loaded)
        assert found.fresh
        assert len(found.resources) == 2 * len(BY_NAME)
        by_account = {(row.account_id, row.resource): row.rows for row in found.resources}
        for account in (sandbox.account, other.account):
            assert by_account[str(account.account_id), "events"] == len(account.at(START).events())
        change(loaded, older(5, f"account_id = '{sandbox.account.account_id}'"))
        found = look(loaded)
        assert not found.fresh
        old = {row.account_id for row in found.resources if not row.is_fresh(3)}
        assert old == {str(sandbox.account.account_id)}


def test_turns_that_were_missed(loaded: Warehouse) -> None:
    change(loaded, "update {raw}.refreshes set refreshed_at = refreshed_at - interval '26 hours'")
    assert not any(row.overdue for row in look(loaded).resources)
    change(loaded, "update {raw}.refreshes set refreshed_at = refreshed_at - interval '2 hours'")
    overdue = {row.resource: row.overdue for row in look(loaded).resources if row.overdue}
    asked_daily = [name for name, endpoint in BY_NAME.items() if endpoint.parent and name != "captions"]
    assert overdue == {name: 2 if BY_NAME[name].parent == "projects" else 5 for name in asked_daily}


@pytest.mark.slow
def test_each_account_is_held_to_its_own_settings_and_runs(
    folder: Folder, loaded: Warehouse, sandbox: Sandbox, monkeypatch: pytest.MonkeyPatch
) -> None:
    with Sandbox(Account(start=START, **ACCOUNT | {"seed": 20}), rate_limit=None, token=TOKEN) as other:
        own = {"SOURCES__ACME__BASE_URL": other.url, "SOURCES__ACME__ACCESS_TOKEN": other.token}
        assert folder.sync("--account", "acme", **own)["status"] == "ok"
        own["SOURCES__ACME__ACCESS_TOKEN"] = "wrong"
        assert folder.sync("--account", "acme", **own)["status"] == "failed"
    change(loaded, "update {raw}.refreshes set refreshed_at = refreshed_at - interval '5 hours'")
    assert not any(row.overdue for row in look(loaded).resources)
    monkeypatch.setenv("SOURCES__ACME__REFRESH_WITHIN_HOURS", "1")
    found = look(loaded)
    account_ids = {"wistia": str(sandbox.account.account_id), "wistia_acme": str(other.account.account_id)}
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


@pytest.mark.slow
def test_models_that_failed_and_were_mended(
    warehouse: Warehouse, sandbox: Sandbox, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert sync(warehouse, sandbox, models=True).status == "ok"
    found = look(warehouse)
    assert found.models is not None
    assert (found.models["status"], found.models["marts"], found.models["missing_marts"]) == ("ok", 17, [])
    assert "Models: 17 marts, built just now, all tests hold." in shown(found)
    marts = warehouse.marts
    change(
        warehouse,
        f"drop view {marts}.wistia__leads",
        "update {raw}._models_built_from set tested_at = null",
    )
    found = look(warehouse)
    assert found.models is not None
    assert found.models["missing_marts"] == ["wistia__leads"]
    monkeypatch.setenv("WISTIA_PIPELINE__MODELS__TIMEZONE", "Mars/Olympus")
    before = len(warehouse.rows("sync_runs"))
    assert rebuild(warehouse.pipeline()).failures
    monkeypatch.delenv("WISTIA_PIPELINE__MODELS__TIMEZONE")
    assert len(warehouse.rows("sync_runs")) == before + 1
    found = look(warehouse)
    assert found.models is not None
    assert (found.models["status"], found.models["failed_models"]) == ("partial", ["wistia"])
    assert found.fresh
    assert "failed model wistia" in shown(found)
    assert not rebuild(warehouse.pipeline(), full_refresh=True).failures
    found = look(warehouse)
    assert found.models is not None
    assert (found.models["status"], found.models["failed_models"], found.models["missing_marts"]) == ("ok", [], [])
    assert {row["command"] for row in warehouse.rows("sync_runs")} == {"sync", "models"}
    # a build is no run that has read something
    assert found.last_runs[0]["command"] == "sync"


def test_tests_that_failed_are_told_from_models(loaded: Warehouse) -> None:
    change(
        loaded,
        "insert into {raw}.sync_runs (run_id, resource, command, started_at, finished_at, status, failures, error) "
        "values ('m', 'models', 'models', now(), now(), 'partial', 2, 'wistia__leads, unique_grain_wistia__viewers_x')",
    )
    found = look(loaded)
    assert found.models is not None
    assert (found.models["failed_models"], found.models["failed_tests"]) == (
        ["wistia__leads"],
        ["unique_grain_wistia__viewers_x"],
    )
    assert found.fresh
    assert "failed test unique_grain_wistia__viewers_x" in shown(found)


# lookbacks


def verdict(counts: dict[str, int], *, deep: float = 48, gap: float = 1, syncs: int = 10) -> Lookback:
    """The verdict on the rows found at these ages by the last of hourly runs."""
    times = [START + number * timedelta(hours=gap) for number in range(syncs)]
    found = [{"run_id": "r", "age": age, "rows_added": count, "rows_changed": 0} for age, count in counts.items()]
    return judged("a", "events", 3, deep, found, {"r": times[-1]}, times)


@pytest.mark.parametrize(
    ("counts", "said"),
    [
        ({}, "wide enough"),
        ({"hour": 900, "3 hours": 50}, "wide enough"),
        ({"hour": 900, "day": 40, "2 days": 30, "week": 2}, "wide enough"),
        ({"day": 40, "2 days": 30, "week": 7}, "wide enough"),
        ({"day": 40, "2 days": 30, "week": 8}, "too narrow"),
        ({"day": 400, "older": 1}, "too narrow"),
        # few may be chance
        ({"day": 1, "week": 2}, "wide enough"),
        ({"day": 1, "week": 3}, "too narrow"),
    ],
)
def test_a_lookback_is_judged_by_how_late_rows_came(counts: dict[str, int], said: str) -> None:
    found = verdict(counts)
    assert found.verdict == said
    assert found.late_rows == sum(count for age, count in counts.items() if "hour" not in age)
    assert bool(found.advice) is (said == "too narrow")
    assert "raise events_deep_lookback_hours above 48" in (found.advice or "raise events_deep_lookback_hours above 48")


def test_a_wider_lookback_reaches_more_and_a_pause_says_nothing() -> None:
    assert verdict({"day": 40, "older": 3}, deep=168).verdict == "wide enough"
    assert verdict({"day": 20, "older": 3}, deep=168).verdict == "too narrow"
    assert verdict({"older": 50}, gap=27).verdict == "wide enough"
    assert verdict({"older": 50}, gap=25).verdict == "too narrow"
    assert verdict({}, syncs=1).verdict == "unknown"


@pytest.mark.slow
def test_late_rows_in_the_warehouse_are_judged(duckdb_warehouse: Warehouse) -> None:
    account = Account(start=START, **ACCOUNT | {"hourly_events": 0})
    with Sandbox(account, rate_limit=None) as living:
        media_id = account.at(START).medias()[0]["hashed_id"]
        account.add_late_event(media_id, START - timedelta(minutes=1))
        sync(duckdb_warehouse, living, select=["events"])
        assert [found.verdict for found in look(duckdb_warehouse).lookbacks] == ["unknown"]
        change(duckdb_warehouse, older(1))
        sync(duckdb_warehouse, living, select=["events"])
        (found,) = look(duckdb_warehouse).lookbacks
        assert (found.verdict, found.late_rows) == ("wide enough", 0)
        account.add_late_event(media_id, START - timedelta(days=12))
        days = {
            name: (START - timedelta(days=n)).date().isoformat()
            for name, n in (("backfill_start", 14), ("backfill_end", 5))
        }
        sync(duckdb_warehouse, living, select=["events"], **days)
    seen = look(duckdb_warehouse)
    (found,) = seen.lookbacks
    assert (found.resource, found.verdict, found.beyond_rows) == ("events", "too narrow", 1)
    assert "1 of 1 late rows came at age 'older'; raise events_deep_lookback_hours" in shown(seen)


# the front door


@pytest.mark.slow
def test_as_a_person_sees_it(loaded_once: Folder) -> None:
    folder = loaded_once
    done = folder.run("status", FORCE_COLOR="1")
    assert (done.returncode, done.stderr) == (0, "")
    assert ESCAPE not in done.stdout
    assert TOKEN not in done.stdout
    for name in BY_NAME:
        (count,) = rows(folder.warehouse, f"select count(*) from wistia_raw.{name}")[0]
        assert re.search(rf"^ {name} +{count:,} ", done.stdout, re.MULTILINE), (name, done.stdout)
    assert "Fresh: what was read longest ago was" in done.stdout
    (made,) = (folder.path / "dlt" / "wistia").iterdir()
    assert f"dlt pipeline --pipelines-dir {made} wistia info" in done.stdout


def test_as_a_monitor_sees_it(folder: Folder) -> None:
    before = folder.warehouse.read_bytes()
    done = folder.run("status", "--json", "--max-age", "0.00001")
    answer = json.loads(done.stdout)
    assert (done.returncode, done.stderr, done.stdout.count("\n")) == (1, "", 1)
    assert (answer["fresh"], answer["max_age_hours"], answer["error"]) == (False, 0.00001, None)
    assert datetime.fromisoformat(answer["checked_at"]).utcoffset() == timedelta(0)
    assert {row["resource"]: row["rows"] for row in answer["resources"]}["medias"] == 5
    assert date.fromisoformat(next(row["cursor"] for row in answer["resources"] if row["resource"].endswith("by_date")))
    assert folder.warehouse.read_bytes() == before
    assert os.listdir(folder.work) == ["warehouse.duckdb"]


@pytest.mark.slow
def test_without_a_warehouse_nothing_is_made(tmp_path: Path, sandbox: Sandbox) -> None:
    folder = empty_folder(tmp_path / "user", sandbox, START)
    done = folder.run("status", "--json")
    answer = json.loads(done.stdout)
    assert (done.returncode, answer["fresh"]) == (1, False)
    assert done.stderr == f"Error: {answer['error']}\n"
    assert "run wistia-pipeline sync first" in answer["error"]
    assert [name for name in os.listdir(folder.path) if os.listdir(folder.path / name)] == []
    for wrong in ("0", "nan", "inf"):
        refused = folder.run("status", "--max-age", wrong)
        assert refused.returncode == 2
        assert "--max-age" in refused.stderr
    (folder.work / "data.csv").write_text("a,b")
    refused = folder.run("status", DESTINATION__DUCKDB__CREDENTIALS="data.csv")
    assert (refused.returncode, "is that of something else" in refused.stderr) == (1, True)


@pytest.mark.slow
def test_what_is_no_warehouse(duckdb_warehouse: Warehouse, sandbox: Sandbox) -> None:
    with closing(duckdb.connect("warehouse.duckdb")) as connection:
        connection.execute("create table x as select 1 as y")
    with pytest.raises(NotReadable, match="Nothing has been loaded"):
        look(duckdb_warehouse)
    change(duckdb_warehouse, "create schema {raw}", "create table {raw}.medias (media_id varchar)")
    with pytest.raises(NotReadable, match="no run log"):
        look(duckdb_warehouse)
    Path("warehouse.duckdb").write_text("hello, I am no database " * 300, "utf-8")
    with pytest.raises(Exception, match="not a valid DuckDB") as raised:
        look(duckdb_warehouse)
    assert "choose another" in explain(raised.value)
