"""Exports: every mart in every format is the mart, from both warehouses, at any size, or it is not there at all."""

from __future__ import annotations

import csv
import os
import resource
import signal
import subprocess
import time
from collections.abc import Iterator
from contextlib import closing
from datetime import timedelta
from pathlib import Path

import duckdb
import pyarrow as pa
import pytest
from pyarrow import parquet
from wistia_pipeline.models.marts import mart_names

from tests.support.exports import FORMATS, export, in_any_order, mart, plain, read_back, same
from tests.support.folder import COMMAND, Folder
from tests.support.outputs import HOSTILE, copied, copied_in_postgres, in_duckdb_once
from tests.support.samples import sampled
from tests.support.sandbox import NOW

# the first test that needs the account may have to wait until it is loaded and modelled
pytestmark = pytest.mark.timeout(300)

GRAINS = {
    "account_daily": ("account_id", "date"),
    "media_daily": ("account_id", "media_id", "date"),
    "sessions": ("account_id", "event_key", "visitor_key"),
    "embed_pages": ("account_id", "media_id", "embed_host", "embed_path", "utm_source"),
}
"""How rows of some marts are ordered, nulls last."""


@pytest.fixture(scope="module")
def in_duckdb() -> Folder:
    """The account in a DuckDB file, which no test changes."""
    return in_duckdb_once()


@pytest.fixture(scope="module")
def in_postgres(tmp_path_factory: pytest.TempPathFactory, postgres_url: str) -> Iterator[Folder]:
    """The account in a Postgres database, which no test changes."""
    with copied_in_postgres(postgres_url, tmp_path_factory.mktemp("postgres")) as folder:
        yield folder


@pytest.fixture(params=["duckdb", pytest.param("postgres", marks=pytest.mark.slow)])
def folder(request: pytest.FixtureRequest) -> Folder:
    """The account in either."""
    chosen: Folder = request.getfixturevalue(f"in_{request.param}")
    return chosen


@pytest.mark.parametrize("every", [pytest.param(True, marks=pytest.mark.deep), False], ids=["each", "one"])
def test_every_mart_in_every_format(folder: Folder, tmp_path: Path, every: bool) -> None:
    full = 0
    for position, name in enumerate(mart_names()):
        expected = [{column: plain(value) for column, value in row.items()} for row in mart(folder, name[8:])]
        like = {
            column: next((row[column] for row in expected if row[column] is not None), None)
            for column in (expected[0] if expected else ())
        }
        full += bool(expected)
        # formats take turns, but with the sessions, which have columns of every type
        for form in FORMATS if every or name == "wistia__sessions" else [FORMATS[position % 4]]:
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
            "update wistia_intermediate.int_wistia__sessions "
            "set country = null, region = '', city = ?, viewed_fraction = 'nan', "
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
@pytest.mark.parametrize("name", sampled(mart_names(), 4, seed=19))
def test_both_warehouses_give_the_same_file(in_duckdb: Folder, in_postgres: Folder, tmp_path: Path, name: str) -> None:
    schemas, rows = [], []
    for folder in (in_duckdb, in_postgres):
        for form in ("parquet", "ndjson"):
            assert export(folder, name, "--output", str(tmp_path / f"mart.{form}")).exit_code == 0
        schemas.append(parquet.read_schema(tmp_path / "mart.parquet"))
        # which load brought a row is another load's number
        rows.append([row | {"_dlt_load_id": None} for row in read_back(tmp_path / "mart.ndjson", {})])
    assert schemas[0].equals(schemas[1])
    # ranks of equal fractions depend on how each rounds them
    if name != "wistia__media_dropoff":
        different = [pair for pair in zip(*rows, strict=True) if not same(*pair)]
        assert not different, different[0]


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
        # or Python leaves halves of what it compiles where it keeps that
        env=folder.env | {"PYTHONDONTWRITEBYTECODE": "1"},
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
    for half, age in ((old, 100_000), (new, 0), (other, 100_000)):
        half.touch()
        os.utime(half, (time.time() - age,) * 2)
    assert export(in_duckdb, "leads", "--output", str(tmp_path / "a[1].csv")).exit_code == 0
    assert [half.exists() for half in (old, new, other)] == [False, True, True]


def test_names_are_as_they_were_given(in_duckdb: Folder, tmp_path: Path) -> None:
    for form in FORMATS:
        file = tmp_path / f"names.{form}"
        assert export(in_duckdb, "media_performance", "--columns", "media_name", "--output", str(file)).exit_code == 0
        assert HOSTILE in {row["media_name"] for row in read_back(file, {"media_name": ""})}
