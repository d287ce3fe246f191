"""A lake as its users meet it: every command."""

from __future__ import annotations

import csv
import json
import re
from collections import Counter
from collections.abc import Iterator
from dataclasses import replace
from datetime import datetime, timedelta
from html import unescape
from io import BytesIO
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest
from wistia_pipeline.models.settings import model_names
from wistia_pipeline.sandbox import Account, Sandbox

from tests.support.folder import Folder, empty_folder
from tests.support.lake import NAME, Lake, LakeWarehouse, lake_in
from tests.support.lake import storage as storage
from tests.support.mart_rows import assert_right, with_a_lead
from tests.support.marts import Marts
from tests.support.parsed import keep_parsed
from tests.support.sandbox import NOW, TOKEN

pytestmark = [pytest.mark.slow, pytest.mark.timeout(400)]

FIRST = NOW - timedelta(days=2)
"""When the account is first loaded."""
ALL_AGAIN = {f"SOURCES__WISTIA__{name}REFRESH_WITHIN_HOURS": "0.0001" for name in ("", "CAPTIONS_", "HISTORY_")} | {
    f"SOURCES__WISTIA__{name}_LOOKBACK_HOURS": "2400" for name in ("EVENTS", "VISITORS")
}
"""All numbers are those of now, past days and sessions too."""
TO_LAKE = ("--destination", "ducklake")


@pytest.fixture(scope="module")
def sandbox() -> Iterator[Sandbox]:
    """One account for all."""
    account = Account(seed=5, start=FIRST, medias=6, projects=2, visitors=40, events=200, days=30)
    with Sandbox(with_a_lead(account, FIRST), now=lambda: FIRST, rate_limit=None, token=TOKEN) as server:
        yield server


@pytest.fixture(scope="module", params=["folder", pytest.param("storage", marks=pytest.mark.deep)])
def loaded_once(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory, sandbox: Sandbox, postgres_url: str
) -> Iterator[tuple[Folder, Lake]]:
    """A lake into which one sync has run, with its models. Tests that change it take a copy."""
    keep_parsed()
    in_folder = request.param == "folder"
    place = tmp_path_factory.mktemp("files") / "of the lake" if in_folder else request.getfixturevalue("storage")
    with lake_in(postgres_url, place) as lake:
        made = empty_folder(tmp_path_factory.mktemp("lake") / "user", sandbox, NOW)
        folder = replace(made, env=made.env | lake.settings() | ALL_AGAIN | clock(FIRST), models=True)
        assert "which the first sync makes" in told(folder, "check")
        assert lake.files() == {}
        assert lake.catalogued("select 1 from pg_tables where schemaname !~ '^pg_|^information_schema'") == []
        assert re.search(rf"{len(model_names())} models built, [1-9]\d* data tests hold", told(folder, "sync"))
        yield folder, lake


@pytest.fixture
def loaded(
    loaded_once: tuple[Folder, Lake], sandbox: Sandbox, tmp_path: Path, postgres_url: str
) -> Iterator[tuple[Folder, Lake]]:
    """The same, for a test to change, days later."""
    folder, lake = loaded_once
    sandbox.now = lambda: NOW
    with lake.copied(postgres_url) as own:
        work = tmp_path / "work"
        work.mkdir()
        settings = own.settings() | clock(NOW) | {"DLT_DATA_DIR": str(tmp_path)}
        yield replace(folder, path=tmp_path, env=folder.env | settings), own
    sandbox.now = lambda: FIRST


def clock(now: datetime) -> dict[str, str]:
    """The setting that makes commands go by a time of ours."""
    return {"SOURCES__WISTIA__NOW": now.isoformat()}


def told(folder: Folder, *arguments: str) -> str:
    """What a command says that goes well."""
    done = folder.invoke(*arguments, *TO_LAKE)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def right(lake: Lake, sandbox: Sandbox) -> None:
    """Every mart holds what the account shows."""
    account, now = sandbox.account, sandbox.now()
    first_day = (NOW - timedelta(days=40)).date()
    assert_right(LakeWarehouse(lake), Marts(account.at(now), str(account.account_id), now, first_day))


def contents(lake: Lake, *schemas: str) -> dict[str, Counter[str]]:
    """All rows of the tables in the schemas."""
    tables = lake.rows(
        "select table_schema || '.' || table_name from information_schema.tables "
        f"where table_schema in ({', '.join(map(repr, schemas))}) and table_type = 'BASE TABLE'"
    )
    assert tables
    return {name: Counter(map(repr, lake.rows(f"select * from {name}"))) for (name,) in tables}


def test_whoever_looks_finds_all_and_changes_nothing(loaded_once: tuple[Folder, Lake], sandbox: Sandbox) -> None:
    folder, lake = loaded_once
    right(lake, sandbox)
    files, states = lake.files().keys(), lake.catalogued(f"select max(snapshot_id) from {NAME}.ducklake_snapshot")

    checked = json.loads(told(folder, "check", "--json"))
    (found,) = [check for check in checked["checks"] if check["name"] == "destination"]
    assert (found["status"], found["detail"]) == (
        "ok",
        f"ducklake, catalog in Postgres at 127.0.0.1, files in {lake.url}",
    )

    assert "Fresh: what was read longest ago was 0 min ago" in told(folder, "status")
    status = json.loads(told(folder, "status", "--json"))
    assert (status["fresh"], status["models"]["missing_marts"], status["models"]["failed_tests"]) == (True, [], [])
    read = {row["resource"]: row["rows"] for row in status["resources"]}
    view = sandbox.account.at(FIRST)
    assert (read["events"], read["visitors"]) == (len(view.events()), len(view.visitors()))

    assert "open it in a browser" in told(folder, "report")
    assert view.medias()[0]["name"] in unescape((folder.work / "report.html").read_text("utf-8"))
    told(folder, "docs")
    assert "wistia__sessions" in (folder.work / "wistia_docs.html").read_text("utf-8")

    wanted = dict(lake.rows("select media_id || date, play_count from wistia.wistia__media_daily"))
    assert len(wanted) > 100
    told(folder, "export", "media_daily", "--output", "daily.csv")
    with (folder.work / "daily.csv").open(encoding="utf-8", newline="") as file:
        exported: Any = list(csv.DictReader(file))
    assert {row["media_id"] + row["date"]: int(row["play_count"] or -1) for row in exported} == {
        key: -1 if count is None else count for key, count in wanted.items()
    }
    told(folder, "export", "sessions", "--output", "sessions.parquet", "--columns", "event_key,watched_seconds")
    exported = pq.read_table(folder.work / "sessions.parquet").to_pylist()
    assert Counter((row["event_key"], row["watched_seconds"]) for row in exported) == Counter(
        lake.rows("select event_key, watched_seconds from wistia.wistia__sessions")
    )

    assert lake.files().keys() == files
    assert lake.catalogued(f"select max(snapshot_id) from {NAME}.ducklake_snapshot") == states


def test_loads_and_maintenance_leave_each_row_once_in_few_files(loaded: tuple[Folder, Lake], sandbox: Sandbox) -> None:
    folder, lake = loaded
    first = sandbox.account.at(FIRST)
    events = first.events()
    sandbox.account.add_late_event(first.medias()[0]["hashed_id"], NOW - timedelta(days=20), percent_viewed=0.95)
    sandbox.account.restate_event(events[3]["event_key"], percent_viewed=1.0)
    sandbox.account.restate_event(events[90]["event_key"], percent_viewed=0.05, email="late@example.com")
    news = folder.sync(*TO_LAKE)
    assert (news["status"], news["models"]["failures"]) == ("ok", [])
    view = sandbox.account.at(NOW)
    new_events = [row for row in view.events() if str(row["received_at"]) > FIRST.isoformat()]
    assert len(new_events) > 15
    assert news["resources"]["events"]["rows"] >= len(new_events)
    right(lake, sandbox)

    before = contents(lake, "wistia_raw")
    again = folder.sync(*TO_LAKE, "--no-models")
    assert {name: found["rows"] for name, found in again["resources"].items() if found["rows"]} == {}
    start, end = ((NOW - timedelta(days=days)).date().isoformat() for days in (20, 10))
    assert "│ all (ok) " in told(
        folder, "backfill", "--start", start, "--end", end, "--select", "events", "--no-models"
    )
    after = contents(lake, "wistia_raw")
    moved = {name for table in after if after[table] != before[table] for name in [table.partition(".")[2]]}
    assert {name for name in moved if not name.startswith("_dlt")} == {"sync_runs"}

    before = contents(lake, "wistia_raw", "wistia", "wistia_intermediate")
    assert max(live_files(lake)) > 1
    maintained = told(folder, "maintain", "--keep-days", "0").splitlines()
    assert {line.partition(": ")[0] for line in maintained} == {
        "Rows moved out of the catalog",
        "Files merged or rewritten",
        "Files written instead",
        "States let go",
    }
    assert max(live_files(lake)) == 1
    assert lake.catalogued(f"select count(*) from {NAME}.ducklake_snapshot") == [(1,)]
    assert contents(lake, "wistia_raw", "wistia", "wistia_intermediate") == before
    # a query that was under way is over by now
    due = f"update {NAME}.ducklake_files_scheduled_for_deletion set schedule_start = schedule_start - interval '2 days'"
    lake.catalogued(due)
    assert re.fullmatch(r"Files deleted: \d+\n", told(folder, "maintain", "--keep-days", "0"))
    assert len(lake.files()) == len(live_files(lake))
    assert told(folder, "maintain") == "Nothing to do.\n"
    assert contents(lake, "wistia_raw", "wistia", "wistia_intermediate") == before
    right(lake, sandbox)


def live_files(lake: Lake) -> list[int]:
    """How many files each table has, with those that say which rows of others are deleted."""
    files = " union all ".join(
        f"select table_id from {NAME}.ducklake_{kind}_file where end_snapshot is null" for kind in ("data", "delete")
    )
    return [count for (count,) in lake.catalogued(f"select count(*) from ({files}) as files group by table_id")]


def test_nothing_of_a_forgotten_person_is_in_any_file_or_in_the_catalog(
    loaded: tuple[Folder, Lake], sandbox: Sandbox
) -> None:
    folder, lake = loaded
    # what a load has left that was killed
    name, content = next(item for item in lake.files().items() if "/wistia_raw/events/" in item[0])
    lake.put(name.replace("/ducklake-", "/ducklake-left-"), content)
    # the last of all addresses is in statistics, too
    ((address, key),) = lake.rows(
        "select email, visitor_key from wistia_raw.events where visitor_key <> '' order by email desc limit 1"
    )
    # a row alone is kept in the catalog
    session = next(row["event_key"] for row in sandbox.account.at(FIRST).events() if row["visitor_key"] == key)
    sandbox.account.restate_event(session, percent_viewed=0.123)
    alone = folder.sync(*TO_LAKE, "--no-models", "--event-key", session)
    assert alone["resources"]["events"]["rows"] == 1
    lake.catalogued("analyze")
    texts = [text.encode() for text in (address, key)]
    before = where_found(lake, texts)
    assert {"pg_stats", "ducklake_table_column_stats", "ducklake_file_column_stats"} <= before
    assert any(found.startswith("ducklake_inlined_data_") for found in before)
    assert sum("/wistia_raw/events/" in found for found in before) == 2

    refused = folder.invoke("forget", "--email", address, *TO_LAKE)
    assert refused.returncode == 3
    assert re.match(r"Removed: 1 row of visitors, \d+ rows? of events.\n", refused.stdout)
    assert f"in files that killed runs have left (how many: 1), such as {lake.url}/" in refused.stderr
    assert {found.rpartition("/")[2][:14] for found in where_found(lake, texts)} == {"ducklake-left-"}
    with lake.cursor() as cursor:
        cursor.execute(f"call ducklake_delete_orphaned_files('{NAME}', cleanup_all => true)")
    view = sandbox.account.at(NOW)
    others = {row["visitor_key"] for row in view.visitors()} - {key}
    # any later run ends it; this one reads what it has not known before, beside what it has
    assert folder.sync(*TO_LAKE, "--no-models", "--select", "events,visitors")["status"] == "ok"
    assert where_found(lake, texts) == set()
    found_by_text(lake, "visitors", Counter(dict.fromkeys(others, 1)))
    found_by_text(
        lake, "events", Counter(row["visitor_key"] or "" for row in view.events() if row["visitor_key"] != key)
    )


def found_by_text(lake: Lake, table: str, wanted: Counter[str]) -> None:
    """A query for one visitor key finds its rows, and no others: none is in a file that seems not to have it."""
    assert {
        key: lake.rows(f"select count(*) from wistia_raw.{table} where visitor_key = ?", key)[0][0] for key in wanted
    } == wanted


def where_found(lake: Lake, texts: list[bytes]) -> set[str]:
    """Files, and tables of the catalog, that hold any of the texts, in a row or where one was deleted."""
    lake.catalogued("checkpoint")
    stored = lake.catalogued(
        "select relname, pg_read_binary_file(pg_relation_filepath(oid)) from pg_class "
        "where relnamespace::regnamespace::text !~ '^pg_catalog|^information_schema' "
        # Postgres's own statistics, of which dead rows go when it finds the time; what they say is in pg_stats
        "and oid <> (select reltoastrelid from pg_class where relname = 'pg_statistic') "
        "and pg_relation_filepath(oid) is not null"
    )
    tables = {name: bytes(content) for name, content in stored}
    assert "ducklake_metadata" in tables
    tables["pg_stats"] = repr(lake.catalogued("select * from pg_stats where schemaname <> 'pg_catalog'")).encode()
    files = {
        name: content
        + (repr(pq.read_table(BytesIO(content)).to_pylist()).encode() if name.endswith(".parquet") else b"")
        for name, content in lake.files().items()
    }
    return {name for name, content in (tables | files).items() if any(text in content for text in texts)}
