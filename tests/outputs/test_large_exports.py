"""Exports that are large: in little memory, and stopped in the middle."""

from __future__ import annotations

import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path

import duckdb
import psycopg2
import pytest
from pyarrow import parquet

from tests.support.exports import is_postgres, mart
from tests.support.folder import COMMAND, Folder
from tests.support.outputs import copied, copied_in_postgres, in_duckdb_once
from tests.support.sandbox import NOW

# the first test that needs the account may have to wait until it is loaded and modelled
pytestmark = pytest.mark.timeout(300)


MANY = 200_000
"""Viewing sessions: more than the memory that an export may take can hold."""


def multiplied(folder: Folder) -> int:
    """Makes many viewing sessions out of some; returns how many times as many."""
    times = MANY // len(mart(folder, "sessions")) + 1
    sessions = "wistia_intermediate.int_wistia__sessions"
    if is_postgres(folder):
        with closing(psycopg2.connect(folder.env["DESTINATION__POSTGRES__CREDENTIALS"])) as connection, connection:
            cursor = connection.cursor()
            cursor.execute(
                "select string_agg(case column_name when 'event_key' then 'event_key || n' "
                "else quote_ident(column_name) end, ', ' order by ordinal_position) "
                "from information_schema.columns where table_name = 'int_wistia__sessions'"
            )
            ((columns,),) = cursor.fetchall()
            cursor.execute(f"insert into {sessions} select {columns} from {sessions}, generate_series(2, {times}) as n")
    else:
        with closing(duckdb.connect(str(folder.warehouse))) as file:
            file.execute(
                f"insert into {sessions} select s.* replace (event_key || n as event_key) "
                f"from {sessions} as s, range(1, {times}) as numbers(n)"
            )
    return times


PEAK_OF_CHILD = """
import resource, subprocess, sys
subprocess.run(sys.argv[1:], stdout=subprocess.DEVNULL, check=True)
print(resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss)
"""
"""In a small process of its own: on Linux a child's peak begins with the size of its parent."""


def peak_megabytes(folder: Folder, *arguments: str) -> float:
    """Memory of an export that must succeed."""
    destination = ("--destination", "postgres") if is_postgres(folder) else ()
    command = [COMMAND, "export", *arguments, *destination]
    measured = subprocess.run(
        [sys.executable, "-c", PEAK_OF_CHILD, *command], cwd=folder.work, env=folder.env, capture_output=True, text=True
    )
    assert measured.returncode == 0, measured.stderr
    return int(measured.stdout) / 1024


@pytest.fixture(params=["duckdb", pytest.param("postgres", marks=pytest.mark.deep)])
def large(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Folder]:
    """MANY viewing sessions."""
    if request.param == "duckdb":
        folder = copied(in_duckdb_once(), tmp_path)
        multiplied(folder)
        yield folder
        return
    with copied_in_postgres(request.getfixturevalue("postgres_url"), tmp_path) as folder:
        multiplied(folder)
        yield folder


@pytest.mark.slow
def test_many_rows_take_no_more_memory_and_can_be_stopped(large: Folder) -> None:
    few = ("sessions", "--start", NOW.date().isoformat(), "--columns", "event_key")
    base = peak_megabytes(large, *few, "--output", "few.csv")
    for form in ("csv", "parquet"):
        file = large.work / f"all.{form}"
        # DuckDB may take 500 MB to sort, Postgres sorts in the server
        limit = 150 if is_postgres(large) else 700
        assert peak_megabytes(large, "sessions", "--output", str(file)) - base < limit
        assert file.stat().st_size > 2**18
    assert parquet.read_metadata(large.work / "all.parquet").num_rows >= MANY
    assert parquet.read_metadata(large.work / "all.parquet").num_row_groups > 1
    stop(large, lambda half: half.stat().st_size > 2**20, signal.SIGTERM)
    # before the first row, while the database sorts
    stop(large, lambda half: half.stat().st_size == 0 and is_asked(large), signal.SIGINT)
    assert not list(large.work.glob("*stopped*"))


def is_asked(folder: Folder) -> bool:
    """Whether the database is at work for somebody."""
    if not is_postgres(folder):
        # the query is asked as soon as the file is there
        return True
    with closing(psycopg2.connect(folder.env["DESTINATION__POSTGRES__CREDENTIALS"])) as connection:
        cursor = connection.cursor()
        cursor.execute(
            "select 1 from pg_stat_activity "
            "where state = 'active' and datname = current_database() and pid <> pg_backend_pid()"
        )
        return bool(cursor.fetchall())


def stop(folder: Folder, is_time: Callable[[Path], bool], how: signal.Signals) -> None:
    """Stops an export once its half file is so far."""
    destination = ("--destination", "postgres") if is_postgres(folder) else ()
    process = folder.start("export", "sessions", "--output", "stopped.ndjson", *destination)
    give_up = time.monotonic() + 100
    while not any(is_time(half) for half in folder.work.glob(".stopped.ndjson.*.half")):
        assert process.poll() is None
        assert time.monotonic() < give_up
        time.sleep(0.01)
    process.send_signal(how)
    _, said = process.communicate(timeout=100)
    told = [(128 + how, "Error: Stopped before the file was whole; nothing was written.\n")]
    if is_postgres(folder) and how == signal.SIGINT:
        # while the query runs, the driver asks the server to stop
        told += [(1, "Error: Postgres has ended the query: canceling statement due to user request; run again.\n")]
    assert (process.returncode, said) in told
    assert not list(folder.work.glob(".stopped*"))
