"""Exports: every mart in every format is the mart, from both warehouses, at any size, or it is not there at all."""

from __future__ import annotations

import csv
import json
import math
import os
import resource
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import closing
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any

import duckdb
import psycopg2
import pyarrow as pa
import pytest
from click.testing import CliRunner, Result
from psycopg2.extras import RealDictCursor
from pyarrow import csv as arrow_csv
from pyarrow import parquet
from wistia_pipeline.cli import main
from wistia_pipeline.marts import mart_names
from wistia_pipeline.sandbox import Sandbox

from tests.support.folder import COMMAND, Folder
from tests.support.mart_rows import skip_if_a_day_has_ended_since
from tests.support.outputs import HOSTILE, NOW, account_of_all_names, copied, in_duckdb_once, loaded_folder
from tests.support.postgres import database

Row = dict[str, Any]
FORMATS = ("csv", "json", "ndjson", "parquet")
GRAINS = {
    "account_daily": ("account_id", "date"),
    "media_daily": ("account_id", "media_id", "date"),
    "sessions": ("account_id", "event_key", "visitor_key"),
    "embed_pages": ("account_id", "media_id", "embed_host", "embed_path", "utm_source"),
}
"""How rows of some marts are ordered, nulls last."""


@pytest.fixture(scope="module")
def sandbox() -> Iterator[Sandbox]:
    """One account for all, which no test changes."""
    with account_of_all_names() as server:
        yield server


@pytest.fixture(scope="module")
def in_duckdb(tmp_path_factory: pytest.TempPathFactory, worker_id: str) -> Folder:
    """The account in a DuckDB file, which no test changes."""
    return in_duckdb_once(tmp_path_factory, worker_id)


@pytest.fixture(scope="module")
def in_postgres(tmp_path_factory: pytest.TempPathFactory, sandbox: Sandbox, postgres_url: str) -> Iterator[Folder]:
    """The account in a Postgres database."""
    with database(postgres_url) as url:
        path = tmp_path_factory.mktemp("postgres") / "user"
        yield loaded_folder(path, sandbox, DESTINATION__POSTGRES__CREDENTIALS=url)


@pytest.fixture(params=["duckdb", pytest.param("postgres", marks=pytest.mark.slow)])
def folder(request: pytest.FixtureRequest) -> Folder:
    """The account in either."""
    chosen: Folder = request.getfixturevalue(f"in_{request.param}")
    return chosen


def is_postgres(folder: Folder) -> bool:
    return "DESTINATION__POSTGRES__CREDENTIALS" in folder.env


def export(folder: Folder, *arguments: str) -> Result:
    """`wistia-pipeline export` in this process, which is quicker by a second."""
    destination = ("--destination", "postgres") if is_postgres(folder) else ()
    return CliRunner().invoke(main, ["export", *arguments, *destination], env=folder.env)


def mart(folder: Folder, name: str, where: str = "true") -> list[Row]:
    """A mart's rows, read without a line of the export's."""
    query = f"select * from wistia.wistia__{name} where {where}"
    if is_postgres(folder):
        url = folder.env["DESTINATION__POSTGRES__CREDENTIALS"]
        with closing(psycopg2.connect(url)) as connection, connection.cursor(cursor_factory=RealDictCursor) as cursor:
            cursor.execute("set timezone to 'UTC'")
            cursor.execute(query)
            return [dict(row) for row in cursor.fetchall()]
    with closing(duckdb.connect(str(folder.warehouse), read_only=True)) as file:
        file.execute("set timezone = 'UTC'")
        answer = file.execute(query)
        kinds = [(name, str(kind)) for name, kind, *_ in answer.description or ()]
        return [
            {
                name: json.loads(value) if kind == "JSON" and value is not None else value
                for (name, kind), value in zip(kinds, row, strict=True)
            }
            for row in answer.fetchall()
        ]


def plain(value: Any) -> Any:
    """A value as JSON can say it."""
    if isinstance(value, datetime):
        return value.astimezone(UTC).isoformat().replace("+00:00", "Z")
    return value.isoformat() if isinstance(value, date) else value


def of_csv(text: str | None, like: Any) -> Any:
    """What a field of CSV says, where a value of the column is `like` this."""
    if text is None or like is None:
        return text
    if isinstance(like, bool):
        return {"true": True, "false": False}[text]
    if isinstance(like, dict | list):
        said = json.loads(text)
        assert all(list(one) == sorted(one) for one in (said if isinstance(said, list) else [said]))
        return said
    return type(like)(text) if isinstance(like, int | float) else text


def read_back(file: Path, like: dict[str, Any]) -> list[Row]:
    """The rows of an export; `like` has a value of each column, null where all are."""
    if file.suffix == ".parquet":
        rows = parquet.read_table(file).to_pylist()
        return [
            {
                name: json.loads(value) if isinstance(like[name], dict | list) and value is not None else plain(value)
                for name, value in row.items()
            }
            for row in rows
        ]
    if file.suffix == ".json":
        whole: list[Row] = json.loads(file.read_bytes())
        return whole
    if file.suffix == ".ndjson":
        return [json.loads(line) for line in file.read_bytes().splitlines()]
    header = file.read_text("utf-8").partition("\n")[0]
    names = next(csv.reader([header]))
    table = arrow_csv.read_csv(
        file,
        parse_options=arrow_csv.ParseOptions(newlines_in_values=True),
        convert_options=arrow_csv.ConvertOptions(
            column_types=dict.fromkeys(names, pa.string()),
            null_values=[""],
            strings_can_be_null=True,
            quoted_strings_can_be_null=False,
        ),
    )
    return [{name: of_csv(text, like[name]) for name, text in row.items()} for row in table.to_pylist()]


def same(found: Any, expected: Any) -> bool:
    """Whether a value is the other; sums of fractions differ in their last digits from query to query."""
    if isinstance(expected, dict) and isinstance(found, dict):
        return found.keys() == expected.keys() and all(same(found[name], expected[name]) for name in expected)
    if isinstance(expected, list) and isinstance(found, list):
        return len(found) == len(expected) and all(map(same, found, expected))
    if {type(found), type(expected)} in ({int, float}, {float}):
        return math.isclose(found, expected, rel_tol=1e-9, abs_tol=1e-12)
    return type(found) is type(expected) and bool(found == expected)


def in_any_order(rows: list[Row]) -> list[Row]:
    """Rows in an order that rounding cannot change."""

    def key(row: Row) -> str:
        return repr([value for value in row.values() if not isinstance(value, float | dict | list)])

    return sorted(rows, key=key)


@pytest.mark.parametrize("every", [pytest.param(True, marks=pytest.mark.slow), False], ids=["each", "one"])
def test_every_mart_in_every_format(folder: Folder, tmp_path: Path, every: bool) -> None:
    full = 0
    for position, name in enumerate(mart_names()):
        expected = [{column: plain(value) for column, value in row.items()} for row in mart(folder, name[8:])]
        like = {
            column: next((row[column] for row in expected if row[column] is not None), None)
            for column in (expected[0] if expected else ())
        }
        full += bool(expected)
        # the quick ones take turns
        for form in FORMATS if every else [FORMATS[position % 4]]:
            file = tmp_path / f"{name}.{form}"
            # each in one of the two ways to name a mart
            done = export(folder, name[8:] if form == "csv" else name, "--output", str(file))
            assert done.exit_code == 0, done.output
            rows = "row" if len(expected) == 1 else "rows"
            assert done.output == f"{len(expected):,} {rows} of {name} in {file}.\n"
            found = read_back(file, like)
            assert all(list(row) == list(like) for row in found), (name, form)
            different = [
                (one, other)
                for one, other in zip(in_any_order(found), in_any_order(expected), strict=True)
                if not same(one, other)
            ]
            assert not different, (name, form, different[0])
    assert full >= 16


def test_rows_are_in_the_order_of_what_identifies_them(folder: Folder, tmp_path: Path) -> None:
    for name, grain in GRAINS.items():
        file = tmp_path / f"{name}.ndjson"
        assert export(folder, name, "--output", str(file)).exit_code == 0
        keys = [[(row[column] is None, row[column] or "") for column in grain] for row in read_back(file, {})]
        assert keys == sorted(keys)
        assert len(keys) > 10


def test_null_and_empty_text_are_told_apart(in_duckdb: Folder, tmp_path: Path) -> None:
    folder = copied(in_duckdb, tmp_path)
    with closing(duckdb.connect(str(folder.warehouse))) as connection:
        connection.execute(
            "update wistia.wistia__sessions set country = null, region = '', city = ?, viewed_fraction = 'nan', "
            "received_at = '2026-01-02 03:04:05.678901+00', latitude = 0.1, longitude = -1e300",
            ['a,"b"\r\nc\u2028'],
        )
    names = "country,region,city,viewed_fraction,received_at,latitude,longitude,is_anonymous"
    files = {form: tmp_path / f"some.{form}" for form in FORMATS}
    for file in files.values():
        assert export(folder, "sessions", "--columns", names, "--output", str(file)).exit_code == 0
    with files["csv"].open(encoding="utf-8", newline="") as opened:
        _, first, *_ = csv.reader(opened)
    assert first[2] == 'a,"b"\r\nc\u2028'
    lines = files["csv"].read_bytes().split(b"\n", 1)
    assert lines[0].decode() == ",".join(f'"{name}"' for name in names.split(","))
    assert lines[1].startswith(b',"","a,""b""\r\nc\xe2\x80\xa8",nan,"2026-01-02T03:04:05.678901Z",0.1,-1e+300,')
    told = {
        "country": None,
        "region": "",
        "city": 'a,"b"\r\nc\u2028',
        "viewed_fraction": None,
        "received_at": "2026-01-02T03:04:05.678901Z",
        "latitude": 0.1,
        "longitude": -1e300,
    }
    for form in ("json", "ndjson"):
        row = read_back(files[form], {})[0]
        del row["is_anonymous"]
        assert row == told
    table = parquet.read_table(files["parquet"])
    assert table.schema.field("received_at").type == pa.timestamp("us", "UTC")
    assert table.schema.names == names.split(",")


def test_days_and_columns_are_chosen(folder: Folder, tmp_path: Path) -> None:
    last = NOW.date() - timedelta(days=2)
    first = last - timedelta(days=3)
    days = ("--start", first.isoformat(), "--end", last.isoformat())
    for name, column in (("media_daily", "date"), ("sessions", "session_date"), ("activity", "received_at")):
        file = tmp_path / f"{name}.ndjson"
        done = export(folder, name, *days, "--columns", f"media_id,{column}", "--output", str(file))
        assert done.exit_code == 0, done.output
        expected = mart(folder, name, f"{column} >= '{first}' and {column} < '{last}'")
        found = read_back(file, {})
        assert sorted((row["media_id"] or "", row[column]) for row in found) == sorted(
            (row["media_id"] or "", plain(row[column])) for row in expected
        )
        assert 0 < len(found) < len(mart(folder, name))
        assert all(list(row) == ["media_id", column] for row in found)
    # each side alone
    counts = [len(mart(folder, "media_daily", where)) for where in (f"date >= '{first}'", f"date < '{last}'")]
    for side, count in zip((days[:2], days[2:]), counts, strict=True):
        done = export(folder, "media_daily", *side, "--output", str(tmp_path / "side.csv"))
        assert done.output.startswith(f"{count:,} rows ")


def test_a_mart_without_rows(in_duckdb: Folder, tmp_path: Path) -> None:
    files = [tmp_path / f"none.{form}" for form in FORMATS]
    for file in files:
        done = export(in_duckdb, "leads", "--end", "2000-01-01", "--columns", "email", "--output", str(file))
        assert done.output == f"0 rows of wistia__leads in {file}.\n"
    assert [file.read_bytes() for file in files[:3]] == [b'"email"\n', b"[]\n", b""]
    assert parquet.read_table(files[3]).schema.names == ["email"]


@pytest.mark.slow
def test_both_warehouses_give_the_same_files(in_duckdb: Folder, in_postgres: Folder, tmp_path: Path) -> None:
    skip_if_a_day_has_ended_since(NOW)
    for name in mart_names():
        schemas, rows = [], []
        for folder in (in_duckdb, in_postgres):
            for form in ("parquet", "ndjson"):
                assert export(folder, name, "--output", str(tmp_path / f"mart.{form}")).exit_code == 0
            schemas.append(parquet.read_schema(tmp_path / "mart.parquet"))
            # which load brought a row is another load's number
            rows.append([row | {"_dlt_load_id": None} for row in read_back(tmp_path / "mart.ndjson", {})])
        assert schemas[0].equals(schemas[1]), name
        # ranks of equal fractions depend on how each rounds them
        if name != "wistia__media_dropoff":
            different = [pair for pair in zip(*rows, strict=True) if not same(*pair)]
            assert not different, (name, different[0])


BAD = {
    "unknown model": (("nope",), "There is no model 'nope'; there are account_daily, ", 1),
    "unknown columns": (("leads", "--columns", "nope,email,no"), "wistia__leads has no column nope, no; it has ", 1),
    "columns twice": (("leads", "--columns", "email,media_id,email"), "--columns names email more than once", 1),
    "empty columns": (("leads", "--columns", ""), "wistia__leads has no column ''; it has ", 1),
    "days of a mart without": (("transcripts", "--start", "2026-01-01"), "are of no day; leave out --start", 1),
    "days in the wrong order": (
        ("leads", "--start", "2026-01-02", "--end", "2026-01-01"),
        "--end 2026-01-01 must be after --start 2026-01-02",
        2,
    ),
    "unknown ending": (
        ("leads", "--output", "leads.xls"),
        "no ending that names a format; choose csv, json, ndjson, parquet",
        1,
    ),
    "no ending": (("leads", "--output", "-"), "no ending that names a format; choose csv, json, ndjson, parquet", 1),
    "no file": (("leads", "--output", ""), "it is empty; name one", 2),
    "a folder": (("leads", "--format", "csv", "--output", "."), "which is a folder; name a file", 1),
    "a pipe": (("leads", "--output", "pipe.csv"), "which is a device or a pipe; name a file", 1),
    "no such folder": (("leads", "--output", "none/leads.csv"), "cannot be written: No such file or directory", 1),
}


@pytest.mark.parametrize("case", BAD)
def test_what_cannot_be_exported_is_said(in_duckdb: Folder, tmp_path: Path, case: str) -> None:
    arguments, says, code = BAD[case]
    # devices are the same: /dev/null itself would be gone if this failed
    os.mkfifo("pipe.csv")
    if "--output" not in arguments:
        arguments += ("--output", "x.csv")
    done = export(in_duckdb, *arguments)
    assert (done.exit_code, says in done.output) == (code, True), done.output
    assert "Traceback" not in done.output
    assert sum(line.startswith("Error: ") for line in done.output.splitlines()) == 1
    assert [*tmp_path.glob("**/*.csv")] == [tmp_path / "pipe.csv"]
    assert (tmp_path / "pipe.csv").is_fifo()


def test_marts_that_are_not_built_are_said(in_duckdb: Folder, tmp_path: Path) -> None:
    folder = copied(in_duckdb, tmp_path)
    with closing(duckdb.connect(str(folder.warehouse))) as connection:
        connection.execute("drop view wistia.wistia__leads")
    done = export(folder, "leads", "--output", "x.csv")
    assert (done.exit_code, done.output) == (
        1,
        "Error: wistia__leads has not been built yet; run wistia-pipeline models first.\n",
    )


def test_a_failed_export_leaves_the_earlier_file(in_duckdb: Folder, tmp_path: Path) -> None:
    folder = copied(in_duckdb, tmp_path)
    with closing(duckdb.connect(str(folder.warehouse))) as connection:
        connection.execute(
            "create or replace view wistia.wistia__leads as select * replace "
            "(case when visitor_key = max(visitor_key) over () then error('the last row') else email end as email) "
            "from wistia.wistia__activity"
        )
    file = folder.work / "activity.csv"
    file.write_text("earlier")
    done = export(folder, "leads", "--columns", "visitor_key,email", "--output", str(file))
    assert (done.exit_code, done.stdout) == (1, "")
    before = folder.warehouse.read_bytes()
    done = export(folder, "activity", "--format", "csv", "--output", str(folder.warehouse))
    assert (done.exit_code, "is a DuckDB database, which would be lost" in done.output) == (1, True)
    assert folder.warehouse.read_bytes() == before
    # a disk that is full half-way
    full = subprocess.run(
        [COMMAND, "export", "sessions", "--output", file],
        cwd=folder.work,
        env=folder.env,
        capture_output=True,
        text=True,
        preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, 100_000)),
    )
    assert (full.returncode, full.stderr) == (
        1,
        "Error: The computer says: File too large; mend that, then run again.\n",
    )
    assert file.read_text() == "earlier"
    assert set(os.listdir(folder.work)) == {"warehouse.duckdb", file.name}


def test_standard_output_is_for_pipes(in_duckdb: Folder) -> None:
    whole = in_duckdb.run("export", "activity", "--format", "ndjson", "--output", "-")
    assert (whole.returncode, whole.stderr) == (0, "")
    lines = whole.stdout.splitlines()
    assert len(lines) == len(mart(in_duckdb, "activity"))
    # more than a pipe holds, to a reader that has seen enough
    assert len(whole.stdout) > 2**17
    process = in_duckdb.start("export", "activity", "--format", "ndjson", "--output", "-")
    assert process.stdout
    assert process.stderr
    assert process.stdout.readline() == lines[0] + "\n"
    process.stdout.close()
    assert (process.wait(30), process.stderr.read()) == (-signal.SIGPIPE, "")


def test_what_a_killed_export_left_is_cleared_a_day_later(in_duckdb: Folder, tmp_path: Path) -> None:
    old, new, other = (
        tmp_path / f".{name}.half" for name in ("a[1].csv.0123abcd", "a[1].csv.4567cdef", "b.csv.0123abcd")
    )
    for half in (old, new, other):
        half.touch()
    for half in (old, other):
        os.utime(half, (time.time() - 100_000,) * 2)
    assert export(in_duckdb, "leads", "--output", str(tmp_path / "a[1].csv")).exit_code == 0
    assert [half.exists() for half in (old, new, other)] == [False, True, True]


def multiplied(folder: Folder) -> int:
    """Makes a million viewing sessions out of some; returns how many."""
    times = 1_000_000 // len(mart(folder, "sessions")) + 1
    if is_postgres(folder):
        with closing(psycopg2.connect(folder.env["DESTINATION__POSTGRES__CREDENTIALS"])) as connection, connection:
            cursor = connection.cursor()
            cursor.execute(
                "select string_agg(case column_name when 'event_key' then 'event_key || n' "
                "else quote_ident(column_name) end, ', ' order by ordinal_position) "
                "from information_schema.columns where table_schema = 'wistia' and table_name = 'wistia__sessions'"
            )
            ((columns,),) = cursor.fetchall()
            cursor.execute(
                f"insert into wistia.wistia__sessions select {columns} from wistia.wistia__sessions, "
                f"generate_series(2, {times}) as n"
            )
    else:
        with closing(duckdb.connect(str(folder.warehouse))) as file:
            file.execute(
                "insert into wistia.wistia__sessions select s.* replace (event_key || n as event_key) "
                f"from wistia.wistia__sessions as s, range(1, {times}) as numbers(n)"
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


@pytest.fixture(params=["duckdb", "postgres"])
def large(
    request: pytest.FixtureRequest, tmp_path: Path, sandbox: Sandbox, postgres_url: str, in_duckdb: Folder
) -> Iterator[Folder]:
    """A million viewing sessions."""
    if request.param == "duckdb":
        folder = copied(in_duckdb, tmp_path)
        multiplied(folder)
        yield folder
        return
    with database(postgres_url) as url:
        folder = loaded_folder(tmp_path / "user", sandbox, DESTINATION__POSTGRES__CREDENTIALS=url)
        multiplied(folder)
        yield folder


@pytest.mark.slow
@pytest.mark.timeout(500)
def test_a_million_rows_take_no_more_memory_and_can_be_stopped(large: Folder) -> None:
    few = ("sessions", "--start", NOW.date().isoformat(), "--columns", "event_key")
    base = peak_megabytes(large, *few, "--output", "few.csv")
    for form in ("csv", "parquet"):
        file = large.work / f"all.{form}"
        # DuckDB may take 500 MB to sort, Postgres sorts in the server
        limit = 150 if is_postgres(large) else 700
        assert peak_megabytes(large, "sessions", "--output", str(file)) - base < limit
        assert file.stat().st_size > 2**20
    assert parquet.read_metadata(large.work / "all.parquet").num_rows > 1_000_000
    assert parquet.read_metadata(large.work / "all.parquet").num_row_groups > 3
    stop(large, lambda half: half.stat().st_size > 2**20, signal.SIGTERM)
    # before the first row, while the database sorts
    stop(large, lambda half: half.stat().st_mtime < time.time() - 1, signal.SIGINT)
    assert not list(large.work.glob("*stopped*"))


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
    told = 128 + how, "Error: Stopped before the file was whole; nothing was written.\n"
    if is_postgres(folder) and how == signal.SIGINT:
        # the driver asks the server to stop
        told = 1, "Error: Postgres has ended the query: canceling statement due to user request; run again.\n"
    assert (process.returncode, said) == told
    assert not list(folder.work.glob(".stopped*"))


def test_names_are_as_they_were_given(in_duckdb: Folder, tmp_path: Path) -> None:
    for form in FORMATS:
        file = tmp_path / f"names.{form}"
        assert export(in_duckdb, "media_performance", "--columns", "media_name", "--output", str(file)).exit_code == 0
        assert HOSTILE in {row["media_name"] for row in read_back(file, {"media_name": ""})}
