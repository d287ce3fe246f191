"""Spark before a build begins: what is wrong is said in one sentence."""

from __future__ import annotations

import json
import re
import socket
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from click.testing import CliRunner
from dlt.common.configuration.specs import AwsCredentials
from wistia_pipeline.cli import main
from wistia_pipeline.models.spark import session
from wistia_pipeline.models.spark.storage import s3a_settings

from tests.support.folder import PROGRESS_LINE, Folder
from tests.support.mart_rows import ACCOUNT as ACCOUNT
from tests.support.spark import cluster, folder_in, processes, published


@pytest.fixture
def folder(tmp_path: Path) -> Folder:
    return folder_in(tmp_path)


@pytest.fixture
def loaded(folder: Folder) -> Folder:
    """Files that say that something was loaded."""
    raw = folder.path / "a lake" / "wistia_raw"
    (raw / "_dlt_loads").mkdir(parents=True)
    (raw / "init").touch()
    entry = {"load_id": "1700000000.25", "schema_name": "wistia", "status": 0}
    (raw / "_dlt_loads" / "wistia__1700000000.25.jsonl").write_text(json.dumps(entry))
    return folder


@pytest.mark.deep
def test_a_worker_with_too_little_for_spark_is_not_waited_for(loaded: Folder) -> None:
    settings = {"WISTIA_PIPELINE__SPARK_RESOURCES_SECONDS": "2", "SPARK_LOCAL_IP": "127.0.0.1"}
    with cluster(loaded.path / "cluster", workers=1) as running:
        sentence = refused(loaded, "--master", running.address, "--conf", "spark.executor.memory=2g", **settings)
    assert sentence.startswith(f"No worker of {running.address} ")
    assert "had cores and memory for this within 2 s; free some, or ask for less" in sentence
    assert processes(loaded) == []


@pytest.mark.parametrize(
    ("arguments", "wrong"),
    [
        (["--conf", "spark.executor.memory"], "'spark.executor.memory' is not of the form spark.name=value."),
        (["--conf", "executor.memory=1g"], "'executor.memory=1g' is not of the form spark.name=value."),
        (["--master", " "], "it is empty; name one, or leave the option out."),
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


@pytest.mark.slow
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
    lock = lake / "wistia.building" / "lock.json"
    lock.write_text(json.dumps({**under_way, "at": datetime.now(UTC).isoformat()}))
    before = published(loaded)
    assert refused(loaded) == (
        "Another build of these marts is under way, on a-machine since 2026-06-01T00:00:00+00:00; nothing is touched: "
        "run again when it has ended, or 5 minutes after it was killed."
    )
    assert published(loaded) == before
    lock.write_text(json.dumps({**under_way, "at": (datetime.now(UTC) - timedelta(minutes=6)).isoformat()}))
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
