"""What `sync` prints, loads and leaves, by its options and its exit codes."""

from __future__ import annotations

import json
import os
import pty
import re
import select
import socket
import subprocess
from contextlib import closing
from pathlib import Path
from typing import Any

import duckdb
import psycopg2
import pytest
from wistia_pipeline.cli.options import MOST_NAMED, name_failures
from wistia_pipeline.sandbox import Fault, Sandbox

from tests.support.commands import contents, folder_at_now, loaded_at_now, without_progress
from tests.support.folder import COMMAND, ESCAPE, PROGRESS_LINE, Folder, rows
from tests.support.sandbox import NOW, TOKEN
from wistia_source.endpoints import BY_NAME

ACCOUNT: dict[str, Any] = {"seed": 3, "medias": 6, "projects": 2, "visitors": 40, "events": 150, "days": 30}


@pytest.fixture
def folder(tmp_path: Path, living: Sandbox) -> Folder:
    """An empty folder."""
    return folder_at_now(tmp_path / "user", living)


def test_a_table_on_standard_output_and_plain_progress_on_standard_error(folder: Folder) -> None:
    # in a process of its own: whatever else prints, prints there
    # continuous integration sets FORCE_COLOR, which makes rich take a pipe for a terminal
    done = folder.run("sync", FORCE_COLOR=None)
    assert done.returncode == 0, done.stderr
    for name in BY_NAME:
        assert re.search(rf"│ {name} +│ +[\d,]+ │ +\d+ │", done.stdout), name
        said = re.findall(rf"^{name}: [\d,]+ rows?, \d+ requests?$", done.stderr, re.MULTILINE)
        assert len(said) == 1, name
    assert "all (ok)" in done.stdout
    # no log of dlt's, no warning, no bar
    assert all(PROGRESS_LINE.fullmatch(line) for line in done.stderr.splitlines()), done.stderr
    assert ESCAPE not in done.stdout + done.stderr
    assert TOKEN not in done.stdout + done.stderr
    assert os.listdir(folder.work) == ["warehouse.duckdb"]
    assert os.listdir(folder.env["HOME"]) == []
    schemas = rows(folder.warehouse, "select distinct table_schema from information_schema.tables")
    assert ("wistia_raw",) in schemas
    assert not [schema for (schema,) in schemas if not schema.startswith("wistia_raw")]


def test_json_counts_what_the_api_counted(folder: Folder, living: Sandbox) -> None:
    answer = folder.sync()
    view = living.account.at(NOW)
    assert answer["status"] == "ok"
    assert answer["requests"] == len(living.log)
    assert answer["requests"] == sum(figures["requests"] for figures in answer["resources"].values())
    assert answer["seconds"] > 0
    assert set(answer["resources"]) == set(BY_NAME)
    assert answer["resources"]["medias"]["rows"] == len(view.medias())
    assert answer["resources"]["events"]["rows"] == len(view.events())
    assert answer["failures"] == []
    assert answer["error"] is None


@pytest.mark.slow
def test_no_telemetry(folder: Folder) -> None:
    with closing(socket.create_server(("127.0.0.1", 0))) as proxy:
        address = f"http://127.0.0.1:{proxy.getsockname()[1]}"
        done = folder.run(
            "sync", "--select", "account_stats", HTTPS_PROXY=address, HTTP_PROXY=address, NO_PROXY="127.0.0.1"
        )
        assert done.returncode == 0, done.stderr
        assert not select.select([proxy], [], [], 0)[0]


def test_only_selected_resources_are_loaded(folder: Folder) -> None:
    answer = folder.sync("--select", "events, visitors")
    assert set(answer["resources"]) == {"events", "visitors"}
    assert set(contents(folder.warehouse)) == {"events", "visitors"}


@pytest.mark.slow
def test_bars_on_a_terminal(folder: Folder) -> None:
    seen, code = on_terminal(folder, "sync", "--no-models", "--select", "account_stats,medias")
    assert code == 0, seen
    assert ESCAPE in seen
    assert "━" in seen
    assert "account_stats" in seen
    assert "all (ok)" in seen


def on_terminal(folder: Folder, *arguments: str) -> tuple[str, int]:
    """All that a command shows on a terminal, and its exit code."""
    ours, theirs = pty.openpty()
    process = subprocess.Popen(
        [COMMAND, *arguments],
        cwd=folder.work,
        env=folder.environment(TERM="xterm", COLUMNS="80", LINES="40"),
        stdin=theirs,
        stdout=theirs,
        stderr=theirs,
    )
    os.close(theirs)
    shown = b""
    while True:
        try:
            chunk = os.read(ours, 65_536)
        except OSError:
            # how Linux says that the other side has gone
            break
        if not chunk:
            break
        shown += chunk
    os.close(ours)
    return shown.decode(), process.wait(60)


def test_postgres(folder: Folder, living: Sandbox, postgres_warehouse: Any) -> None:
    settings = {"DESTINATION__POSTGRES__CREDENTIALS": postgres_warehouse.address}
    answer = folder.sync("--destination", "postgres", "--select", "events", **settings)
    assert answer["status"] == "ok"
    with closing(psycopg2.connect(postgres_warehouse.address)) as connection, connection.cursor() as cursor:
        cursor.execute("select count(*) from wistia_raw.events")
        assert cursor.fetchone() == (len(living.account.at(NOW).events()),)
    assert os.listdir(folder.work) == []


# what is refreshed by its key


@pytest.mark.slow
def test_one_event_and_one_visitor_by_key(tmp_path: Path, living: Sandbox) -> None:
    loaded, account = loaded_at_now(tmp_path / "user", living), living.account
    first, second = (event["event_key"] for event in account.at(NOW).events()[:2])
    before = contents(loaded.warehouse)
    for key in (first, second):
        account.restate_event(key, percent_viewed=0.4321)
    done = loaded.sync("--event-key", first)
    assert set(done["resources"]) == {"events"}
    assert done["requests"] == len(living.log) == 2
    after = contents(loaded.warehouse)
    changed = set(after["events"]) - set(before["events"])
    assert len(changed) == len(set(before["events"]) - set(after["events"])) == 1
    assert first in next(iter(changed))
    assert 0.4321 in next(iter(changed))
    assert {name: after[name] for name in after if name != "events"} == {
        name: before[name] for name in before if name != "events"
    }

    visitor = account.at(NOW).visitors()[0]["visitor_key"]
    with closing(duckdb.connect(str(loaded.warehouse))) as connection:
        connection.execute("update wistia_raw.visitors set play_count = -1, _row_hash = 0")
    assert loaded.sync("--visitor-key", visitor)["status"] == "ok"
    fixed = rows(loaded.warehouse, "select visitor_key from wistia_raw.visitors where play_count >= 0")
    assert fixed == [(visitor,)]


# what could not be read


@pytest.mark.slow
@pytest.mark.parametrize("status", [500, 404])
def test_one_bad_media_costs_no_other(folder: Folder, living: Sandbox, status: int) -> None:
    medias = [media["hashed_id"] for media in living.account.at(NOW).medias()]
    bad = medias[1]
    fan_outs = {"media_stats", "media_stats_by_date", "media_engagement"}
    selected = ("--select", ",".join(["medias", *sorted(fan_outs)]))
    living.faults.add(Fault(f"stats/medias/{bad}", status=status, times=None))
    done = folder.invoke("sync", "--json", *selected)
    assert done.returncode == 3, done.stderr
    answer = json.loads(done.stdout)
    assert answer["status"] == "partial"
    assert answer["requests"] == len(living.log)
    assert {(failure["resource"], failure["parent_id"]) for failure in answer["failures"]} == {
        (name, bad) for name in fan_outs
    }
    lines = without_progress(done.stderr)
    assert len([line for line in lines if line.startswith("Not loaded: ") and bad in line]) == 3
    assert "Everything else is loaded; these are asked for again." in lines
    for name in fan_outs:
        got = {media for (media,) in rows(folder.warehouse, f"select distinct media_id from wistia_raw.{name}")}
        assert got == {*medias} - {bad}, name
    living.faults.clear()
    assert folder.sync(*selected)["status"] == "ok"
    if status == 404:
        # what Wistia says is not there is asked again at its turn only
        return
    (now_there,) = rows(folder.warehouse, f"select count(*) from wistia_raw.media_stats where media_id = '{bad}'")
    assert now_there == (1,)


def test_a_run_that_could_read_nothing_has_failed(folder: Folder, living: Sandbox) -> None:
    living.faults.add(Fault("v1/account.json", status=500, times=None))
    done = folder.invoke("sync")
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr.splitlines()[-1].startswith("Error: GET account kept failing: HTTP 500")
    assert len(living.log) == 6


def test_a_list_that_could_not_be_read_is_named(folder: Folder, living: Sandbox) -> None:
    living.faults.add(Fault("stats/visitors", status=500, times=None))
    done = folder.invoke("sync", "--select", "visitors,account_stats")
    assert done.returncode == 3
    assert "Not loaded: visitors: GET stats/visitors kept failing: HTTP 500" in done.stderr


def test_only_the_first_of_many_failures_are_named(capsys: pytest.CaptureFixture[str]) -> None:
    name_failures("Not loaded", [f"number {number}" for number in range(MOST_NAMED + 3)])
    *named, last = capsys.readouterr().err.splitlines()
    assert named == [f"Not loaded: number {number}" for number in range(MOST_NAMED)]
    assert last == "Not loaded: 3 more; --json names them all."


@pytest.mark.slow
def test_a_field_that_nobody_declared_is_named_once(folder: Folder, living: Sandbox) -> None:
    body = {"load_count": 1, "play_count": 1, "hours_watched": 0, "shares": {"total": 3}}
    living.faults.add(Fault("stats/account.json", status=200, times=None, body=json.dumps(body)))
    first, second = (folder.invoke("sync", "--select", "account_stats") for _ in range(2))
    assert "loaded as text columns: account_stats.shares." in first.stderr
    assert "text columns" not in second.stderr
    assert {shares for (shares,) in rows(folder.warehouse, "select shares from wistia_raw.account_stats")} == {
        '{"total":3}'
    }
