"""Commands that are stopped, and runs that meet another one: what only processes show."""

from __future__ import annotations

import re
import shutil
import signal
import time
from contextlib import suppress
from datetime import datetime, timedelta
from functools import partial
from pathlib import Path
from typing import Any

import duckdb
import pytest
from wistia_pipeline.sandbox import Fault, Sandbox
from wistia_pipeline.warehouses.failures import explain, stop_signal

from tests.support.commands import BUSY, folder_at_now, under_way, without_progress
from tests.support.folder import Folder, rows, wait_for
from tests.support.postgres import database
from tests.support.sandbox import NOW

ACCOUNT: dict[str, Any] = {"seed": 3, "medias": 6, "projects": 2, "visitors": 40, "events": 150, "days": 30}


@pytest.fixture
def folder(tmp_path: Path, living: Sandbox) -> Folder:
    """An empty folder."""
    return folder_at_now(tmp_path / "user", living)


def days_ago(folder: Folder, sandbox: Sandbox, days: int) -> None:
    """Sets the clocks back."""
    now = NOW - timedelta(days=days)
    sandbox.now = partial(lambda moment: moment, now)
    folder.env["SOURCES__WISTIA__NOW"] = now.isoformat()


def asked_for(sandbox: Sandbox, path: str) -> bool:
    """Whether somebody has requested it."""
    return any(path in call.path for call in list(sandbox.log))


# Ctrl-C


def test_duckdb_may_hear_of_ctrl_c_first() -> None:
    # what DuckDB raises when the signal comes while it works on a query
    stopped = RuntimeError("Query interrupted")
    assert explain(stopped).startswith("Stopped before the end;")
    assert stop_signal(stopped) is signal.SIGINT


@pytest.mark.slow
def test_stopped_by_ctrl_c(folder: Folder, living: Sandbox) -> None:
    """Also while the first request, which everything waits for, hangs."""
    selected = ("--select", "events,media_stats")
    for path in ("account", "stats/medias"):
        living.faults.clear()
        living.log.clear()
        living.faults.add(Fault(path, kind="hang", seconds=600, times=None))
        process = folder.start("sync", *selected)
        wait_for(partial(asked_for, living, path), process)
        process.send_signal(signal.SIGINT)
        try:
            # less than the time for which an answer is waited for
            out, err = process.communicate(timeout=80)
        finally:
            process.kill()
        assert process.returncode == 130
        assert without_progress(err) == [
            "Error: Stopped before the end; what was loaded is kept, and the same command carries on or begins anew."
        ]
        assert out == ""
    living.faults.clear()
    assert folder.sync(*selected)["status"] == "ok"
    ((count,),) = rows(folder.warehouse, "select count(*) from wistia_raw.events")
    assert count == len(living.account.at(NOW).events())


def test_sandbox_serves_until_interrupted(folder: Folder) -> None:
    server = folder.start("sandbox", "--port", "0", "--medias", "3", "--events", "20", "--visitors", "5")
    try:
        assert server.stdout is not None
        found = re.search(r"http://[\w.]+:\d+", server.stdout.readline())
        assert found
        url = found.group()
        settings: dict[str, str | None] = {
            "SOURCES__WISTIA__BASE_URL": url,
            "SOURCES__WISTIA__ACCESS_TOKEN": "sandbox-token",
            # it goes by the machine's clock
            "SOURCES__WISTIA__NOW": None,
            "SOURCES__WISTIA__START_DATE": None,
        }
        answer = folder.sync("--select", "medias", **settings)
        assert answer["resources"]["medias"]["rows"] == 3
        taken = folder.invoke("sandbox", "--port", url.rpartition(":")[2])
        assert taken.returncode == 1
        assert taken.stderr.count("\n") == 1
        assert "choose another --port" in taken.stderr
    finally:
        server.send_signal(signal.SIGINT)
        out, err = server.communicate(timeout=60)
    assert server.returncode == 0
    assert "Stopped." in out
    assert err == ""


# several warehouses


@pytest.mark.deep
def test_two_warehouses_in_turn_miss_nothing(folder: Folder, living: Sandbox) -> None:
    """What one warehouse has seen must not be taken for what the other has."""

    def load(file: str, days: int) -> int:
        days_ago(folder, living, days)
        assert folder.sync("--select", "events", DESTINATION__DUCKDB__CREDENTIALS=file)["status"] == "ok"
        ((count,),) = rows(folder.work / file, "select count(*) from wistia_raw.events")
        return int(count)

    expected = len(living.account.at(NOW).events())
    assert load("first.duckdb", 10) < expected
    shutil.copy(folder.work / "first.duckdb", folder.work / "backup.duckdb")
    load("second.duckdb", 9)
    assert load("second.duckdb", 0) == expected
    assert load("first.duckdb", 0) == expected
    # a backup put back is older than this machine's memory of it
    shutil.move(folder.work / "backup.duckdb", folder.work / "first.duckdb")
    assert load("first.duckdb", 0) == expected


@pytest.mark.slow
def test_what_a_killed_run_left_is_loaded_where_it_belongs(folder: Folder, living: Sandbox) -> None:
    selected = ("--select", "events,account_stats")
    first: dict[str, str | None] = {"DESTINATION__DUCKDB__CREDENTIALS": "first.duckdb"}
    second: dict[str, str | None] = {"DESTINATION__DUCKDB__CREDENTIALS": "second.duckdb"}
    for days, settings in ((20, second), (10, first)):
        days_ago(folder, living, days)
        folder.sync(*selected, **settings)
    days_ago(folder, living, 1)
    killed = folder.start("sync", *selected, **first)
    assert killed.stderr is not None
    while killed.stderr.readline() not in ("loading into the warehouse\n", ""):
        pass
    killed.kill()
    killed.communicate()
    assert killed.returncode == -signal.SIGKILL
    days_ago(folder, living, 0)
    for file, settings, runs in (("second.duckdb", second, (20, 0)), ("first.duckdb", first, (10, 1, 0))):
        assert folder.sync(*selected, **settings)["status"] == "ok"
        ((count,),) = rows(folder.work / file, "select count(*) from wistia_raw.events")
        assert count == len(living.account.at(NOW).events()), file
        # one row for each run: nothing can bring it again
        captured = rows(folder.work / file, "select epoch(captured_at) from wistia_raw.account_stats order by 1")
        assert captured == [((NOW - timedelta(days=days)).timestamp(),) for days in runs], file


# one warehouse and several programs


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
    folder: Folder, living: Sandbox, postgres_url: str, tmp_path: Path, kind: str
) -> None:
    elsewhere: dict[str, str | None] = {}
    arguments = ["sync", "--select", "visitors"]
    with database(postgres_url) as address:
        if kind != "duckdb":
            elsewhere["DLT_DATA_DIR"] = str(tmp_path / "elsewhere")
        if kind.startswith("postgres"):
            folder.env["DESTINATION__POSTGRES__CREDENTIALS"] = address
            arguments += ["--destination", "postgres"]
        with under_way(folder, living, *arguments):
            second = folder.invoke(*arguments, **elsewhere)
        assert (second.returncode, second.stdout, second.stderr) == (1, "", BUSY)
        assert folder.invoke(*arguments, **elsewhere).returncode == 0


@pytest.mark.slow
def test_whoever_reads_the_file_may_do_so_between_loads_and_for_a_moment_at_any_time(
    folder: Folder, living: Sandbox
) -> None:
    counts: list[int] = []

    def asked() -> datetime:
        """Nothing is loaded while Wistia is asked, but what is held may be looked up."""
        with suppress(duckdb.IOException, duckdb.CatalogException):
            counts.extend(count for (count,) in rows(folder.warehouse, "select count(*) from wistia_raw.events"))
        return NOW

    living.now = asked
    writer = folder.start("sync", "--select", "events,media_stats", WISTIA_PIPELINE__PACKAGE_SECONDS="0")
    while writer.poll() is None:
        with suppress(duckdb.IOException, duckdb.CatalogException):
            rows(folder.warehouse, "select 1")
        time.sleep(0.01)
    assert writer.wait() == 0, writer.communicate()
    assert max(counts) > 0
