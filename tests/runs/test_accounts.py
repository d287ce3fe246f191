"""Several accounts in one warehouse: each by its own settings, with its own rows, side by side where that can be."""

from __future__ import annotations

import json
import os
import threading
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from dataclasses import replace
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import dlt
import duckdb
import psycopg2
import pytest
from click.testing import CliRunner, Result
from wistia_pipeline.cli import main
from wistia_pipeline.sandbox import Account, Sandbox
from wistia_pipeline.warehouses.run_log import RunLog

from tests.support.commands import BUSY, under_way
from tests.support.folder import Folder, empty_folder, rows
from tests.support.lake import NAME, Lake, LakeWarehouse
from tests.support.lake import lake as lake
from tests.support.lake import lake_in_a_folder as lake_in_a_folder
from tests.support.lake import storage as storage
from tests.support.mart_rows import GRAINS, assert_right, with_a_lead
from tests.support.marts import Marts
from tests.support.parsed import keep_parsed
from tests.support.postgres import database
from tests.support.sandbox import NOW, TOKEN
from tests.support.warehouse import IN_BOTH, Warehouse
from wistia_source.endpoints import ENDPOINTS
from wistia_source.rows import primary_key

NAMES = ("one", "two")
TO_LAKE = ("--destination", "ducklake")
RAW_KEYS = {
    f"wistia_raw.{table.name}": primary_key(table)
    for endpoint in ENDPOINTS
    for table in (endpoint, *endpoint.children)
    # rows without a key of their own
    if table.name != "account_stats"
}
MART_KEYS = {f"wistia.{mart}": ("account_id", *key) for mart, key in GRAINS.items()}

Rows = Callable[[str], list[tuple[Any, ...]]]
"""Asks a warehouse."""


@pytest.fixture
def sandboxes() -> Iterator[dict[str, Sandbox]]:
    """Two accounts by what they are called here: all their keys are the same, and few of their sessions."""
    one, two = (Account(seed=19, start=NOW, medias=6, projects=2, visitors=40, events=200, days=30) for _ in NAMES)
    two.account_id = 999
    for number, event in enumerate(two.at(NOW).events()):
        two.restate_event(event["event_key"], percent_viewed=1 - number / 1_000)
    for account in (one, two):
        with_a_lead(account, NOW)
    with (
        Sandbox(one, now=lambda: NOW, rate_limit=None, token=f"{TOKEN}-one") as first,
        Sandbox(two, now=lambda: NOW, rate_limit=None, token=f"{TOKEN}-two") as second,
    ):
        yield {"one": first, "two": second}


@pytest.fixture
def folder(tmp_path: Path, sandboxes: dict[str, Sandbox]) -> Folder:
    """An empty folder with the settings of both, and those that they share."""
    made = empty_folder(tmp_path / "user", sandboxes["one"], NOW)
    shared = {
        name.replace("SOURCES__WISTIA__", "SOURCES__"): value
        for name, value in made.env.items()
        if not name.endswith(("__BASE_URL", "__ACCESS_TOKEN"))
    }
    own = {
        f"SOURCES__{name.upper()}__{setting}": value
        for name, sandbox in sandboxes.items()
        for setting, value in (("BASE_URL", sandbox.url), ("ACCESS_TOKEN", sandbox.token))
    }
    return replace(made, env=shared | own | {"SOURCES__NOW": NOW.isoformat()})


# settings


@pytest.fixture
def command(folder: Folder, monkeypatch: pytest.MonkeyPatch) -> Any:
    """`wistia-pipeline` in this process, with the settings of both."""
    monkeypatch.chdir(folder.work)
    for name, value in folder.env.items():
        if name.startswith("SOURCES__"):
            monkeypatch.setenv(name, value)

    def run(*arguments: str) -> Result:
        return CliRunner().invoke(main, arguments)

    return run


@pytest.mark.slow
def test_each_account_is_asked_by_its_own_settings_and_has_its_own_rows(
    command: Any, folder: Folder, sandboxes: dict[str, Sandbox], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SOURCES__PII", "drop")
    monkeypatch.setenv("SOURCES__TWO__PII", "keep")
    for name, sandbox in sandboxes.items():
        checked = json.loads(command("check", "--account", name, "--json").stdout)
        assert (checked["ok"], checked["requests"]) == (True, len(sandbox.log)), checked
        foreseen = json.loads(command("sync", "--account", name, "--dry-run", "--json").stdout)
        assert foreseen["resources"]["media_stats"]["requests"] == 6
        done = command("sync", "--account", name, "--select", "events", "--no-models", "--json")
        assert json.loads(done.stdout)["status"] == "ok", done.output
    addresses = "select account_id, count(email) > 0 from wistia_raw.events group by 1"
    assert dict(rows(folder.warehouse, addresses)) == {"210019": False, "999": True}
    assert_events(lambda query: rows(folder.warehouse, query), sandboxes)
    # dlt's schema of each is its own
    schemas = rows(folder.warehouse, "select distinct schema_name from wistia_raw._dlt_version order by 1")
    assert schemas == [("wistia_one",), ("wistia_two",)]
    runs = rows(folder.warehouse, "select pipeline, account_id, status from wistia_raw.sync_runs order by 1")
    assert runs == [("wistia_one", "210019", "ok"), ("wistia_two", "999", "ok")]

    # a run that fails before it knows the account is not taken for one of the other
    monkeypatch.setenv("SOURCES__ONE__ACCESS_TOKEN", "wrong")
    assert command("sync", "--account", "one", "--select", "events").exit_code == 1
    status = json.loads(command("status", "--json").stdout)
    last = {row["account_id"]: row["last_run"]["status"] for row in status["resources"]}
    assert last == {"210019": "failed", "999": "ok"}


@pytest.mark.parametrize(
    ("setting", "value", "says"),
    [
        ("ACCESS_TOKEN", None, "set SOURCES__ONE__ACCESS_TOKEN, or access_token under [sources.one] in"),
        ("ACCESS_TOKEN", "wrong", "set SOURCES__ONE__ACCESS_TOKEN to a token"),
        ("PII", "hash", "set SOURCES__ONE__PII_SECRET, or pii_secret under [sources.one] in"),
    ],
)
def test_what_is_wrong_is_said_by_the_accounts_own_settings(
    command: Any, monkeypatch: pytest.MonkeyPatch, setting: str, value: str | None, says: str
) -> None:
    name = f"SOURCES__ONE__{setting}"
    if value is None:
        monkeypatch.delenv(name)
    else:
        monkeypatch.setenv(name, value)
    for done in (command("sync", "--account", "one"), command("check", "--account", "one")):
        assert done.exit_code == 1
        assert says in done.output
        assert "WISTIA" not in done.output


@pytest.mark.parametrize("name", ["One", "1st", "a-b", "a.b", ""])
def test_a_name_that_cannot_be_one_is_refused(command: Any, folder: Folder, name: str) -> None:
    done = command("sync", "--account", name)
    assert (done.exit_code, "choose small letters, digits and underscores" in done.output) == (2, True), done.output
    assert os.listdir(folder.work) == []


# the run log


@IN_BOTH
def test_only_runs_of_its_own_or_of_an_earlier_release_does_a_run_call_killed(warehouse: Warehouse) -> None:
    pipeline = warehouse.pipeline()
    RunLog(pipeline, "earlier", "sync").begin(["events"])
    with pipeline.sql_client() as client:
        client.execute_sql(f"alter table {client.make_qualified_table_name('sync_runs')} drop column pipeline")

    def runs() -> dict[str, tuple[str, str | None]]:
        return {row["run_id"]: (row["status"], row["pipeline"]) for row in warehouse.rows("sync_runs")}

    other: dlt.Pipeline = dlt.pipeline("wistia_one", destination=warehouse.destination, dataset_name=warehouse.dataset)
    assert RunLog(other, "one", "sync").begin(["events"]) == frozenset({"earlier"})
    assert RunLog(pipeline, "next", "sync").begin(["events"]) == frozenset()
    assert runs() == {"earlier": ("killed", None), "one": ("running", "wistia_one"), "next": ("running", "wistia")}
    assert RunLog(other, "two", "sync").begin(["events"]) == frozenset({"one"})
    assert RunLog(pipeline, "alone", "forget").begin(["forgotten"], is_alone=True) == frozenset({"two", "next"})


# at once


@pytest.mark.slow
def test_of_a_file_one_account_at_a_time_is_loaded(folder: Folder, sandboxes: dict[str, Sandbox]) -> None:
    with under_way(folder, sandboxes["one"], "sync", "--account", "one", "--select", "events"):
        refused = folder.run("sync", "--account", "two")
    assert (refused.returncode, refused.stdout, refused.stderr) == (1, "", BUSY)
    for name in NAMES:
        assert folder.sync("--account", name, "--select", "events")["status"] == "ok"
    assert_events(lambda query: rows(folder.warehouse, query), sandboxes)

    # whoever forgets somebody is no account
    assert folder.run("forget", "--email", "nobody@example.com").returncode == 0
    status = json.loads(folder.run("status", "--json").stdout)
    assert sorted(run["pipeline"] for run in status["last_runs"]) == ["wistia_one", "wistia_two"]


@pytest.mark.slow
def test_into_files_accounts_are_loaded_side_by_side(folder: Folder, sandboxes: dict[str, Sandbox]) -> None:
    folder.env["DESTINATION__FILESYSTEM__BUCKET_URL"] = str(folder.work / "files")
    to_files = ("--destination", "filesystem", "--select", "events")
    with under_way(folder, sandboxes["one"], "sync", "--account", "one", *to_files):
        assert folder.sync("--account", "two", *to_files)["status"] == "ok"
        refused = folder.run("sync", "--account", "one", *to_files)
        assert (refused.returncode, refused.stdout, refused.stderr) == (1, "", BUSY)
    assert folder.sync("--account", "one", *to_files)["status"] == "ok"
    files = f"read_parquet('{folder.work}/files/wistia_raw/events/*.parquet')"
    assert_events(lambda query: duckdb.sql(query.replace("wistia_raw.events", files)).fetchall(), sandboxes)


@pytest.mark.slow
def test_two_accounts_are_loaded_into_postgres_at_once(
    folder: Folder, sandboxes: dict[str, Sandbox], postgres_url: str, tmp_path: Path
) -> None:
    with database(postgres_url) as url:
        to_postgres = ("--json", "--destination", "postgres")
        settings = {"DESTINATION__POSTGRES__CREDENTIALS": url}
        begin_together(sandboxes)
        # as from two machines
        syncs = [
            folder.start("sync", "--account", name, *to_postgres, DLT_DATA_DIR=str(tmp_path / name), **settings)
            for name in NAMES
        ]
        for process in syncs:
            out, err = process.communicate()
            assert (process.returncode, json.loads(out)["status"]) == (0, "ok"), err

        def ask(query: str) -> list[tuple[Any, ...]]:
            with closing(psycopg2.connect(url)) as connection, connection.cursor() as cursor:
                cursor.execute(query)
                return list(cursor.fetchall())

        assert_both(ask, sandboxes)


@pytest.mark.deep
@pytest.mark.timeout(400)
@pytest.mark.parametrize("is_built", [False, True], ids=["read", "read and built"])
def test_two_accounts_are_loaded_into_a_lake_at_once_while_it_is_in_use(
    folder: Folder, sandboxes: dict[str, Sandbox], lake: Lake, is_built: bool
) -> None:
    keep_parsed()
    folder = replace(folder, env=folder.env | lake.settings(), models=True)
    begin_together(sandboxes)
    syncs = [folder.start("sync", "--account", name, "--json", "--no-models", *TO_LAKE) for name in NAMES]
    with somebody_reads(lake) as reads:
        assert reads["wistia_raw.events"].wait(120)
        if is_built:
            assert folder.invoke("models", *TO_LAKE).returncode == 0
        for process in syncs:
            out, err = process.communicate()
            assert (process.returncode, json.loads(out)["status"]) == (0, "ok"), err
        if is_built:
            assert folder.invoke("models", *TO_LAKE).returncode == 0
            assert all(reads[table].wait(120) for table in MART_KEYS)
    assert_both(lake.rows, sandboxes)
    if is_built:
        for sandbox in sandboxes.values():
            account, first_day = sandbox.account, (NOW - timedelta(days=40)).date()
            marts = Marts(account.at(NOW), str(account.account_id), NOW, first_day)
            assert_right(LakeWarehouse(lake), marts, is_only=False)


@pytest.mark.slow
@pytest.mark.timeout(400)
def test_an_account_under_way_keeps_out_itself_and_whoever_forgets_but_no_other(
    folder: Folder, sandboxes: dict[str, Sandbox], lake_in_a_folder: Lake
) -> None:
    lake = lake_in_a_folder
    folder = replace(folder, env=folder.env | lake.settings())
    events = ("--select", "events", *TO_LAKE)
    with under_way(folder, sandboxes["one"], "sync", "--account", "one", *events):
        state = lake.catalogued(f"select max(snapshot_id) from {NAME}.ducklake_snapshot")
        for arguments in (("sync", "--account", "one", *events), ("forget", "--visitor", "somebody", *TO_LAKE)):
            refused = folder.run(*arguments)
            assert (refused.returncode, refused.stderr) == (1, BUSY)
        assert lake.catalogued(f"select max(snapshot_id) from {NAME}.ducklake_snapshot") == state
        assert folder.sync("--account", "two", *events)["status"] == "ok"
    assert folder.sync("--account", "one", *events)["status"] == "ok"
    assert_events(lake.rows, sandboxes)
    runs = lake.rows("select distinct pipeline, status from wistia_raw.sync_runs order by all")
    assert runs == [("wistia_one", "killed"), ("wistia_one", "ok"), ("wistia_two", "ok")]


def begin_together(sandboxes: dict[str, Sandbox]) -> None:
    """The first answer of each account waits until all of them have been asked."""
    all_asked = threading.Barrier(len(sandboxes), timeout=120)

    def first_together() -> Callable[[], datetime]:
        asked = threading.Event()

        def now() -> datetime:
            if not asked.is_set():
                asked.set()
                all_asked.wait()
            return NOW

        return now

    for sandbox in sandboxes.values():
        sandbox.now = first_together()


@contextmanager
def somebody_reads(lake: Lake) -> Iterator[dict[str, threading.Event]]:
    """Somebody queries the lake all the time: whatever is read has each key once. When each table was first read."""
    keys = RAW_KEYS | MART_KEYS
    reads = {table: threading.Event() for table in keys}
    ended, wrong = threading.Event(), []

    def read() -> None:
        names = "select table_schema || '.' || table_name from information_schema.tables"
        while not ended.wait(0.1):
            # the lake begins with the first run
            if not lake.catalogued("select to_regclass(%s) is not null", f"{NAME}.ducklake_metadata")[0][0]:
                continue
            try:
                with lake.cursor() as cursor:
                    cursor.execute("begin")
                    there = {name for (name,) in cursor.execute(names).fetchall()}
                    for table in keys.keys() & there:
                        query = f"select count(*), count(distinct ({', '.join(keys[table])})) from {table}"
                        ((count, distinct),) = cursor.execute(query).fetchall()
                        assert count == distinct, table
                        if count:
                            reads[table].set()
            except Exception as error:
                wrong.append(error)
                return

    thread = threading.Thread(target=read)
    thread.start()
    try:
        yield reads
    finally:
        ended.set()
        thread.join()
    assert wrong == []


def assert_both(ask: Rows, sandboxes: dict[str, Sandbox]) -> None:
    """Each account has all its rows, each of them once, and was loaded while the other was."""
    ids = {str(sandbox.account.account_id) for sandbox in sandboxes.values()}
    for table, key in RAW_KEYS.items():
        assert ask(f"select count(*) - count(distinct ({', '.join(key)})) from {table}") == [(0,)], table
        counts: dict[str, int] = dict(ask(f"select account_id, count(*) from {table} group by 1"))
        # of what they show differs only how much was watched
        assert counts.keys() == ids, table
        assert len(set(counts.values())) == 1, (table, counts)
    assert_events(ask, sandboxes)
    assert ask("select distinct status from wistia_raw.sync_runs where command = 'sync'") == [("ok",)]
    ((begun, ended),) = ask("select max(started_at), min(finished_at) from wistia_raw.sync_runs where command = 'sync'")
    assert begun < ended


def assert_events(ask: Rows, sandboxes: dict[str, Sandbox]) -> None:
    """Each account's sessions are what it shows."""
    for sandbox in sandboxes.values():
        account = sandbox.account
        held = ask(
            "select event_key, visitor_key, percent_viewed from wistia_raw.events "
            f"where account_id = '{account.account_id}'"
        )
        shown = account.at(NOW).events()
        assert Counter(held) == Counter(
            (event["event_key"], event["visitor_key"] or "", event["percent_viewed"]) for event in shown
        )
