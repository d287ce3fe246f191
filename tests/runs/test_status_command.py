"""`status` as people and monitors use it."""

from __future__ import annotations

import json
import os
import re
from contextlib import closing
from datetime import UTC, date, datetime, timedelta
from pathlib import Path

import duckdb
import pytest
from wistia_pipeline.sandbox import Sandbox
from wistia_pipeline.warehouses.base import NotReadable
from wistia_pipeline.warehouses.failures import explain

from tests.support.commands import folder_at_now, loaded_at_now
from tests.support.folder import ESCAPE, Folder, rows
from tests.support.run_log import ACCOUNT as ACCOUNT
from tests.support.run_log import logged, look
from tests.support.sandbox import TOKEN
from tests.support.warehouse import Warehouse, change, in_duckdb
from wistia_source.endpoints import BY_NAME


@pytest.fixture
def folder(tmp_path: Path, living: Sandbox) -> Folder:
    """A folder with a warehouse after one sync."""
    return loaded_at_now(tmp_path / "user", living)


@pytest.mark.slow
def test_as_a_person_sees_it(folder: Folder) -> None:
    assert folder.sync("--select", "account_stats")["status"] == "ok"
    change(in_duckdb(folder.warehouse), logged(datetime.now(UTC)))
    done = folder.run("status", FORCE_COLOR="1")
    assert (done.returncode, done.stderr) == (0, "")
    assert ESCAPE not in done.stdout
    assert TOKEN not in done.stdout
    for name in BY_NAME:
        (count,) = rows(folder.warehouse, f"select count(*) from wistia_raw.{name}")[0]
        assert re.search(rf"^ {name} +{count:,} ", done.stdout, re.MULTILINE), (name, done.stdout)
    assert "Fresh: what was read longest ago was" in done.stdout
    (made,) = (folder.path / "dlt" / "wistia").iterdir()
    assert f"dlt pipeline --pipelines-dir {made} wistia info" in done.stdout


def test_as_a_monitor_sees_it(folder: Folder) -> None:
    before = folder.warehouse.read_bytes()
    done = folder.invoke("status", "--json", "--max-age", "0.00001")
    answer = json.loads(done.stdout)
    assert (done.returncode, done.stderr, done.stdout.count("\n")) == (1, "", 1)
    assert (answer["fresh"], answer["max_age_hours"], answer["error"]) == (False, 0.00001, None)
    assert datetime.fromisoformat(answer["checked_at"]).utcoffset() == timedelta(0)
    assert {row["resource"]: row["rows"] for row in answer["resources"]}["medias"] == 5
    assert date.fromisoformat(next(row["cursor"] for row in answer["resources"] if row["resource"].endswith("by_date")))
    assert folder.warehouse.read_bytes() == before
    assert os.listdir(folder.work) == ["warehouse.duckdb"]


def test_without_a_warehouse_nothing_is_made(tmp_path: Path, living: Sandbox) -> None:
    folder = folder_at_now(tmp_path / "user", living)
    done = folder.invoke("status", "--json")
    answer = json.loads(done.stdout)
    assert (done.returncode, answer["fresh"]) == (1, False)
    assert done.stderr == f"Error: {answer['error']}\n"
    assert "run wistia-pipeline sync first" in answer["error"]
    assert [name for name in os.listdir(folder.path) if os.listdir(folder.path / name)] == []
    for wrong in ("0", "nan", "inf"):
        refused = folder.invoke("status", "--max-age", wrong)
        assert refused.returncode == 2
        assert "--max-age" in refused.stderr
    (folder.work / "data.csv").write_text("a,b")
    refused = folder.invoke("status", DESTINATION__DUCKDB__CREDENTIALS="data.csv")
    assert (refused.returncode, "is that of something else" in refused.stderr) == (1, True)


def test_what_is_no_warehouse(duckdb_warehouse: Warehouse, living: Sandbox) -> None:
    with closing(duckdb.connect("warehouse.duckdb")) as connection:
        connection.execute("create table x as select 1 as y")
    with pytest.raises(NotReadable, match="Nothing has been loaded"):
        look(duckdb_warehouse)
    change(duckdb_warehouse, "create schema {raw}", "create table {raw}.medias (media_id varchar)")
    with pytest.raises(NotReadable, match="no run log"):
        look(duckdb_warehouse)
    Path("warehouse.duckdb").write_text("hello, I am no database " * 300, "utf-8")
    with pytest.raises(Exception, match="not a valid DuckDB") as raised:
        look(duckdb_warehouse)
    assert "choose another" in explain(raised.value)
