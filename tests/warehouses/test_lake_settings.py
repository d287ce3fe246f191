"""A lake that is set wrongly: one sentence says what is wrong and what to do about it, and never a password."""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import psycopg2
import pytest
from click.testing import CliRunner, Result
from wistia_pipeline.cli import main
from wistia_pipeline.models import build
from wistia_pipeline.sandbox import Account, Sandbox
from wistia_pipeline.warehouses.ducklake.lake import DuckLake
from wistia_pipeline.warehouses.run_log import RunLog

from tests.support.folder import PROGRESS_LINE, Folder, empty_folder
from tests.support.lake import NAME, SECTION, Lake
from tests.support.lake import lake as lake
from tests.support.lake import storage as storage
from tests.support.postgres import LOCKED
from tests.support.samples import sampled
from tests.support.sandbox import NOW, TOKEN

pytestmark = pytest.mark.slow

PASSWORD = "s3cret-pa%2Fss"
NOWHERE = "127.0.0.1:9"
FORM = "CREDENTIALS__CATALOG to postgresql://user:password@host:5432/database, and"


@pytest.fixture(scope="module")
def sandbox() -> Iterator[Sandbox]:
    """An account to load, if it comes to that."""
    account = Account(seed=3, start=NOW, medias=2, projects=1, visitors=5, events=20, days=10)
    with Sandbox(account, now=lambda: NOW, rate_limit=None, token=TOKEN) as server:
        yield server


@pytest.fixture
def folder(tmp_path: Path, sandbox: Sandbox, lake: Lake) -> Folder:
    """An empty folder with the settings of a lake that would do."""
    made = empty_folder(tmp_path / "user", sandbox, NOW)
    made.env |= lake.settings() | {"SOURCES__WISTIA__NOW": NOW.isoformat()}
    return made


@pytest.fixture
def command(folder: Folder, monkeypatch: pytest.MonkeyPatch) -> Any:
    """`wistia-pipeline` in this process, with these settings and others."""
    for name, value in folder.env.items():
        if "__" in name:
            monkeypatch.setenv(name, value)

    def run(*arguments: str, **settings: str | None) -> Result:
        with pytest.MonkeyPatch.context() as patches:
            for name, value in settings.items():
                if value is None:
                    patches.delenv(f"{SECTION}__{name}")
                else:
                    patches.setenv(f"{SECTION}__{name}", value)
            return CliRunner().invoke(main, [*arguments, "--destination", "ducklake"])

    return run


BAD = {
    "no catalog": ("The lake's catalog is to be in Postgres", FORM, {"CATALOG": None}),
    "catalog in a file": ("The lake's catalog is to be in Postgres", FORM, {"CATALOG": "sqlite:///lake.sqlite"}),
    "catalog in MySQL": ("The lake's catalog is to be in", FORM, {"CATALOG": f"mysql://u:{PASSWORD}@{NOWHERE}/db"}),
    "no address": ("The address of the lake's catalog cannot be read", FORM, {"CATALOG": f"user {PASSWORD}"}),
    "no storage": ("Where the lake's files are is not set", FORM, {"STORAGE__BUCKET_URL": None}),
    "no name of SQL": ("__DUCKLAKE_NAME is 'my-lake'", "use letters, digits and _.", {"DUCKLAKE_NAME": "my-lake"}),
    "no whole path": ("__BUCKET_URL is 'files'", "give all of its path", {"STORAGE__BUCKET_URL": "files"}),
    "catalog unreachable": (
        "The lake's catalog cannot be reached: connection to server at",
        "Connection refused; check the server and DESTINATION__DUCKLAKE__CREDENTIALS__CATALOG.",
        {"CATALOG": f"postgresql://u:{PASSWORD}@{NOWHERE}/db"},
    ),
    "no such bucket": (
        "The lake's files cannot be reached: NoSuchBucket",
        "check the storage and what is set under DESTINATION__DUCKLAKE__CREDENTIALS__STORAGE.",
        {"STORAGE__BUCKET_URL": "s3://nobody-has-made-this/wistia"},
    ),
    "storage unreachable": (
        "The lake's files cannot be reached: Could not connect to server",
        "check the storage and what is set under DESTINATION__DUCKLAKE__CREDENTIALS__STORAGE.",
        {"STORAGE__CREDENTIALS__ENDPOINT_URL": f"http://{NOWHERE}"},
    ),
    "folder that cannot be": (
        "The lake's files cannot be reached: nothing can be written into /proc (",
        "check the storage and what is set under DESTINATION__DUCKLAKE__CREDENTIALS__STORAGE.",
        {"STORAGE__BUCKET_URL": "/proc/lake"},
    ),
}


@pytest.mark.parametrize("name", sampled(list(BAD), 4, seed=10))
def test_a_wrong_setting_is_named_by_a_sync_and_by_a_check(command: Any, name: str) -> None:
    wrong, way_out, settings = BAD[name]
    told(command("sync", "--no-models", **settings), wrong, way_out)
    checked = command("check", **settings)
    assert (checked.exit_code, checked.stdout.count("✗ destination ")) == (1, 1)
    assert checked.stdout.count("✗") == 1
    assert "s3cret" not in checked.output


@pytest.mark.deep
def test_keys_may_be_where_those_of_the_aws_tools_are(
    command: Any, lake: Lake, monkeypatch: pytest.MonkeyPatch
) -> None:
    none = {f"STORAGE__CREDENTIALS__{name}": None for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY")}
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")
    told(
        command("sync", **none),
        "A setting is missing; set DESTINATION__DUCKLAKE__CREDENTIALS__STORAGE__CREDENTIALS__AWS_ACCESS_KEY_ID and ",
        ", or the same in .dlt/secrets.toml.",
    )
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "somebody")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "unchecked")
    assert command("sync", "--no-models", "--select", "events", **none).exit_code == 0
    assert lake.rows("select count(*) from wistia_raw.events") == [(20,)]


def test_a_wrong_password_is_not_shown(command: Any, postgres_url: str, lake: Lake) -> None:
    with closing(psycopg2.connect(postgres_url)) as connection, connection, connection.cursor() as cursor:
        cursor.execute(f"drop role if exists {LOCKED}; create role {LOCKED} login password 'another'")
    catalog = lake.catalog.replace("postgres:unused@", f"{LOCKED}:{PASSWORD}@")
    for name in ("sync", "status"):
        wrong = f'password authentication failed for user "{LOCKED}"; check the server and'
        told(command(name, CATALOG=catalog), "The lake's catalog cannot be reached: ", wrong)


def test_another_place_than_where_the_files_are_is_refused(command: Any, lake: Lake) -> None:
    assert command("sync", "--no-models", "--select", "events").exit_code == 0
    elsewhere = f"s3://{lake.files_in}/elsewhere"
    wrong = f"The files of this lake are in s3://{lake.files_in}/wistia/, not in {elsewhere}/; correct"
    told(command("sync", STORAGE__BUCKET_URL=elsewhere), wrong, "__STORAGE__BUCKET_URL, or make another lake with")


@pytest.mark.deep
def test_a_place_that_cannot_be_does_not_stay_that_of_the_lake(command: Any, lake: Lake) -> None:
    told(command("sync", STORAGE__BUCKET_URL="/proc/lake"), "The lake's files cannot be reached", "__STORAGE.")
    assert lake.catalogued("select count(*) from pg_tables where schemaname = %s", NAME) == [(0,)]
    assert command("sync", "--no-models", "--select", "events").exit_code == 0


STEPS: dict[str, tuple[Any, str]] = {
    "loading": (DuckLake, "load"),
    "building": (build, "run_dbt"),
    "noting the end": (RunLog, "end"),
}


@pytest.mark.parametrize("step", sampled(list(STEPS), 1, seed=5))
def test_a_catalog_that_goes_away_is_named_and_is_carried_on_with(
    command: Any, folder: Folder, lake: Lake, postgres_url: str, monkeypatch: pytest.MonkeyPatch, step: str
) -> None:
    monkeypatch.setenv("DLT_DATA_DIR", str(folder.work / "dlt"))
    catalog = lake.catalog.replace(":unused@", f":{PASSWORD}@")
    assert catalog != lake.catalog
    database = lake.catalog.rpartition("/")[2]
    owner, name = STEPS[step]
    original = getattr(owner, name)

    def open_to_all(so: bool) -> None:
        with closing(psycopg2.connect(postgres_url)) as connection:
            connection.autocommit = True
            with connection.cursor() as cursor:
                cursor.execute(f"alter database {database} with allow_connections {so}")
                cursor.execute("select pg_terminate_backend(pid) from pg_stat_activity where datname = %s", [database])

    def without(*arguments: Any, **options: Any) -> Any:
        open_to_all(False)
        return original(*arguments, **options)

    sync = ("sync", "--select", "events", *([] if step == "building" else ["--no-models"]))
    with monkeypatch.context() as patches:
        patches.setattr(owner, name, without)
        done = command(*sync, CATALOG=catalog)
    open_to_all(True)
    wrong = f'database "{database}" is not currently accepting connections; check the server and'
    assert done.exit_code == 1
    assert "The lake's catalog cannot be reached: connection to server at" in done.stderr
    assert wrong in done.stderr
    assert "DuckDB" not in done.stderr
    assert "s3cret" not in done.output
    logs = [file.read_text("utf-8") for file in (folder.work / "dlt").rglob("*.log")]
    assert len(logs) == (step == "building")
    assert not any("s3cret" in log for log in logs)
    again = command("sync", "--select", "events", "--no-models", CATALOG=catalog)
    assert again.exit_code == 0, again.output
    assert lake.rows("select count(*) from wistia_raw.events") == [(20,)]


@pytest.mark.parametrize("package", sampled(["psycopg2", "duckdb_extensions", "duckdb_extension_ducklake"], 1, seed=1))
def test_a_lake_without_its_packages(folder: Folder, tmp_path: Path, package: str) -> None:
    missing = tmp_path / "packages"
    missing.mkdir()
    (missing / f"{package}.py").write_text(f"raise ModuleNotFoundError(\"No module named '{package}'\")")
    done = folder.run("sync", "--destination", "ducklake", PYTHONPATH=str(missing))
    assert (done.returncode, done.stdout, done.stderr) == (
        1,
        "",
        "Error: Lake needs more packages; run pip install '.[lake]' in this project's folder, then again.\n",
    )


def told(done: Result, wrong: str, way_out: str) -> None:
    """Exit 1, one sentence, no secret."""
    assert done.exit_code == 1, done.output
    (line,) = [line for line in done.stderr.splitlines() if not PROGRESS_LINE.fullmatch(line)]
    assert re.fullmatch(r"Error: .+\.", line)
    assert wrong in line
    assert way_out in line
    assert "s3cret" not in done.output
