"""Mistakes in settings, and what else stands in the way: each is told in one sentence, and nothing is touched."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import timedelta
from pathlib import Path
from typing import Any

import duckdb
import pytest
from wistia_pipeline.sandbox import Sandbox
from wistia_pipeline.sandbox.answers import READ_MEDIA
from wistia_pipeline.warehouses.failures import explain

from tests.support.commands import (
    assert_told,
    contents,
    folder_at_now,
    loaded_at_now,
)
from tests.support.folder import Folder, open_elsewhere
from tests.support.sandbox import NOW, TOKEN

ACCOUNT: dict[str, Any] = {"seed": 3, "medias": 6, "projects": 2, "visitors": 40, "events": 150, "days": 30}
PASSWORD = "s3cret-password"


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
IN_TWO_DAYS = (NOW + timedelta(days=2)).date().isoformat()

BAD_SETTINGS = {
    "no token": Bad("There is no access token; set SOURCES__WISTIA__ACCESS_TOKEN", (), setting("ACCESS_TOKEN", None)),
    "wrong token": Bad("does not accept the access token", (), setting("ACCESS_TOKEN", "s3cret-token-that-is-wrong")),
    "empty selection": Bad("There is no resource ''; choose from medias,", ("--select", " , ")),
    "unknown resource": Bad("There is no resource evnts; choose from medias,", ("--select", "evnts,visitors")),
    "start in the future": Bad("is in the future; set it to a day up to", (), setting("START_DATE", IN_TWO_DAYS)),
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


@pytest.fixture
def folder(tmp_path: Path, living: Sandbox) -> Folder:
    """An empty folder."""
    return folder_at_now(tmp_path / "user", living)


@pytest.fixture
def loaded(tmp_path: Path, living: Sandbox) -> Folder:
    """A folder with a warehouse."""
    return loaded_at_now(tmp_path / "user", living)


@pytest.mark.parametrize("name", BAD_SETTINGS)
def test_bad_settings(loaded: Folder, name: str) -> None:
    bad, before = BAD_SETTINGS[name], contents(loaded.warehouse)
    assert_told(loaded.invoke("sync", *bad.arguments, **bad.settings), bad.says)
    assert contents(loaded.warehouse) == before
    assert os.listdir(loaded.work) == ["warehouse.duckdb"]


def test_missing_permission_is_named(loaded: Folder, living: Sandbox) -> None:
    before, living.scopes = contents(loaded.warehouse), (READ_MEDIA,)
    assert_told(loaded.invoke("sync"), "lacks the permission 'Read detailed stats'; tick it")
    assert contents(loaded.warehouse) == before


def test_plan_without_stats(loaded: Folder, living: Sandbox) -> None:
    before, living.plan_has_stats = contents(loaded.warehouse), False
    assert_told(loaded.invoke("sync"), "ask Wistia for a plan with the Stats API")
    assert contents(loaded.warehouse) == before


def test_a_failure_is_json_too(loaded: Folder, living: Sandbox) -> None:
    answer = loaded.sync("--select", "evnts")
    assert answer["status"] == "failed"
    assert answer["error"].startswith("There is no resource evnts")
    assert answer["requests"] == len(living.log) == 0
    assert answer["resources"] == {}


@pytest.mark.slow
def test_warehouse_open_in_another_program(loaded: Folder) -> None:
    before = contents(loaded.warehouse)
    with open_elsewhere(loaded.warehouse):
        assert_told(loaded.invoke("sync"), "open in another program")
    assert contents(loaded.warehouse) == before


def test_a_file_that_is_no_duckdb_file_is_left_alone(folder: Folder) -> None:
    folder.warehouse.write_text("a letter to my aunt\n" * 500)
    assert_told(folder.invoke("sync"), "not a valid DuckDB database file")
    assert folder.warehouse.read_text().startswith("a letter to my aunt")


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


# what only a process of its own shows: files and packages that are read when it begins


def test_settings_come_from_files_and_the_environment_wins(folder: Folder, living: Sandbox) -> None:
    settings = folder.work / ".dlt"
    settings.mkdir()
    (settings / "config.toml").write_text(f'[sources.wistia]\nbase_url = "{living.url}"\napi_version = "2026-03"\n')
    (settings / "secrets.toml").write_text(
        f'[sources.wistia]\naccess_token = "{TOKEN}"\n[destination.duckdb]\ncredentials = "mine.duckdb"\n'
    )
    from_files: dict[str, str | None] = {"SOURCES__WISTIA__BASE_URL": None, "SOURCES__WISTIA__ACCESS_TOKEN": None}
    chosen = from_files | {"SOURCES__WISTIA__API_VERSION": "v1"}
    assert folder.run("sync", "--select", "account_stats", **chosen).returncode == 0
    assert {call.path.split("/")[1] for call in living.log} == {"v1"}
    assert sorted(os.listdir(folder.work)) == [".dlt", "mine.duckdb"]


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
    assert_told(folder.run("sync"), says)


@pytest.mark.parametrize("package", ["psycopg2", "adbc_driver_postgresql"])
def test_postgres_without_its_packages(folder: Folder, tmp_path: Path, package: str) -> None:
    missing = tmp_path / "packages"
    missing.mkdir()
    (missing / f"{package}.py").write_text(f"raise ModuleNotFoundError(\"No module named '{package}'\")")
    settings = postgres("postgresql://u:p@127.0.0.1:9/warehouse")
    done = folder.run("sync", *TO_POSTGRES, PYTHONPATH=str(missing), **settings)
    assert_told(done, "pip install '.[postgres]'")
