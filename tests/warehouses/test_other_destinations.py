"""Destinations of dlt that the project does not know: loaded by configuration alone, and remembered.

Files, to which every load only adds rows: the next run goes by the newest version of each. A database whose SQL is not
ours: SQLite, which has neither moments nor documents.
"""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Sequence
from contextlib import closing
from datetime import timedelta
from pathlib import Path
from typing import Any

import dlt
import pytest
from wistia_pipeline.sandbox import Account, Fault, Sandbox

from tests.support.folder import empty_folder
from tests.support.sandbox import NOW, START, TOKEN, at, source_of

pytestmark = pytest.mark.slow

ACCOUNT = {"seed": 5, "medias": 5, "projects": 2, "visitors": 30, "events": 120, "days": 40, "hourly_events": 6}
HOUR, DAY = timedelta(hours=1), timedelta(days=1)


@pytest.fixture
def pipeline(tmp_path: Path) -> dlt.Pipeline:
    """One that loads an empty folder."""
    made: dlt.Pipeline = dlt.pipeline("files", destination=dlt.destinations.filesystem((tmp_path / "lake").as_uri()))
    return made


def newest(pipeline: dlt.Pipeline, table: str, columns: str, keys: str) -> list[tuple[Any, ...]]:
    """The newest version of each row, as DuckDB finds it."""
    found: list[tuple[Any, ...]] = pipeline.dataset()(
        f"select {columns} from (select *, row_number() over (partition by {keys} order by _dlt_load_id desc) as place "
        f"from {table}) as versions where place = 1"
    ).fetchall()
    return found


def count(pipeline: dlt.Pipeline, table: str, where: str = "true") -> int:
    """All versions of all rows."""
    ((rows,),) = pipeline.dataset()(f"select count(*) from {table} where {where}").fetchall()
    return int(rows)


def test_a_row_that_is_again_as_it_once_was_is_loaded_again(pipeline: dlt.Pipeline, living: Sandbox) -> None:
    events = living.account.at(NOW).events()
    chosen = next(event for event in events if event["event_key"] and event["percent_viewed"] != 0.125)

    def load(hours: int) -> int:
        before = count(pipeline, "events") if hours else 0
        given = source_of(living, NOW + hours * HOUR, start_date=START, events_lookback_hours=2400)
        pipeline.run(given.with_resources("events"), loader_file_format="parquet")
        return count(pipeline, "events") - before

    load(0)
    living.account.restate_event(chosen["event_key"], percent_viewed=0.125)
    changed = load(1)
    living.account.restate_event(chosen["event_key"], percent_viewed=chosen["percent_viewed"])
    back = load(2)
    view = living.account.at(NOW + 2 * HOUR)
    shown = [len(living.account.at(NOW + hours * HOUR).events()) for hours in range(3)]
    assert [changed, back] == [1 + shown[1] - shown[0], 1 + shown[2] - shown[1]]
    loaded = newest(pipeline, "events", "event_key, visitor_key, received_at, percent_viewed", "event_key, visitor_key")
    assert sorted((at({"t": moment}, "t"), seen) for key, _, moment, seen in loaded) == sorted(
        (at(event, "received_at"), event["percent_viewed"]) for event in view.events()
    )
    assert {key: seen for key, _, _, seen in loaded}[chosen["event_key"]] == chosen["percent_viewed"]
    # nothing has changed since: nothing is added
    assert load(2) == 0


def test_a_row_that_is_gone_and_comes_back_is_there(pipeline: dlt.Pipeline, living: Sandbox) -> None:
    media_id = living.account.at(NOW).medias()[0]["hashed_id"]
    action = {"type": "call_to_action", "action_count": 1, "impression_count": 4, "rate": 0.25}

    def load(day: int, actions: Sequence[Any]) -> list[tuple[Any, ...]]:
        living.faults.clear()
        body = {"load_count": 1, "play_count": 1, "actions": list(actions)}
        living.faults.add(Fault(f"stats/medias/{media_id}.json", status=200, times=None, body=json.dumps(body)))
        given = source_of(living, NOW + day * DAY, start_date=START)
        pipeline.run(given.with_resources("media_stats", "media_stats__actions", "refreshes"))
        rows = newest(
            pipeline, "media_stats__actions", "media_id, position, action_count, _deleted", "media_id, position"
        )
        return sorted((position, taken) for media, position, taken, gone in rows if media == media_id and not gone)

    other = {**action, "action_count": 2}
    assert load(0, [action, other]) == [(0, 1), (1, 2)]
    assert load(2, [action]) == [(0, 1)]
    assert load(4, [action, other]) == [(0, 1), (1, 2)]
    own = "media_stats__actions", f"media_id = '{media_id}'"
    before = count(pipeline, *own)
    assert load(6, [action, other]) == [(0, 1), (1, 2)]
    assert count(pipeline, *own) == before


def test_a_database_of_which_nothing_is_known_is_loaded_by_the_command(tmp_path: Path) -> None:
    with Sandbox(Account(start=NOW, **ACCOUNT), now=lambda: NOW, rate_limit=None, token=TOKEN) as sandbox:  # type: ignore[arg-type]
        folder = empty_folder(tmp_path / "user", sandbox, NOW)
        folder.env["SOURCES__WISTIA__NOW"] = NOW.isoformat()
        folder.env["DESTINATION__SQLALCHEMY__CREDENTIALS"] = f"sqlite:///{folder.work}/any.db"
        view = sandbox.account.at(NOW)
        gone, *_ = (media["hashed_id"] for media in view.medias())

        def sync() -> int:
            done = folder.sync("--destination", "sqlalchemy")
            assert (done["error"], done["status"], done["failures"]) == (None, "ok", [])
            return int(done["requests"])

        def held(query: str) -> list[tuple[Any, ...]]:
            with closing(sqlite3.connect(folder.work / "any__wistia_raw.db")) as connection:
                return connection.execute(query).fetchall()

        first = sync()
        assert held("select count(*) from events") == [(len(view.events()),)]
        assert held("select count(*) from medias where deleted_at is not null") == [(0,)]
        sandbox.account.delete_media(gone)
        assert sync() < first / 3
        assert held("select media_id from medias where deleted_at is not null") == [(gone,)]
        sandbox.account.restore_media(gone)
        sync()
        assert held("select count(*), count(deleted_at) from medias") == [(len(view.medias()), 0)]
        assert held("select count(*), count(distinct event_key || visitor_key) from events") == [
            (len(view.events()),) * 2
        ]
        for command in ("status", "report", "models", "maintain", "forget --email a@example.org"):
            refused = folder.invoke(*command.split(), "--destination", "sqlalchemy")
            assert refused.returncode == 1
            said = refused.stderr.splitlines()[-1]
            assert said.startswith("Error: ")
            assert "sqlalchemy" in said
