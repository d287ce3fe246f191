"""`check`: whether a sync will work is said before it runs, with the way out where not; nothing is left behind."""

from __future__ import annotations

import os
import socket
from collections.abc import Iterator
from contextlib import closing
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import duckdb
import psycopg2
import pytest
from wistia_pipeline.health.check import check
from wistia_pipeline.health.check_results import ORDER, Check
from wistia_pipeline.sandbox import Account, Fault, Sandbox
from wistia_pipeline.warehouses.base import NotTried
from wistia_pipeline.warehouses.postgres import require_tested

from tests.support.folder import open_elsewhere
from tests.support.sandbox import NOW, TOKEN, files_with_token
from wistia_source.endpoints import BY_NAME, ENDPOINTS, READ_MEDIA, READ_STATS

ACCOUNT: dict[str, Any] = {
    "seed": 3,
    "medias": 3,
    "projects": 2,
    "visitors": 20,
    "events": 60,
    "days": 30,
    "hourly_events": 0,
}


@pytest.fixture(scope="module")
def shared() -> Iterator[Sandbox]:
    """One account for all; its faults and switches are put back after each test."""
    with Sandbox(Account(start=NOW, **ACCOUNT), now=lambda: NOW, rate_limit=None, token=TOKEN) as server:
        yield server


@pytest.fixture
def sandbox(shared: Sandbox, monkeypatch: pytest.MonkeyPatch) -> Iterator[Sandbox]:
    """The account over HTTP, without faults and with an empty log, and the settings that reach it."""
    before = (shared.now, shared.scopes, shared.plan_has_stats, shared.project_by_date)
    shared.log.clear()
    monkeypatch.setenv("SOURCES__WISTIA__BASE_URL", shared.url)
    monkeypatch.setenv("SOURCES__WISTIA__ACCESS_TOKEN", TOKEN)
    monkeypatch.setenv("SOURCES__WISTIA__BACKOFF_SECONDS", "0.001")
    yield shared
    shared.now, shared.scopes, shared.plan_has_stats, shared.project_by_date = before
    shared.faults.clear()


def checked(destination: Any = "duckdb", **more: Any) -> dict[str, Check]:
    """What each check came to, by name; each is there once and in order."""
    found = check(destination, **({"now": NOW} | more))
    assert tuple(one.name for one in found.checks) == ORDER
    assert found.ok == all(one.status != "failed" for one in found.checks)
    assert TOKEN not in str(found)
    return {one.name: one for one in found.checks}


def with_status(found: dict[str, Check], status: str) -> set[str]:
    """The names of the checks that came to this."""
    return {name for name, one in found.items() if one.status == status}


def test_all_is_well_and_each_endpoint_was_asked_once(sandbox: Sandbox, tmp_path: Path) -> None:
    found = check(now=NOW)
    assert {one.status for one in found.checks} == {"ok"}
    assert found.requests == len(sandbox.log) == 1 + len(BY_NAME)
    assert len({call.path for call in sandbox.log}) == len(sandbox.log)
    lists = [
        call
        for call in sandbox.log
        if call.path.endswith(("medias.json", "projects.json", "events.json", "visitors.json"))
    ]
    assert [call.query["per_page"] for call in lists] == ["1"] * 4
    assert os.listdir(tmp_path) == []


def test_no_day_is_asked_for_that_has_not_begun_where_wistia_counts(sandbox: Sandbox) -> None:
    # days are those of UTC-5, where it is the evening before
    now = NOW.replace(hour=2)
    sandbox.now = lambda: now
    assert with_status(checked(now=now), "ok") == set(ORDER)
    last_days = {call.query["end_date"] for call in sandbox.log if "by_date" in call.path}
    assert last_days == {(now - timedelta(days=1)).date().isoformat()}


@pytest.mark.parametrize("version", ["2026-03", "2026-09"])
def test_the_dated_api_is_asked_in_its_own_words(
    sandbox: Sandbox, version: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SOURCES__WISTIA__API_VERSION", version)
    # when both are out
    now = datetime(2026, 10, 1, tzinfo=UTC)
    sandbox.now = lambda: now
    assert with_status(checked(now=now), "ok") == set(ORDER)
    assert {call.headers["x-wistia-api-version"] for call in sandbox.log} == {version}


# token, permissions and plan


@pytest.mark.parametrize("token", [None, "", "two words"])
def test_without_a_token_nothing_is_asked(sandbox: Sandbox, token: str | None, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("SOURCES__WISTIA__ACCESS_TOKEN")
    if token is not None:
        monkeypatch.setenv("SOURCES__WISTIA__ACCESS_TOKEN", token)
    found = checked()
    assert with_status(found, "failed") == {"token"}
    assert "SOURCES__WISTIA__ACCESS_TOKEN" in (found["token"].advice or "")
    assert with_status(found, "skipped") >= {"reachability", "permission_stats", *BY_NAME}
    assert not sandbox.log


@pytest.mark.parametrize(
    ("kept", "missing", "permission"),
    [(READ_MEDIA, "permission_stats", READ_STATS), (READ_STATS, "permission_media", READ_MEDIA)],
)
def test_a_missing_permission_is_named_and_costs_one_request(
    sandbox: Sandbox, kept: str, missing: str, permission: str
) -> None:
    sandbox.scopes = (kept,)
    found = checked()
    assert with_status(found, "failed") == {missing}
    assert permission in found[missing].detail
    assert "tick it" in (found[missing].advice or "")
    lacking = {name for name, endpoint in BY_NAME.items() if endpoint.permission == permission}
    assert with_status(found, "skipped") >= lacking
    assert sum(call.status == 401 for call in sandbox.log) == 1
    # what can be asked is asked: without a list of medias those of a media cannot
    others = {name for name, endpoint in BY_NAME.items() if name not in lacking and endpoint.parent not in lacking}
    assert with_status(found, "ok") >= others


def test_a_plan_without_stats(sandbox: Sandbox) -> None:
    sandbox.plan_has_stats = False
    found = checked()
    stats = {name for name, endpoint in BY_NAME.items() if endpoint.permission == READ_STATS}
    assert with_status(found, "failed") == {"plan", *stats}
    assert "ask Wistia for a plan with the Stats API" in (found["plan"].advice or "")
    assert found["medias"].status == found["permission_media"].status == "ok"


def test_one_resource_that_the_plan_lacks(sandbox: Sandbox) -> None:
    sandbox.faults.add(Fault("/engagement", status=403, times=None, body='{"error": "Not on your plan."}'))
    found = checked()
    assert with_status(found, "failed") == {"plan", "media_engagement"}
    assert found["plan"].detail == "It does not include media_engagement"
    assert "--select" in (found["media_engagement"].advice or "")


# the way to Wistia


def test_a_host_where_nobody_listens(sandbox: Sandbox, monkeypatch: pytest.MonkeyPatch) -> None:
    with closing(socket.create_server(("127.0.0.1", 0))) as free:
        url = f"http://127.0.0.1:{free.getsockname()[1]}"
    monkeypatch.setenv("SOURCES__WISTIA__BASE_URL", url)
    found = checked()
    assert with_status(found, "failed") == {"reachability"}
    assert f"{url} cannot be reached" in found["reachability"].detail
    assert found["reachability"].advice == "check base_url and the network, then run again"
    assert with_status(found, "skipped") >= {"token", "clock", "permission_stats", "plan", *BY_NAME}
    assert found["destination"].status == "ok"


@pytest.mark.parametrize(
    ("fault", "said", "requests"),
    [
        (Fault("", status=500, times=None), "kept failing: HTTP 500", 2),
        (Fault("", kind="html", times=None), "the answer is not JSON", 2),
        (Fault("", kind="reset", times=None), "kept failing", 2),
        (Fault("", status=302, times=None), "sends us elsewhere (HTTP 302)", 1),
        (Fault("", status=404, times=None), "There is no Wistia API at base_url (HTTP 404)", 1),
        (Fault("", status=429, times=None, retry_after="60"), "request quota is used up", 1),
        (Fault("", status=200, times=None, body="{}"), "without an account id", 1),
    ],
    ids=lambda value: f"{value.kind}{value.status}" if isinstance(value, Fault) else "",
)
def test_what_is_no_wistia_is_known_soon(sandbox: Sandbox, fault: Fault, said: str, requests: int) -> None:
    sandbox.faults.add(fault)
    found = checked()
    assert with_status(found, "failed") == {"reachability"}
    assert said in found["reachability"].detail
    assert found["reachability"].advice
    assert len(sandbox.log) == requests


def test_one_failure_that_passes_is_none(sandbox: Sandbox) -> None:
    sandbox.faults.add(Fault("", status=503, times=1))
    sandbox.faults.add(Fault("stats/events", kind="reset", times=1))
    found = check(now=NOW)
    assert {one.status for one in found.checks} == {"ok"}
    # one for each endpoint and the account, and those that failed
    assert found.requests == len(sandbox.log) == len(ENDPOINTS) + 1 + 2


def test_one_endpoint_that_fails(sandbox: Sandbox) -> None:
    sandbox.faults.add(Fault("stats/visitors", status=500, times=None))
    found = checked()
    assert with_status(found, "failed") == {"visitors"}
    assert with_status(found, "skipped") == set()


@pytest.mark.parametrize(
    ("path", "body", "said"),
    [
        ("stats/events", '{"status": "ok"}', "something else than rows"),
        ("stats/visitors", '[{"created_at": "2026-06-01T00:00:00Z"}]', "without a key"),
        ("stats/account$", '{"load_count": "many"}', "load_count"),
    ],
)
def test_an_answer_that_could_not_be_loaded(sandbox: Sandbox, path: str, body: str, said: str) -> None:
    sandbox.faults.add(Fault(path.replace("$", r"\.json$"), status=200, times=None, body=body))
    found = checked()
    (failed,) = with_status(found, "failed")
    assert said in found[failed].detail
    assert "report it" in str(found[failed])


def test_what_is_not_there(sandbox: Sandbox) -> None:
    sandbox.project_by_date = False
    sandbox.faults.add(Fault("/engagement", status=404, times=None))
    found = checked()
    assert (found["project_stats_by_date"].status, with_status(found, "failed")) == ("ok", set())
    assert "not offered" in found["project_stats_by_date"].detail
    assert with_status(found, "warning") == {"media_engagement"}
    assert "HTTP 404" in found["media_engagement"].detail


@pytest.mark.slow
def test_an_account_without_medias(monkeypatch: pytest.MonkeyPatch) -> None:
    empty = Account(start=NOW, seed=1, medias=0, projects=1, visitors=1, events=0, days=10)
    with Sandbox(empty, now=lambda: NOW, token=TOKEN) as sandbox:
        monkeypatch.setenv("SOURCES__WISTIA__BASE_URL", sandbox.url)
        monkeypatch.setenv("SOURCES__WISTIA__ACCESS_TOKEN", TOKEN)
        found = checked()
    of_medias = {name for name, endpoint in BY_NAME.items() if endpoint.parent == "medias"}
    assert with_status(found, "skipped") == of_medias
    assert "no medias yet" in found["captions"].detail


# settings


@pytest.mark.parametrize(
    ("version", "status", "said"),
    [
        ("2019-01", None, "api_version"),
        ("2024-03", "warning", "older than the year"),
        ("2099-01", "warning", "not out yet"),
    ],
)
def test_the_version_of_the_api(
    sandbox: Sandbox, version: str, status: str | None, said: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SOURCES__WISTIA__API_VERSION", "next" if status is None else version)
    found = checked()
    name = "api_version" if status else "settings"
    assert found[name].status == (status or "failed")
    assert said in found[name].detail
    assert bool(sandbox.log) is bool(status)


@pytest.mark.parametrize(
    ("setting", "value", "name", "status", "said"),
    [
        ("START_DATE", "2020-01-01", "start_date", "warning", "no viewing sessions from before"),
        ("START_DATE", "2099-01-01", "start_date", "failed", "in the future"),
        ("START_DATE", "yesterday", "start_date", "failed", "must be a day"),
        ("REQUESTS_PER_MINUTE", "601", "requests_per_minute", "warning", "429"),
        ("REQUESTS_PER_MINUTE", "0", "requests_per_minute", "failed", "at least 1"),
        ("REQUESTS_PER_MINUTE", "many", "settings", "failed", "whole number"),
        ("VISITOR_FILTER", "has_hat", "settings", "failed", "has_email"),
        ("BASE_URL", "api.wistia.com", "settings", "failed", "base_url"),
        ("STARTDATE", "2026-01-01", "settings", "warning", "sources.wistia.startdate"),
    ],
)
def test_a_setting(
    sandbox: Sandbox, setting: str, value: str, name: str, status: str, said: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(f"SOURCES__WISTIA__{setting}", value)
    found = checked()
    assert found[name].status == status
    assert said in str(found[name])
    assert with_status(found, "failed") == ({name} if status == "failed" else set())
    # a day that is wrong does not hide what else there is to say
    assert bool(sandbox.log) is (name != "settings" or status == "warning")


def test_the_limits_of_days_and_requests(sandbox: Sandbox, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SOURCES__WISTIA__START_DATE", (NOW - timedelta(days=730)).date().isoformat())
    monkeypatch.setenv("SOURCES__WISTIA__REQUESTS_PER_MINUTE", "600")
    assert with_status(checked(), "ok") == set(ORDER)
    monkeypatch.setenv("SOURCES__WISTIA__START_DATE", (NOW - timedelta(days=731)).date().isoformat())
    assert with_status(checked(), "warning") == {"start_date"}


@pytest.mark.parametrize(("minutes", "which"), [(4, None), (-4, None), (6, "ahead of"), (-6, "behind")])
def test_the_clock(sandbox: Sandbox, minutes: int, which: str | None) -> None:
    found = checked(now=NOW + timedelta(minutes=minutes))["clock"]
    assert found.status == ("warning" if which else "ok")
    assert (f"6 minutes {which} Wistia's" in found.detail) is bool(which)


def test_the_timezone_of_the_models(sandbox: Sandbox, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("WISTIA_PIPELINE__MODELS__TIMEZONE", "Mars/Olympus")
    found = checked()
    assert with_status(found, "failed") == {"models"}
    assert "Mars/Olympus" in found["models"].detail


# the destination


def test_a_warehouse_that_is_there_stays_as_it_is(sandbox: Sandbox, tmp_path: Path) -> None:
    with closing(duckdb.connect("warehouse.duckdb")) as connection:
        connection.execute("create schema wistia_raw; create table wistia_raw.x as select 1 as y")
    before = Path("warehouse.duckdb").read_bytes()
    assert with_status(checked(), "ok") == set(ORDER)
    assert Path("warehouse.duckdb").read_bytes() == before
    assert os.listdir(tmp_path) == ["warehouse.duckdb"]
    assert not files_with_token(tmp_path)


@pytest.mark.parametrize(
    ("path", "said"), [("nowhere/warehouse.duckdb", "There is no folder"), ("/proc/w.duckdb", "No such file")]
)
def test_a_duckdb_file_that_cannot_be_made(
    sandbox: Sandbox, path: str, said: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("DESTINATION__DUCKDB__CREDENTIALS", path)
    found = checked()
    assert with_status(found, "failed") == {"destination"}
    assert said in found["destination"].detail
    assert found["destination"].advice


def test_a_file_that_is_no_duckdb_file(sandbox: Sandbox) -> None:
    Path("warehouse.duckdb").write_text("hello, I am no database " * 300, "utf-8")
    found = checked()
    assert with_status(found, "failed") == {"destination"}
    assert "not a valid DuckDB database file" in found["destination"].detail


def test_a_file_that_another_program_has_open_is_named_at_once(sandbox: Sandbox) -> None:
    with open_elsewhere(Path("warehouse.duckdb")) as other:
        found = checked()
    assert with_status(found, "failed") == {"destination"}
    assert f"process {other.pid}" in found["destination"].detail


def test_a_destination_that_there_is_not(sandbox: Sandbox) -> None:
    found = checked("warehouse9")
    assert with_status(found, "failed") == {"destination"}
    assert "duckdb, postgres or ducklake" in (found["destination"].advice or "")


def test_files_are_not_tried(sandbox: Sandbox, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("DESTINATION__FILESYSTEM__BUCKET_URL", f"file://{tmp_path}/lake")
    found = checked("filesystem")
    assert (found["destination"].status, found["models"].status) == ("warning", "skipped")


# Postgres


def schemas(url: str) -> set[str]:
    """The schemas of a database."""
    with closing(psycopg2.connect(url)) as connection, connection.cursor() as cursor:
        cursor.execute("select nspname from pg_namespace")
        return {name for (name,) in cursor.fetchall()}


@pytest.mark.slow
def test_postgres(sandbox: Sandbox, postgres_url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DESTINATION__POSTGRES__CREDENTIALS", postgres_url)
    before = schemas(postgres_url)
    found = checked("postgres")
    assert with_status(found, "ok") == set(ORDER)
    assert found["destination"].detail.startswith("postgres 1")
    assert schemas(postgres_url) == before


@pytest.mark.parametrize("number", [13, 19])
def test_another_release_of_postgres_than_those_tested_is_a_warning(number: int) -> None:
    with pytest.raises(NotTried, match=f"Postgres {number}.2 answers, but 14 to 18 are what is tested"):
        require_tested(number, f"{number}.2")


@pytest.mark.slow
def test_postgres_without_rights_or_a_server(
    sandbox: Sandbox, postgres_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    with closing(psycopg2.connect(postgres_url)) as connection:
        connection.autocommit = True
        with connection.cursor() as cursor:
            cursor.execute("drop role if exists checker; create role checker login password 'unused'")
    try:
        theirs = postgres_url.replace("//postgres:", "//checker:")
        monkeypatch.setenv("DESTINATION__POSTGRES__CREDENTIALS", theirs)
        found = checked("postgres")
        assert with_status(found, "failed") == {"destination"}
        assert "permission denied" in found["destination"].detail
        assert "grant it" in (found["destination"].advice or "")
    finally:
        with closing(psycopg2.connect(postgres_url)) as connection, connection, connection.cursor() as cursor:
            cursor.execute("drop role checker")
    for wrong, said in (("//nobody:", "nobody"), ("//postgres:unused@127.0.0.1:1/", "cannot be reached")):
        old = (
            "//postgres:" if wrong == "//nobody:" else postgres_url.partition("postgresql:")[2].rpartition("/")[0] + "/"
        )
        monkeypatch.setenv("DESTINATION__POSTGRES__CREDENTIALS", postgres_url.replace(old, wrong))
        found = checked("postgres")
        assert with_status(found, "failed") == {"destination"}
        assert said in found["destination"].detail
        assert "unused" not in str(found)
