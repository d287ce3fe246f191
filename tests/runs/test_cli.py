"""The command line as its users meet it: a process of its own in an empty folder, against the local Wistia API."""

from __future__ import annotations

import json
import os
import pty
import re
import select
import shutil
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator, Mapping
from contextlib import closing, contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from functools import partial
from pathlib import Path
from typing import Any

import duckdb
import psycopg2
import pytest
from wistia_pipeline.failures import explain, stop_signal
from wistia_pipeline.sandbox import Account, Fault, Sandbox
from wistia_pipeline.sandbox.answers import FOLDERS_AND_MEDIAS

from tests.support.folder import COMMAND, ESCAPE, PROGRESS_LINE, Folder, empty_folder, rows
from tests.support.postgres import database
from tests.support.sandbox import TOKEN
from wistia_source.endpoints import BY_NAME

START = datetime.now(UTC).replace(microsecond=0)
PASSWORD = "s3cret-password"


def contents(file: Path) -> dict[str, list[tuple[Any, ...]]]:
    """All rows of the resources' tables."""
    names = [name for (name,) in rows(file, "select table_name from information_schema.tables order by 1")]
    loaded = [name for name in names if name in BY_NAME]
    assert loaded
    return {name: rows(file, f"select * from wistia_raw.{name} order by all") for name in loaded}


@pytest.fixture(scope="module")
def shared() -> Iterator[Sandbox]:
    """One account for all; its faults and switches are put back after each test."""
    account = Account(seed=3, start=START, medias=6, projects=2, visitors=40, events=150, days=30)
    with Sandbox(account, now=lambda: START, rate_limit=None, token=TOKEN) as server:
        yield server


@pytest.fixture
def sandbox(shared: Sandbox) -> Iterator[Sandbox]:
    """The account over HTTP, without faults and with an empty log."""
    before = (shared.now, shared.scopes, shared.plan_has_stats, shared.latency)
    shared.log.clear()
    yield shared
    shared.now, shared.scopes, shared.plan_has_stats, shared.latency = before
    shared.faults.clear()


@pytest.fixture
def folder(tmp_path: Path, sandbox: Sandbox) -> Folder:
    """An empty folder."""
    return empty_folder(tmp_path / "user", sandbox, START)


@pytest.fixture(scope="module")
def loaded_once(tmp_path_factory: pytest.TempPathFactory, shared: Sandbox) -> Folder:
    """A folder in which one sync has run. Tests take a copy."""
    folder = empty_folder(tmp_path_factory.mktemp("loaded") / "user", shared, START)
    assert folder.sync()["status"] == "ok"
    return folder


@pytest.fixture
def loaded(tmp_path: Path, loaded_once: Folder, sandbox: Sandbox) -> Folder:
    """A folder in which one sync has run."""
    return loaded_once.copied_to(tmp_path / "user")


# what a sync prints and leaves


def test_a_table_on_standard_output_and_plain_progress_on_standard_error(folder: Folder) -> None:
    # continuous integration sets FORCE_COLOR, which makes rich take a pipe for a terminal
    done = folder.run("sync", FORCE_COLOR=None)
    assert done.returncode == 0, done.stderr
    for name in BY_NAME:
        assert re.search(rf"│ {name} +│ +[\d,]+ │ +\d+ │", done.stdout), name
        assert re.search(rf"^{name}: [\d,]+ rows?, \d+ requests?$", done.stderr, re.MULTILINE), name
    assert "all (ok)" in done.stdout
    # no log of dlt's, no warning, no bar
    assert all(PROGRESS_LINE.fullmatch(line) for line in done.stderr.splitlines()), done.stderr
    assert ESCAPE not in done.stdout + done.stderr
    assert TOKEN not in done.stdout + done.stderr
    assert os.listdir(folder.work) == ["warehouse.duckdb"]
    assert os.listdir(folder.env["HOME"]) == []
    schemas = rows(folder.warehouse, "select distinct table_schema from information_schema.tables")
    assert ("wistia_raw",) in schemas
    assert not [schema for (schema,) in schemas if not schema.startswith("wistia_raw")]


def test_json_counts_what_the_api_counted(folder: Folder, sandbox: Sandbox) -> None:
    answer = folder.sync()
    view = sandbox.account.at(START)
    assert answer["status"] == "ok"
    assert answer["requests"] == len(sandbox.log)
    assert answer["requests"] == sum(figures["requests"] for figures in answer["resources"].values())
    assert answer["seconds"] > 0
    assert set(answer["resources"]) == set(BY_NAME)
    assert answer["resources"]["medias"]["rows"] == len(view.medias())
    assert answer["resources"]["events"]["rows"] == len(view.events())
    assert answer["failures"] == []
    assert answer["error"] is None


@pytest.mark.slow
def test_no_telemetry(folder: Folder) -> None:
    with closing(socket.create_server(("127.0.0.1", 0))) as proxy:
        address = f"http://127.0.0.1:{proxy.getsockname()[1]}"
        done = folder.run(
            "sync", "--select", "account_stats", HTTPS_PROXY=address, HTTP_PROXY=address, NO_PROXY="127.0.0.1"
        )
        assert done.returncode == 0, done.stderr
        assert not select.select([proxy], [], [], 0)[0]


def test_only_selected_resources_are_loaded(folder: Folder) -> None:
    answer = folder.sync("--select", "events, visitors")
    assert set(answer["resources"]) == {"events", "visitors"}
    assert set(contents(folder.warehouse)) == {"events", "visitors"}


def test_bars_on_a_terminal(folder: Folder) -> None:
    seen, code = on_terminal(folder, "sync", "--no-models", "--select", "account_stats,medias")
    assert code == 0, seen
    assert ESCAPE in seen
    assert "━" in seen
    assert "account_stats" in seen
    assert "all (ok)" in seen


def on_terminal(folder: Folder, *arguments: str) -> tuple[str, int]:
    """All that a command shows on a terminal, and its exit code."""
    ours, theirs = pty.openpty()
    process = subprocess.Popen(
        [COMMAND, *arguments],
        cwd=folder.work,
        env=folder.environment(TERM="xterm", COLUMNS="80", LINES="40"),
        stdin=theirs,
        stdout=theirs,
        stderr=theirs,
    )
    os.close(theirs)
    shown = b""
    while True:
        try:
            chunk = os.read(ours, 65_536)
        except OSError:
            # how Linux says that the other side has gone
            break
        if not chunk:
            break
        shown += chunk
    os.close(ours)
    return shown.decode(), process.wait(10)


# parents that fail


@pytest.mark.slow
@pytest.mark.parametrize("status", [500, 404])
def test_one_bad_media_costs_no_other(folder: Folder, sandbox: Sandbox, status: int) -> None:
    medias = [media["hashed_id"] for media in sandbox.account.at(START).medias()]
    bad = medias[1]
    sandbox.faults.add(Fault(f"stats/medias/{bad}", status=status, times=None))
    done = folder.run("sync", "--json")
    assert done.returncode == 3, done.stderr
    answer = json.loads(done.stdout)
    assert answer["status"] == "partial"
    assert answer["requests"] == len(sandbox.log)
    fan_outs = {"media_stats", "media_stats_by_date", "media_engagement"}
    assert {(failure["resource"], failure["parent_id"]) for failure in answer["failures"]} == {
        (name, bad) for name in fan_outs
    }
    lines = [line for line in done.stderr.splitlines() if not PROGRESS_LINE.fullmatch(line)]
    assert len([line for line in lines if line.startswith("Not loaded: ") and bad in line]) == 3
    assert "Everything else is loaded; these are asked for again." in lines
    for name in fan_outs:
        got = {media for (media,) in rows(folder.warehouse, f"select distinct media_id from wistia_raw.{name}")}
        assert got == {*medias} - {bad}, name
    sandbox.faults.clear()
    assert folder.sync()["status"] == "ok"
    if status == 404:
        # what Wistia says is not there is asked again at its turn only
        return
    (healed,) = rows(folder.warehouse, f"select count(*) from wistia_raw.media_stats where media_id = '{bad}'")
    assert healed == (1,)


# settings


def test_settings_come_from_files_and_the_environment_wins(folder: Folder, sandbox: Sandbox) -> None:
    settings = folder.work / ".dlt"
    settings.mkdir()
    (settings / "config.toml").write_text(f'[sources.wistia]\nbase_url = "{sandbox.url}"\napi_version = "2026-03"\n')
    (settings / "secrets.toml").write_text(
        f'[sources.wistia]\naccess_token = "{TOKEN}"\n[destination.duckdb]\ncredentials = "mine.duckdb"\n'
    )
    from_files: dict[str, str | None] = {"SOURCES__WISTIA__BASE_URL": None, "SOURCES__WISTIA__ACCESS_TOKEN": None}
    assert folder.sync("--select", "account_stats", **from_files)["status"] == "ok"
    assert {call.path.split("/")[1] for call in sandbox.log} == {"modern"}
    assert sorted(os.listdir(folder.work)) == [".dlt", "mine.duckdb"]

    sandbox.log.clear()
    chosen = from_files | {"SOURCES__WISTIA__API_VERSION": "v1", "DESTINATION__DUCKDB__CREDENTIALS": "other.duckdb"}
    assert folder.sync("--select", "account_stats", **chosen)["status"] == "ok"
    assert {call.path.split("/")[1] for call in sandbox.log} == {"v1"}
    assert (folder.work / "other.duckdb").exists()


def test_postgres(folder: Folder, sandbox: Sandbox, postgres_url: str) -> None:
    with database(postgres_url) as url:
        answer = folder.sync("--destination", "postgres", DESTINATION__POSTGRES__CREDENTIALS=url)
        assert answer["status"] == "ok"
        with closing(psycopg2.connect(url)) as connection, connection.cursor() as cursor:
            cursor.execute("select count(*) from wistia_raw.events")
            assert cursor.fetchone() == (len(sandbox.account.at(START).events()),)
    assert os.listdir(folder.work) == []


@pytest.mark.slow
def test_two_warehouses_in_turn_miss_nothing(folder: Folder, sandbox: Sandbox) -> None:
    """What one warehouse has seen must not be taken for what the other has."""

    def load(file: str, days_ago: int) -> int:
        sandbox.now = lambda: START - timedelta(days=days_ago)
        assert folder.sync("--select", "events", DESTINATION__DUCKDB__CREDENTIALS=file)["status"] == "ok"
        ((count,),) = rows(folder.work / file, "select count(*) from wistia_raw.events")
        return int(count)

    expected = len(sandbox.account.at(START).events())
    assert load("first.duckdb", 10) < expected
    shutil.copy(folder.work / "first.duckdb", folder.work / "backup.duckdb")
    load("second.duckdb", 9)
    assert load("second.duckdb", 0) == expected
    assert load("first.duckdb", 0) == expected
    # a backup put back is older than this machine's memory of it
    shutil.move(folder.work / "backup.duckdb", folder.work / "first.duckdb")
    assert load("first.duckdb", 0) == expected


@pytest.mark.slow
def test_what_a_killed_run_left_is_loaded_where_it_belongs(folder: Folder, sandbox: Sandbox) -> None:
    first: dict[str, str | None] = {"DESTINATION__DUCKDB__CREDENTIALS": "first.duckdb"}
    second: dict[str, str | None] = {"DESTINATION__DUCKDB__CREDENTIALS": "second.duckdb"}
    for days_ago, settings in ((20, second), (10, first)):
        sandbox.now = partial(lambda days: START - timedelta(days=days), days_ago)
        folder.sync("--select", "events", **settings)
    sandbox.now = lambda: START
    killed = folder.start("sync", "--select", "events", **first)
    assert killed.stderr is not None
    while killed.stderr.readline() not in ("loading into the warehouse\n", ""):
        pass
    killed.kill()
    killed.communicate()
    assert killed.returncode == -signal.SIGKILL
    for file, settings in {"second.duckdb": second, "first.duckdb": first}.items():
        assert folder.sync("--select", "events", **settings)["status"] == "ok"
        ((count,),) = rows(folder.work / file, "select count(*) from wistia_raw.events")
        assert count == len(sandbox.account.at(START).events()), file


@pytest.mark.parametrize(
    "kind",
    [
        "duckdb",
        *(
            pytest.param(kind, marks=pytest.mark.slow)
            for kind in ("duckdb from two data folders", "postgres from two machines")
        ),
    ],
)
def test_a_second_run_on_a_warehouse_touches_nothing(
    folder: Folder, sandbox: Sandbox, postgres_url: str, tmp_path: Path, kind: str
) -> None:
    elsewhere: dict[str, str | None] = {}
    arguments = ["sync", "--select", "visitors"]
    with database(postgres_url) as address:
        if kind != "duckdb":
            elsewhere["DLT_DATA_DIR"] = str(tmp_path / "elsewhere")
        if kind.startswith("postgres"):
            folder.env["DESTINATION__POSTGRES__CREDENTIALS"] = address
            arguments += ["--destination", "postgres"]
        sandbox.faults.add(Fault("v1/account.json", kind="hang", seconds=60, times=None))
        first = folder.start(*arguments)
        while not sandbox.log:
            time.sleep(0.02)
        second = folder.run(*arguments, **elsewhere)
        assert (second.returncode, second.stdout) == (1, "")
        assert second.stderr == (
            "Error: Another run is loading this warehouse; nothing is touched: run again when it has ended.\n"
        )
        first.kill()
        first.wait()
        sandbox.faults.clear()
        assert folder.run(*arguments, **elsewhere).returncode == 0


def test_one_event_and_one_visitor_by_key(loaded: Folder, sandbox: Sandbox) -> None:
    account = sandbox.account
    first, second = (event["event_key"] for event in account.at(START).events()[:2])
    before = contents(loaded.warehouse)
    for key in (first, second):
        account.restate_event(key, percent_viewed=0.4321)
    done = loaded.sync("--event-key", first)
    assert set(done["resources"]) == {"events"}
    assert done["requests"] == len(sandbox.log) == 2
    after = contents(loaded.warehouse)
    changed = set(after["events"]) - set(before["events"])
    assert len(changed) == len(set(before["events"]) - set(after["events"])) == 1
    assert first in next(iter(changed))
    assert 0.4321 in next(iter(changed))
    assert {name: after[name] for name in after if name != "events"} == {
        name: before[name] for name in before if name != "events"
    }

    visitor = account.at(START).visitors()[0]["visitor_key"]
    with closing(duckdb.connect(str(loaded.warehouse))) as connection:
        connection.execute("update wistia_raw.visitors set play_count = -1, _row_hash = 0")
    assert loaded.sync("--visitor-key", visitor)["status"] == "ok"
    mended = rows(loaded.warehouse, "select visitor_key from wistia_raw.visitors where play_count >= 0")
    assert mended == [(visitor,)]


# the sandbox as a program


def test_sandbox_serves_until_interrupted(folder: Folder) -> None:
    server = folder.start("sandbox", "--port", "0", "--medias", "3", "--events", "20", "--visitors", "5")
    try:
        assert server.stdout is not None
        found = re.search(r"http://[\w.]+:\d+", server.stdout.readline())
        assert found
        url = found.group()
        settings = {"SOURCES__WISTIA__BASE_URL": url, "SOURCES__WISTIA__ACCESS_TOKEN": "sandbox-token"}
        answer = folder.sync("--select", "medias", **settings)
        assert answer["resources"]["medias"]["rows"] == 3
        taken = folder.run("sandbox", "--port", url.rpartition(":")[2])
        assert taken.returncode == 1
        assert taken.stderr.count("\n") == 1
        assert "choose another --port" in taken.stderr
    finally:
        server.send_signal(signal.SIGINT)
        out, err = server.communicate(timeout=10)
    assert server.returncode == 0
    assert "Stopped." in out
    assert err == ""


# bad input


@dataclass(frozen=True)
class Bad:
    """A mistake, and the words that tell the user about it."""

    says: str
    arguments: tuple[str, ...] = ()
    settings: Mapping[str, str | None] = field(default_factory=dict)


def setting(name: str, value: str | None) -> dict[str, str | None]:
    """One setting of the source."""
    return {f"SOURCES__WISTIA__{name}": value}


def of_duckdb(settings: str) -> dict[str, str | None]:
    """Settings of DuckDB's own."""
    return {"DESTINATION__DUCKDB__CREDENTIALS__GLOBAL_CONFIG": settings}


def postgres(address: str | None) -> dict[str, str | None]:
    """Where Postgres is said to be."""
    return {"DESTINATION__POSTGRES__CREDENTIALS": address}


TO_POSTGRES = ("--destination", "postgres")
TOMORROW = (datetime.now(UTC) + timedelta(days=2)).date().isoformat()

BAD_SETTINGS = {
    "no token": Bad("There is no access token; set SOURCES__WISTIA__ACCESS_TOKEN", (), setting("ACCESS_TOKEN", None)),
    "wrong token": Bad("does not accept the access token", (), setting("ACCESS_TOKEN", "s3cret-token-that-is-wrong")),
    "empty selection": Bad("There is no resource ''; choose from medias,", ("--select", " , ")),
    "unknown resource": Bad("There is no resource evnts; choose from medias,", ("--select", "evnts,visitors")),
    "start in the future": Bad("is in the future; set it to a day up to", (), setting("START_DATE", TOMORROW)),
    "start no date": Bad("start_date is 'yesterday', but must be a day", (), setting("START_DATE", "yesterday")),
    "quota no number": Bad("requests_per_minute must be a whole number", (), setting("REQUESTS_PER_MINUTE", "many")),
    "quota of nothing": Bad("must be at least 1", (), setting("REQUESTS_PER_MINUTE", "0")),
    "negative lookback": Bad(
        "A lookback or refresh time of events is -1.0, but", (), setting("EVENTS_LOOKBACK_HOURS", "-1")
    ),
    "endless lookback": Bad(
        "A lookback or refresh time of account_stats_by_date is", (), setting("BY_DATE_LOOKBACK_DAYS", "1000000")
    ),
    "start of all time": Bad("is before there were videos", (), setting("START_DATE", "0001-01-01")),
    "unknown version": Bad("api_version is 'v3', but must be 'v1' or", (), setting("API_VERSION", "v3")),
    "no address": Bad("base_url must be", (), setting("BASE_URL", "wistia")),
    "nobody there": Bad("cannot be reached", (), setting("BASE_URL", "http://127.0.0.1:9")),
    "no such event": Bad("check the key", ("--event-key", "nosuch")),
    "unknown destination": Bad("no such destination; use duckdb, postgres or ducklake", ("--destination", "nosuch")),
    "no Postgres": Bad(
        "Postgres cannot be reached", TO_POSTGRES, postgres(f"postgresql://u:{PASSWORD}@127.0.0.1:9/warehouse")
    ),
    "no address of Postgres": Bad("credentials are missing, or", TO_POSTGRES),
    "no password": Bad(
        "lack a part such as the password", TO_POSTGRES, postgres("postgresql://u@127.0.0.1:9/warehouse")
    ),
    "no form": Bad("credentials cannot be read", TO_POSTGRES, postgres(f"host=localhost password={PASSWORD}")),
    "another form": Bad("credentials cannot be read", TO_POSTGRES, postgres(f"mysql://u:{PASSWORD}@localhost/db")),
    "in memory": Bad("to the path of a file", (), {"DESTINATION__DUCKDB__CREDENTIALS": ":memory:"}),
    "no such memory": Bad("cannot be opened: Parser Error", (), of_duckdb('{"memory_limit": "abc"}')),
    "no such parameter": Bad("DuckDB refuses a setting", (), of_duckdb('{"memry_limit": "1GB"}')),
    "no folder": Bad("choose another, in a folder", (), {"DESTINATION__DUCKDB__CREDENTIALS": "no/such/w.duckdb"}),
}


def told(done: subprocess.CompletedProcess[str], says: str) -> None:
    """Exit 1, one sentence that says what to do, no secret."""
    assert done.returncode == 1, done.stderr
    assert done.stdout == ""
    lines = [line for line in done.stderr.splitlines() if not PROGRESS_LINE.fullmatch(line)]
    assert len(lines) == 1, done.stderr
    assert re.fullmatch(r"Error: .+\.", lines[0])
    assert says in lines[0]
    assert "Traceback" not in done.stderr
    assert "s3cret" not in done.stderr


@pytest.fixture(scope="module")
def spoilt(tmp_path_factory: pytest.TempPathFactory, loaded_once: Folder) -> tuple[Folder, dict[str, Any]]:
    """One loaded folder for all mistakes, and what is loaded there."""
    folder = loaded_once.copied_to(tmp_path_factory.mktemp("spoilt") / "user")
    return folder, contents(folder.warehouse)


@pytest.mark.parametrize("name", BAD_SETTINGS)
def test_bad_settings(spoilt: tuple[Folder, dict[str, Any]], sandbox: Sandbox, name: str) -> None:
    folder, before = spoilt
    bad = BAD_SETTINGS[name]
    started = time.monotonic()
    told(folder.run("sync", *bad.arguments, **bad.settings), bad.says)
    assert time.monotonic() - started < 20
    assert contents(folder.warehouse) == before
    assert os.listdir(folder.work) == ["warehouse.duckdb"]


def test_missing_permission_is_named(spoilt: tuple[Folder, dict[str, Any]], sandbox: Sandbox) -> None:
    sandbox.scopes = (FOLDERS_AND_MEDIAS,)
    told(spoilt[0].run("sync"), "lacks the permission 'Read detailed stats'; tick it")
    assert contents(spoilt[0].warehouse) == spoilt[1]


def test_plan_without_stats(spoilt: tuple[Folder, dict[str, Any]], sandbox: Sandbox) -> None:
    sandbox.plan_has_stats = False
    told(spoilt[0].run("sync"), "ask Wistia for a plan with the Stats API")
    assert contents(spoilt[0].warehouse) == spoilt[1]


def test_a_failure_is_json_too(spoilt: tuple[Folder, dict[str, Any]], sandbox: Sandbox) -> None:
    answer = spoilt[0].sync("--select", "evnts")
    assert answer["status"] == "failed"
    assert answer["error"].startswith("There is no resource evnts")
    assert answer["requests"] == len(sandbox.log) == 0
    assert answer["resources"] == {}


@pytest.mark.slow
def test_warehouse_open_in_another_program(spoilt: tuple[Folder, dict[str, Any]]) -> None:
    folder, before = spoilt
    with holding(folder.warehouse):
        told(folder.run("sync"), "open in another program")
    assert contents(folder.warehouse) == before


@contextmanager
def holding(file: Path) -> Iterator[None]:
    """Another program has the DuckDB file open."""
    script = f"import duckdb; c = duckdb.connect({str(file)!r}); print('open', flush=True); input()"
    holder = subprocess.Popen([sys.executable, "-c", script], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    assert holder.stdout is not None
    assert holder.stdout.readline() == "open\n"
    try:
        yield
    finally:
        holder.communicate("\n", timeout=10)


@pytest.mark.slow
def test_whoever_reads_the_file_may_do_so_between_loads_and_for_a_moment_at_any_time(
    folder: Folder, sandbox: Sandbox
) -> None:
    sandbox.latency = 0.3
    writer = folder.start("sync", WISTIA_PIPELINE__PACKAGE_SECONDS="0.5")
    counts: list[int] = []
    while writer.poll() is None:
        try:
            ((count,),) = rows(folder.warehouse, "select count(*) from wistia_raw.events")
            counts.append(count)
        except (duckdb.IOException, duckdb.CatalogException):
            continue
        finally:
            time.sleep(0.01)
    assert writer.wait() == 0, writer.communicate()
    assert max(counts) > 0


def test_a_file_that_is_no_duckdb_file_is_left_alone(folder: Folder) -> None:
    folder.warehouse.write_text("a letter to my aunt\n" * 500)
    told(folder.run("sync"), "not a valid DuckDB database file")
    assert folder.warehouse.read_text().startswith("a letter to my aunt")


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("[sources.wistia\n", "not valid TOML"),
        ('[destination.duckdb]\ncredentials = "mine.duckdb"\n', "move it from .dlt/config.toml to .dlt/secrets.toml"),
    ],
)
def test_settings_file_that_cannot_be_used(folder: Folder, text: str, says: str) -> None:
    (folder.work / ".dlt").mkdir()
    (folder.work / ".dlt" / "config.toml").write_text(text)
    told(folder.run("sync"), says)


@pytest.mark.parametrize("package", ["psycopg2", "adbc_driver_postgresql"])
def test_postgres_without_its_packages(folder: Folder, tmp_path: Path, package: str) -> None:
    missing = tmp_path / "packages"
    missing.mkdir()
    (missing / f"{package}.py").write_text(f"raise ModuleNotFoundError(\"No module named '{package}'\")")
    settings = postgres("postgresql://u:p@127.0.0.1:9/warehouse")
    done = folder.run("sync", *TO_POSTGRES, PYTHONPATH=str(missing), **settings)
    told(done, "pip install '.[postgres]'")


def test_a_file_that_a_newer_duckdb_has_written_is_named() -> None:
    # as DuckDB 1.5 says of a file of DuckDB 2
    of_duckdb = (
        "IO Error: Trying to read a database file with version number 999, but we can only read versions between"
    )
    said = explain(duckdb.IOException(f"{of_duckdb} 64 and 68."))
    assert said.startswith("The DuckDB file was written by a newer DuckDB than this one (")
    assert said.endswith("; install that one, or choose another file (DESTINATION__DUCKDB__CREDENTIALS).")


def test_no_secret_in_what_nobody_expected() -> None:
    error = RuntimeError(f"postgresql://u:{PASSWORD}@localhost/db and Authorization: Bearer {TOKEN}\nmore")
    said = explain(error)
    assert "postgresql://u:***@localhost/db" in said
    assert "s3cret" not in said
    assert "\n" not in said


# being stopped


def test_duckdb_may_hear_of_ctrl_c_first() -> None:
    # what DuckDB raises when the signal comes while it works on a query
    stopped = RuntimeError("Query interrupted")
    assert explain(stopped).startswith("Stopped before the end;")
    assert stop_signal(stopped) is signal.SIGINT


def test_stopped_by_ctrl_c(folder: Folder, sandbox: Sandbox) -> None:
    """Also while the first request, which everything waits for, hangs."""
    for path in ("account", "stats/medias"):
        sandbox.faults.clear()
        sandbox.log.clear()
        sandbox.faults.add(Fault(path, kind="hang", seconds=60, times=None))
        process = folder.start("sync")
        while not any(path in call.path for call in list(sandbox.log)):
            assert process.poll() is None
            time.sleep(0.05)
        stopped = time.monotonic()
        killer = threading.Timer(15, process.kill)
        killer.start()
        process.send_signal(signal.SIGINT)
        out, err = process.communicate()
        killer.cancel()
        assert time.monotonic() - stopped < 5
        assert process.returncode == 130
        lines = [line for line in err.splitlines() if not PROGRESS_LINE.fullmatch(line)]
        assert lines == [
            "Error: Stopped before the end; what was loaded is kept, and the same command carries on or begins anew."
        ]
        assert out == ""
    sandbox.faults.clear()
    assert folder.sync()["status"] == "ok"
    ((count,),) = rows(folder.warehouse, "select count(*) from wistia_raw.events")
    assert count == len(sandbox.account.at(START).events())


def test_a_run_that_could_read_nothing_has_failed(folder: Folder, sandbox: Sandbox) -> None:
    sandbox.faults.add(Fault("v1/account.json", status=500, times=None))
    done = folder.run("sync")
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr.splitlines()[-1].startswith("Error: GET account kept failing: HTTP 500")
    assert len(sandbox.log) == 6


def test_a_list_that_could_not_be_read_is_named(folder: Folder, sandbox: Sandbox) -> None:
    sandbox.faults.add(Fault("stats/visitors", status=500, times=None))
    done = folder.run("sync")
    assert done.returncode == 3
    assert "Not loaded: visitors: GET stats/visitors kept failing: HTTP 500" in done.stderr


def test_a_field_that_nobody_declared_is_named_once(folder: Folder, sandbox: Sandbox) -> None:
    body = {"load_count": 1, "play_count": 1, "hours_watched": 0, "shares": {"total": 3}}
    sandbox.faults.add(Fault("stats/account.json", status=200, times=None, body=json.dumps(body)))
    first, second = (folder.run("sync", "--select", "account_stats") for _ in range(2))
    assert "loaded as text columns: account_stats.shares." in first.stderr
    assert "text columns" not in second.stderr
    assert {shares for (shares,) in rows(folder.warehouse, "select shares from wistia_raw.account_stats")} == {
        '{"total":3}'
    }
