"""`maintain` on a file and on a server; of a lake see test_lake_cli."""

from __future__ import annotations

import re
from contextlib import closing
from pathlib import Path

import duckdb
import pytest
from click.testing import CliRunner, Result
from wistia_pipeline.cli import main
from wistia_pipeline.sandbox import Sandbox

from tests.support.warehouse import Warehouse, sync

ACCOUNT = {"seed": 29, "medias": 4, "projects": 2, "visitors": 60, "events": 400, "days": 40}


def maintain(*arguments: str) -> Result:
    """`wistia-pipeline maintain` in this process."""
    return CliRunner().invoke(main, ["maintain", *arguments])


@pytest.mark.slow
def test_a_file_gives_back_what_was_deleted_from_it(
    duckdb_warehouse: Warehouse, living: Sandbox, tmp_path: Path
) -> None:
    sync(duckdb_warehouse, living, select=("events", "account_stats_by_date"))
    file = tmp_path / "warehouse.duckdb"
    with closing(duckdb.connect(str(file))) as connection:
        connection.execute("create table wistia_raw.much as select range, hash(range) from range(1000000)")
        connection.execute("checkpoint")
        connection.execute("drop table wistia_raw.much")
    size, before = file.stat().st_size, duckdb_warehouse.contents()
    done = maintain()
    assert done.exit_code == 0, done.output
    assert done.output == f"Bytes given back: {size - file.stat().st_size:,}\n"
    assert file.stat().st_size < size
    assert maintain().output == "Nothing to do.\n"
    assert duckdb_warehouse.contents() == before


def test_the_tables_of_postgres_are_vacuumed(
    postgres_warehouse: Warehouse, living: Sandbox, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("DESTINATION__POSTGRES__CREDENTIALS", postgres_warehouse.address)
    nothing = maintain("--destination", "postgres")
    assert (nothing.exit_code, "Nothing has been loaded there yet" in nothing.output) == (1, True)
    sync(postgres_warehouse, living, select=("events",))
    done = maintain("--destination", "postgres")
    with postgres_warehouse.cursor() as cursor:
        cursor.execute(
            "select count(*), count(last_vacuum), count(last_analyze) from pg_stat_user_tables "
            "where schemaname = 'wistia_raw'"
        )
        ((tables, vacuumed, analyzed),) = cursor.fetchall()
    assert done.output == f"Tables vacuumed: {tables}\n"
    assert tables == vacuumed == analyzed > 5


@pytest.mark.parametrize(
    ("arguments", "code", "says"),
    [
        ((), 1, "Nothing has been loaded there yet; run wistia-pipeline sync first"),
        (("--destination", "filesystem"), 1, "filesystem maintains itself, or by its own tools; nothing was done"),
        (("--keep-days", "-1"), 2, "-1.0 is not in the range"),
        (("--keep-days", "nan"), 2, ""),
    ],
)
def test_wrong_uses_get_a_sentence(
    arguments: tuple[str, ...], code: int, says: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("DESTINATION__FILESYSTEM__BUCKET_URL", str(tmp_path / "files"))
    done = maintain(*arguments)
    assert (done.exit_code, len(re.findall("Error: ", done.output))) == (code, 1), done.output
    assert says in done.output
    assert not list(tmp_path.glob("*.duckdb"))
