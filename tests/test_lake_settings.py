"""A lake that is set wrongly: one sentence says what is wrong and what to do about it, and never a password."""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import closing
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import psycopg2
import pytest
from click.testing import CliRunner, Result
from wistia_pipeline.cli import main
from wistia_pipeline.sandbox import Account, Sandbox

from tests.conftest import TOKEN
from tests.folder import PROGRESS_LINE, Folder, empty_folder
from tests.lake import SECTION, Lake
from tests.lake import lake as lake
from tests.lake import storage as storage
from tests.postgres import LOCKED

pytestmark = pytest.mark.slow

NOW = datetime.now(UTC).replace(microsecond=0)
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
    made.env.update(lake.settings())
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
        "The lake's files cannot be reached: Failed to create directory",
        "check the storage and what is set under DESTINATION__DUCKLAKE__CREDENTIALS__STORAGE.",
        {"STORAGE__BUCKET_URL": "/proc/lake"},
    ),
}


@pytest.mark.parametrize("name", BAD)
def test_a_wrong_setting_is_named_by_a_sync_and_by_a_check(command: Any, name: str) -> None:
    wrong, way_out, settings = BAD[name]
    told(command("sync", "--no-models", **settings), wrong, way_out)
    checked = command("check", **settings)
    assert (checked.exit_code, checked.stdout.count("✗ destination ")) == (1, 1)
    assert checked.stdout.count("✗") == 1
    assert "s3cret" not in checked.output


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
    told(command("sync", STORAGE__BUCKET_URL=elsewhere), f'"{elsewhere}/" does not match', "DESTINATION__.")


@pytest.mark.parametrize("package", ["psycopg2", "duckdb_extensions", "duckdb_extension_ducklake"])
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
