"""`wistia-pipeline forget`: what it says, and that any later run ends what a killed one has begun."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
from contextlib import closing
from pathlib import Path
from typing import Any

import duckdb
import pytest
from click.testing import CliRunner, Result
from wistia_pipeline.cli import main

from tests.support.people import ADDRESS, CLEARED, KEY, load_people
from tests.support.people import served as served
from tests.support.sandbox import NOW
from tests.support.served import Row, Served
from tests.support.warehouse import Warehouse

KILLER = """
import importlib, os, signal, sys
module, name, when = sys.argv[1:4]
owner = importlib.import_module(module)
original = getattr(owner, name)
def die(*arguments, **named):
    if when == "after":
        original(*arguments, **named)
    os.kill(os.getpid(), signal.SIGKILL)
setattr(owner, name, die)
from wistia_pipeline.cli import main
main(sys.argv[4:])
"""
FORGET = "wistia_pipeline.runs.forget"
POINTS = [
    (FORGET, "_remember", "after"),
    (FORGET, "settle", "after"),
    ("wistia_pipeline.runs.erase", "_clear_logs", "before"),
    (FORGET, "erase_forgotten", "after"),
    (FORGET, "drop_local_state", "after"),
    ("wistia_pipeline.warehouses.duckdb.file", "_contents", "before"),
    ("wistia_pipeline.warehouses.duckdb.file", "_contents", "after"),
    ("wistia_pipeline.warehouses.duckdb.file", "rewrite", "after"),
    (FORGET, "end_erasure", "after"),
]


def command(*arguments: str) -> Result:
    """`wistia-pipeline` in this process."""
    return CliRunner().invoke(main, arguments)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("module", "name", "when", "finisher"),
    [
        # before anything is taken out, within the transaction, and while the file is written again
        (*POINTS[0], "sync"),
        (*POINTS[2], "forget"),
        (*POINTS[5], "sync"),
        *(pytest.param(*POINTS[number], "sync", marks=pytest.mark.deep) for number in (1, 2, 3, 4, 6, 7, 8)),
        pytest.param(*POINTS[5], "forget", marks=pytest.mark.deep),
    ],
)
def test_killed_anywhere_the_next_run_ends_it(
    duckdb_warehouse: Warehouse,
    served: Served,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    module: str,
    name: str,
    when: str,
    finisher: str,
) -> None:
    settings = {"base_url": served.url, "access_token": "token", "start_date": "2026-06-01", "now": NOW.isoformat()}
    settings |= {"events_lookback_hours": "100", "visitors_lookback_hours": "100"}
    for setting, value in settings.items():
        monkeypatch.setenv(f"SOURCES__WISTIA__{setting.upper()}", value)
    sync = ("sync", "--no-models", "--select", "events,visitors")
    assert command(*sync).exit_code == 0
    process = [sys.executable, "-c", KILLER, module, name, when, "forget", "--email", ADDRESS]
    killed = subprocess.run(process, capture_output=True, text=True, timeout=100)
    assert killed.returncode == -signal.SIGKILL, killed.stderr
    finished = command(*sync) if finisher == "sync" else command("forget", "--email", "somebody@example.org")
    assert finished.exit_code == 0, finished.output
    assert [path.name for path in tmp_path.iterdir() if path.is_file()] == ["warehouse.duckdb"]
    told = repr([duckdb_warehouse.rows(table) for table in ("events", "visitors", "sync_runs")])
    kept = [path for path in tmp_path.rglob("*") if path.is_file() and KEY.encode() in path.read_bytes()]
    assert (KEY in told, kept) == (False, [])
    assert {row["visitor_key"] for row in duckdb_warehouse.rows("events")} == {"", "bob"}
    assert [row for row in duckdb_warehouse.rows("forgotten") if row["settled_at"] is None] == []


@pytest.mark.parametrize(
    ("arguments", "code", "says"),
    [
        ((), 2, "either --visitor KEY or --email ADDRESS"),
        (("--visitor", "a", "--email", "b@c"), 2, "either --visitor KEY or --email ADDRESS"),
        (("--visitor", ""), 2, "it is empty"),
        (("--visitor", " "), 2, "it is empty"),
        (("--email", "ann"), 1, "not an email address"),
        (("--email", "ann @b.org"), 1, "not an email address"),
        (("--email", "ann@b.org, bob@c.org"), 1, "not an email address"),
        (("--email", "a@b.org", "--mode", "hash"), 1, "SOURCES__WISTIA__PII_SECRET"),
        (("--email", "a@b.org", "--mode", "mask"), 2, "'mask' is not one of"),
        (("--email", "a@b.org"), 1, "run wistia-pipeline sync first, or correct the destination"),
        (("--email", "a@b.org", "--destination", "filesystem"), 1, ""),
    ],
)
def test_wrong_uses_get_a_sentence(tmp_path: Path, arguments: Any, code: int, says: str) -> None:
    done = command("forget", *arguments)
    assert done.exit_code == code, done.output
    assert says in done.output
    assert done.output.strip().count("Error: ") == 1
    assert "Traceback" not in done.output
    assert not (tmp_path / "warehouse.duckdb").exists()


def test_a_file_of_something_else_stays_as_it_is(tmp_path: Path) -> None:
    with closing(duckdb.connect(str(tmp_path / "warehouse.duckdb"))) as connection:
        connection.execute("create table mine as select 1 as a")
    done = command("forget", "--visitor", "somebody")
    assert (done.exit_code, "run wistia-pipeline sync first" in done.output) == (1, True), done.output
    with closing(duckdb.connect(str(tmp_path / "warehouse.duckdb"), read_only=True)) as connection:
        assert connection.execute("select schema_name, table_name from duckdb_tables()").fetchall() == [
            ("main", "mine")
        ]


@pytest.mark.slow
def test_it_never_says_who_it_was(served: Served, duckdb_warehouse: Warehouse) -> None:
    load_people(duckdb_warehouse, served)
    done = command("forget", "--email", ADDRESS)
    assert done.exit_code == 0, done.output
    assert "Removed: 1 row of visitors, 4 rows of events." in done.output
    assert f"Taken out of the page of {CLEARED} sessions of others." in done.output
    again = command("forget", "--visitor", KEY, "--json")
    told: Row = json.loads(again.stdout)
    assert (told["status"], told["rows"].get("events", 0), told["remembered"]) == ("ok", 0, True)
    unknown = command("forget", "--email", "nobody@example.org")
    assert "Nothing of this person was loaded." in unknown.output
    assert "remembered" in unknown.output
    for text in (KEY, ADDRESS, "nobody@"):
        assert text.lower() not in (done.output + again.output + unknown.output).lower()
    runs = [row for row in duckdb_warehouse.rows("sync_runs") if row["command"] == "forget"]
    assert sorted((row["resource"], row["status"], row["rows"]) for row in runs) == [
        ("forgotten", "ok", count) for count in (0, 0, 5)
    ]
