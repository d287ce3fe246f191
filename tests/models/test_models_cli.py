"""The models on the command line: what a person sees of a build, and what a scheduler."""

from __future__ import annotations

import os
import re
import shutil
import signal
from collections.abc import Iterator
from contextlib import closing
from dataclasses import replace
from pathlib import Path

import duckdb
import pytest
from wistia_pipeline.sandbox import Account, Sandbox

from tests.support.folder import ESCAPE, PROGRESS_LINE, Folder, empty_folder, rows, wait_for
from tests.support.parsed import keep_parsed
from tests.support.sandbox import NOW, TOKEN

ROOT = Path(__file__).parents[2]


@pytest.fixture(scope="module")
def sandbox() -> Iterator[Sandbox]:
    """One account for all, which no test changes."""
    account = Account(seed=5, start=NOW, medias=5, projects=2, visitors=30, events=120, days=30)
    with Sandbox(account, now=lambda: NOW, rate_limit=None, token=TOKEN) as server:
        yield server


@pytest.fixture(scope="module")
def built_once(tmp_path_factory: pytest.TempPathFactory, sandbox: Sandbox) -> Folder:
    """A folder in which one sync has run, with its models. Tests take a copy."""
    folder = replace(empty_folder(tmp_path_factory.mktemp("built") / "user", sandbox, NOW), models=True)
    folder.env["SOURCES__WISTIA__NOW"] = NOW.isoformat()
    keep_parsed()
    done = folder.invoke("sync", FORCE_COLOR=None)
    assert done.returncode == 0, done.stderr
    assert re.search(r"^\d+ models built, \d+ data tests hold \([\d.]+ s\)$", done.stdout, re.MULTILINE)
    assert "building the models" in done.stderr.splitlines()
    assert all(PROGRESS_LINE.fullmatch(line) for line in done.stderr.splitlines()), done.stderr
    assert ESCAPE not in done.stdout + done.stderr
    # neither dbt's logs nor its profile, user id or target are left where commands run
    assert os.listdir(folder.work) == ["warehouse.duckdb"]
    assert os.listdir(folder.env["HOME"]) == []
    return folder


@pytest.fixture
def built(tmp_path: Path, built_once: Folder) -> Folder:
    """A folder in which one sync has run, with its models."""
    shutil.copytree(built_once.path, tmp_path / "user")
    moved = {
        name: value.replace(str(built_once.path), str(tmp_path / "user")) for name, value in built_once.env.items()
    }
    return replace(built_once, path=tmp_path / "user", env=moved)


def spoil(folder: Folder) -> None:
    """A row that no session explains, a table that is no longer what it was, and something new to build."""
    with closing(duckdb.connect(str(folder.warehouse))) as connection:
        connection.execute(
            "insert into wistia_intermediate.int_wistia__viewers (account_id, viewer_key, session_count) "
            "values ('x', 'nobody', -1)"
        )
        connection.execute(
            "alter table wistia_intermediate.int_wistia__audience_days alter column date type integer using 1"
        )
        connection.execute("update wistia_raw.events set percent_viewed = 0.5, _dlt_load_id = '2000000000.1'")
        connection.execute(
            "insert into wistia_raw._dlt_loads (load_id, schema_name, status, inserted_at) "
            "values ('2000000000.1', 'wistia', 0, now())"
        )
        # all tests are due again
        connection.execute("update wistia_raw._models_built_from set tested_at = now() - interval '1 day'")


@pytest.mark.slow
def test_what_fails_is_named_costs_the_data_nothing_and_is_mended_by_a_full_refresh(built: Folder) -> None:
    spoil(built)
    loaded = rows(built.warehouse, "select count(*) from wistia_raw.events")
    answer = built.sync("--select", "account_stats")
    assert answer["status"] == "partial"
    failed = {failure["name"]: failure["kind"] for failure in answer["models"]["failures"]}
    assert failed.pop("int_wistia__audience_days") == "model"
    assert set(failed.values()) == {"test"}
    logged = "select status, failures, error from wistia_raw.sync_runs where resource = 'models' and run_id = "
    ((status, failures, error),) = rows(built.warehouse, f"{logged} '{answer['run_id']}'")
    assert (status, failures, "int_wistia__audience_days" in error) == ("partial", len(failed) + 1, True)
    assert rows(built.warehouse, "select count(*) from wistia_raw.events") == loaded
    again = built.invoke("models")
    assert again.returncode == 3
    said = again.stderr
    assert re.search(r"^Failed: model int_wistia__audience_days: .+$", said, re.MULTILINE)
    assert re.search(r"^Failed: test wistia__viewers_\w+: .+$", said, re.MULTILINE)
    assert re.search(r"^Left out because of these: .*assert_rollups_agree", said, re.MULTILINE)
    assert "wistia-pipeline models" in said
    assert "Traceback" not in said
    mended = built.invoke("models", "--full-refresh")
    assert (mended.returncode, "Failed" in mended.stderr) == (0, False), mended.stderr
    assert rows(built.warehouse, "select distinct viewed_fraction from wistia.wistia__sessions") == [(0.5,)]


@pytest.mark.slow
def test_loads_alone_leave_the_models_as_they_are(built: Folder) -> None:
    before = rows(built.warehouse, "select max(batch), count(*) from wistia_intermediate.int_wistia__sessions")
    with closing(duckdb.connect(str(built.warehouse))) as connection:
        connection.execute("drop view wistia.wistia__leads")
    answer = built.sync("--no-models")
    assert (answer["status"], answer["models"]) == ("ok", None)
    assert rows(built.warehouse, "select max(batch), count(*) from wistia_intermediate.int_wistia__sessions") == before
    assert not rows(built.warehouse, "select 1 from information_schema.tables where table_name = 'wistia__leads'")
    assert built.invoke("models").returncode == 0
    assert rows(built.warehouse, "select count(*) from wistia.wistia__leads")


@pytest.mark.parametrize("command", ["models", "docs"])
def test_without_data_there_is_nothing_to_build_on(tmp_path: Path, sandbox: Sandbox, command: str) -> None:
    folder = empty_folder(tmp_path / "user", sandbox, NOW)
    done = folder.invoke(command)
    assert done.returncode == 1
    assert done.stderr.splitlines()[-1] == (
        "Error: There is nothing to build models on yet; run wistia-pipeline sync first."
    )
    assert os.listdir(folder.work) == []


def test_models_for_another_destination_are_refused(tmp_path: Path, sandbox: Sandbox) -> None:
    done = empty_folder(tmp_path / "user", sandbox, NOW).invoke("models", "--destination", "filesystem")
    assert done.returncode == 1
    assert "Error: The models are written for duckdb, postgres and ducklake, not for filesystem; " in done.stderr


@pytest.mark.deep
def test_models_are_described_where_one_was_dropped(built: Folder, tmp_path: Path) -> None:
    folder = built.copied_to(tmp_path / "copy")
    with closing(duckdb.connect(str(folder.warehouse))) as file:
        file.execute("drop table wistia_intermediate.int_wistia__sessions cascade")
    assert folder.invoke("docs", "--output", "models.html").returncode == 0
    # the compiled SQL, inside of JSON; that of the macro has no names
    assert r"int_wistia__sessions\" as seen" in (folder.work / "models.html").read_text("utf-8")


@pytest.mark.slow
def test_the_page_of_the_models_describes_each_column(built: Folder) -> None:
    done = built.invoke("docs", "--output", "models.html")
    assert (done.returncode, done.stdout) == (
        0,
        "The models are described in models.html; open it in a browser.\n",
    ), done.stderr
    page = (built.work / "models.html").read_text("utf-8")
    assert sorted(os.listdir(built.work)) == ["models.html", "warehouse.duckdb"]
    marts = [
        name
        for (name,) in rows(built.warehouse, "select table_name from information_schema.tables")
        if name.startswith("wistia__")
    ]
    assert marts
    for name in marts:
        assert f"model.wistia.{name}" in page
    assert TOKEN not in page
    # a page to be shown to others
    assert str(built.path) not in page
    assert str(ROOT) not in page


def built_so_far(folder: Folder) -> int:
    """How many models dbt's logs call built."""
    return sum(log.read_text("utf-8").count("OK created") for log in folder.path.glob("dlt/**/dbt.log"))


@pytest.mark.slow
@pytest.mark.parametrize("models", [5, *(pytest.param(some, marks=pytest.mark.deep) for some in (0, 30))])
def test_ctrl_c_during_a_build_ends_it_and_the_next_one_goes_on(built: Folder, models: int) -> None:
    before = built_so_far(built)
    process = built.start("models", "--full-refresh")
    assert process.stderr
    while "building the models" not in process.stderr.readline():
        assert process.poll() is None
    wait_for(lambda: built_so_far(built) >= before + models, process)
    process.send_signal(signal.SIGINT)
    _, said = process.communicate(timeout=60)
    assert process.returncode == 130, said
    assert "Traceback" not in said
    assert built.invoke("models").returncode == 0
    assert rows(built.warehouse, "select count(*) from wistia.wistia__sessions") == rows(
        built.warehouse, "select count(*) from wistia_raw.events"
    )
