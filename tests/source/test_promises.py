"""What users of other connectors complain about: each a promise, held where no other file holds it already."""

from __future__ import annotations

import json
import re
from collections import Counter
from collections.abc import Callable
from contextlib import closing
from datetime import date, datetime, timedelta
from io import StringIO
from itertools import count
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result
from rich.console import Console
from wistia_pipeline.cli import main
from wistia_pipeline.progress import Progress
from wistia_pipeline.results import SyncResult
from wistia_pipeline.sandbox import Account, Fault, Sandbox
from wistia_pipeline.sandbox.view import View
from wistia_pipeline.sync import run_sync

from tests.support.folder import without_models
from tests.support.sandbox import NOW, at, sessions, settings_for, source_of
from tests.support.warehouse import Warehouse
from wistia_source.endpoints import BY_NAME, COMPANIONS, ENDPOINTS
from wistia_source.refusals import Patience
from wistia_source.rows import primary_key
from wistia_source.tuning import Tuning

HOUR, DAY = timedelta(hours=1), timedelta(days=1)
START = "2026-05-28"
ACCOUNT = {"seed": 23, "medias": 40, "projects": 4, "visitors": 120, "events": 700, "days": 60, "hourly_events": 6}
TODAY = NOW.date()
FEEDS = ("events", "visitors")
FIGURES = ("load_count", "play_count", "hours_watched")
SCHEMA = Path(__file__).with_name("schema.txt")
Command = Callable[..., Result]
TYPES = {
    "varchar": "text",
    "character varying": "text",
    "double precision": "double",
    "boolean": "bool",
    "timestamp with time zone": "timestamp",
    "jsonb": "json",
}
"""What the warehouses call the types that `Column` names."""


@pytest.fixture
def command(monkeypatch: pytest.MonkeyPatch) -> Command:
    """`wistia-pipeline` with its arguments, at NOW and without a process of its own."""

    def run(sandbox: Sandbox, *arguments: str) -> Result:
        for name, value in settings_for(sandbox, start_date=START).items():
            monkeypatch.setenv(f"SOURCES__WISTIA__{name.upper()}", str(value))
        return CliRunner().invoke(main, without_models(arguments))

    return run


def load(warehouse: Warehouse, sandbox: Sandbox, now: datetime, *only: str, **settings: Any) -> None:
    """One run, of some resources."""
    warehouse.load(source_of(sandbox, now, **({"start_date": START} | settings)).with_resources(*only, "refreshes"))


def active(rows: list[dict[str, Any]], *names: str) -> Counter[tuple[Any, ...]]:
    """Visitors, and when they were last active."""
    return Counter((row["visitor_key"], at(row, "last_active_at"), *(row[name] for name in names)) for row in rows)


def days_of(rows: list[dict[str, Any]]) -> dict[str, tuple[Any, ...]]:
    """The figures of each day."""
    days = {str(row["date"]): tuple(float(row[name]) for name in FIGURES) for row in rows}
    assert len(days) == len(rows)
    return days


# restated and begun days


def test_a_day_that_was_half_over_or_is_restated_is_right_the_next_day(
    duckdb_warehouse: Warehouse, living: Sandbox
) -> None:
    restated = living.account.at(NOW).medias()[0]["hashed_id"]
    parents: dict[str, tuple[str, Callable[[View], list[str]]]] = {
        "account_stats_by_date": ("account_id", lambda view: [""]),
        "media_stats_by_date": ("media_id", lambda view: [media["hashed_id"] for media in view.medias()]),
        "project_stats_by_date": ("project_id", lambda view: [project["hashedId"] for project in view.projects()]),
    }
    begun: list[tuple[Any, ...]] = []
    for now in (NOW, NOW + DAY):
        load(duckdb_warehouse, living, now, *parents)
        view, since, until = living.account.at(now), now.date() - 13 * DAY, now.date()
        for table, (key, ids) in parents.items():
            recent = [row for row in duckdb_warehouse.rows(table) if row["date"] >= since]
            for id_ in ids(view):
                ask = getattr(view, table)
                wanted = days_of(ask(id_, since, until) if id_ else ask(since, until))
                assert days_of([row for row in recent if row[key] == id_ or not id_]) == wanted, (table, id_)
                if not id_:
                    begun.append(wanted[str(TODAY)])
        living.account.restate_day(restated, TODAY - 9 * DAY, loads=9, plays=7)
    assert begun[0] < begun[1]


def test_the_lookback_of_visitors_is_a_setting(duckdb_warehouse: Warehouse) -> None:
    calm = Account(seed=5, start=NOW, medias=5, projects=1, visitors=40, events=100, days=30, hourly_events=0)
    now, media_id = NOW + 2 * DAY, calm.medias[0].hashed_id
    with Sandbox(calm, rate_limit=None) as server:
        calm.add_late_event(media_id, now - HOUR)
        load(duckdb_warehouse, server, now, "visitors")
        late = calm.at(now).event(calm.add_late_event(media_id, now - 6 * HOUR))["visitor_key"]
        for hours in (4, 6):
            load(duckdb_warehouse, server, now + HOUR, "visitors", visitors_lookback_hours=hours)
            last = {row["visitor_key"]: row["last_active_at"] for row in duckdb_warehouse.rows("visitors")}
            assert (last.get(late) == now - 6 * HOUR) is (hours == 6)


# sizes


def test_150_medias_land_whole_and_the_state_stays_small(warehouse: Warehouse) -> None:
    account = Account(seed=2, start=NOW, medias=150, projects=4, visitors=300, events=1_500, days=30, hourly_events=40)
    only = (*FEEDS, "media_stats_by_date")
    sizes = []
    with Sandbox(account, rate_limit=None) as server:
        for hour in range(3):
            load(warehouse, server, NOW + hour * HOUR, *only)
            states = warehouse.rows("_dlt_pipeline_state", "version, state")
            sizes.append(len(max(states, key=lambda row: int(row["version"]))["state"]))
            if hour == 0:
                days = Counter(row["media_id"] for row in warehouse.rows("media_stats_by_date"))
                assert days == Counter({media["hashed_id"]: 19 for media in account.at(NOW).medias()})
                assert days.total() == 2_850
    # as it is stored, anew with each run: without keys, ids or rows of any kind
    assert max(sizes) < 600
    assert max(sizes) - min(sizes) < 20


@pytest.mark.parametrize(
    ("resource", "rows_a_request", "side_by_side"),
    [("events", 10, Tuning().active_walks), ("visitors", 10, 1), ("media_stats_by_date", 400, Tuning().active_walks)],
)
def test_few_rows_are_held_at_a_time(sandbox: Sandbox, resource: str, rows_a_request: int, side_by_side: int) -> None:
    tuning = Tuning(rows_per_batch=50, plays_per_walk=100) if resource in FEEDS else Tuning()
    sandbox.page_cap = 10
    source = source_of(sandbox, start_date=(TODAY - 399 * DAY).isoformat(), tuning=tuning)
    path = BY_NAME[resource].path.replace("{id}", r"\w+") + r"\.json$"
    handed_on, most = 0, 0
    for table in source.resources[resource]:
        asked = len([call for call in list(sandbox.log) if re.search(path, call.path)])
        most = max(most, asked * rows_a_request - handed_on)
        handed_on += table.num_rows
    # what has arrived and waits for a batch to be full, and what is on its way
    assert most <= tuning.rows_per_batch + 3 * side_by_side * rows_a_request
    assert handed_on > 600
    assert most < handed_on / 2


# requests


def test_all_that_is_read_shares_one_budget(duckdb_warehouse: Warehouse, living: Sandbox) -> None:
    window, limit = 0.5, 60
    tuning = Tuning(quota_window_seconds=window)
    duckdb_warehouse.load(source_of(living, requests_per_minute=limit, start_date=START, tuning=tuning))
    arrived = sorted(call.at for call in living.log)
    assert len(arrived) > 3 * limit
    assert all(later - earlier >= window for earlier, later in zip(arrived, arrived[limit:], strict=False))


@pytest.mark.slow
def test_medias_are_asked_side_by_side(living: Sandbox) -> None:
    living.latency = 1.0
    assert sum(table.num_rows for table in source_of(living).resources["media_engagement"]) == 40
    arrived = sorted(call.at for call in living.log if "/engagement" in call.path)
    # more at a time than have been answered
    assert any(later - earlier < living.latency for earlier, later in zip(arrived, arrived[9:], strict=False))


def test_a_run_asks_nothing_twice(duckdb_warehouse: Warehouse, living: Sandbox) -> None:
    living.page_cap = 20
    for now in (NOW, NOW + DAY):
        before = len(living.log)
        duckdb_warehouse.load(source_of(living, now, start_date=START))
        asked = Counter((call.path, *sorted(call.query.items())) for call in living.log[before:])
        assert [call for call, times in asked.items() if times > 1] == []


def test_retries_do_not_add_up(duckdb_warehouse: Warehouse, living: Sandbox) -> None:
    media_id = living.account.at(NOW).medias()[2]["hashed_id"]
    failing = [f"/v1/stats/medias/{media_id}.json", "/v1/stats/visitors.json"]
    for path in failing:
        living.faults.add(Fault(path, status=500, times=None))
    source = source_of(living, backoff_seconds=0.01).with_resources("media_stats", "visitors", "refreshes")
    duckdb_warehouse.load(source)
    asked = Counter(call.path for call in living.log)
    assert {path: asked[path] for path in failing} == dict.fromkeys(failing, Patience().attempts)
    # 2 + 4 + 8 + 16 + 32 times the setting, and a little for the threads
    assert 0.3 < source.resources["visitors"].custom_metrics["wait_seconds"] < 0.7


def test_a_first_load_says_how_many_requests_it_will_take(living: Sandbox, command: Command) -> None:
    done = command(living, "sync", "--json")
    said = re.search(r"^about ([\d,]+) requests, 0.0 minutes at the quota", done.stderr, re.MULTILINE)
    assert said, done.stderr
    told = {name: figures["requests"] for name, figures in json.loads(done.stdout)["resources"].items()}
    actual = sum(told.values()) - sum(told[name] for name in ("medias", "projects", "visitors"))
    assert actual > 150
    assert abs(int(said[1].replace(",", "")) - actual) <= 1


def test_a_run_that_waits_for_an_answer_shows_that_it_lives(duckdb_warehouse: Warehouse, living: Sandbox) -> None:
    living.latency = 1.0
    shown = StringIO()
    with Progress(Console(file=shown), line_seconds=0.2) as progress:
        run_sync(
            duckdb_warehouse.pipeline(), progress, SyncResult(), ["account_stats"], settings_for(living), models=False
        )
    assert shown.getvalue().count("so far 0 rows, 0 requests\n") >= 2


# rows


def test_rows_in_are_rows_out_and_every_key_is_whole_and_unique(warehouse: Warehouse, living: Sandbox) -> None:
    seen: set[str] = set()
    requests = []
    for now in (NOW, NOW + HOUR):
        before = len(living.log)
        result = warehouse.sync(settings_for(living, now, start_date=START))
        requests.append(len(living.log) - before)
        assert result.status == "ok"
        assert result.requests == requests[-1]
        for endpoint in (*ENDPOINTS, *COMPANIONS):
            rows = warehouse.rows(endpoint.name)
            keys = [tuple(row[name] for name in primary_key(endpoint)) for row in rows]
            assert len(set(keys)) == len(keys), endpoint.name
            assert None not in {part for key in keys for part in key}, endpoint.name
            if endpoint.name in BY_NAME:
                brought = [row for row in rows if row["_dlt_load_id"] not in seen]
                assert len(brought) == result.resources[endpoint.name]["rows"], endpoint.name
                assert brought or seen, endpoint.name
        seen |= {row["_dlt_load_id"] for name in BY_NAME for row in warehouse.rows(name)}
    # what the first run left in the warehouse is known to the second
    assert requests[1] < requests[0] / 2


def test_rows_without_a_key_are_left_out_counted_and_named(
    duckdb_warehouse: Warehouse, living: Sandbox, command: Command
) -> None:
    good = living.account.at(NOW).visitors()[0]
    bodies = {
        "stats/visitors": [{}, good, {**good, "visitor_key": None}],
        r"medias/\w+/captions": [{"id": "c", "language": None}, {"id": "c", "language": "eng"}],
    }
    for path, body in bodies.items():
        living.faults.add(Fault(path, status=200, body=json.dumps(body), times=1))
        living.faults.add(Fault(path, status=200, body="[]", times=None))
    done = command(living, "sync", "--select", "visitors,captions")
    assert done.exit_code == 0, done.output
    said = re.findall(r"^Left out: (\d+) rows? of (\w+) that", done.stderr, re.MULTILINE)
    assert {name: int(number) for number, name in said} == {"visitors": 2, "captions": 1}
    assert [row["visitor_key"] for row in duckdb_warehouse.rows("visitors")] == [good["visitor_key"]]
    assert [row["language"] for row in duckdb_warehouse.rows("captions")] == ["eng"]


def test_rows_that_come_while_pages_are_read_are_neither_missed_nor_doubled(warehouse: Warehouse) -> None:
    account = Account(seed=29, start=NOW, medias=8, projects=1, visitors=200, events=600, days=18, hourly_events=1_800)
    lookbacks = {f"{name}_lookback_hours": 48 for name in FEEDS}
    there = account.at(NOW)
    with Sandbox(account, rate_limit=None, page_cap=10) as server:
        ticks = count()
        source = source_of(server, start_date=START).with_resources(*FEEDS, "refreshes")
        server.now = lambda: NOW + next(ticks) * timedelta(seconds=2)
        warehouse.load(source)
        meanwhile = account.at(server.now())
        assert len(meanwhile.events()) > len(there.events()) + 100
        assert not sessions(there.events()) - sessions(warehouse.rows("events"))
        # whoever was active meanwhile has moved to the top, which the next run reads
        still = active(there.visitors()) & active(meanwhile.visitors())
        assert len(still) > 50
        assert still <= active(warehouse.rows("visitors"))
        server.page_cap = 100
        load(warehouse, server, NOW + HOUR, *FEEDS, **lookbacks)
    view = account.at(NOW + HOUR)
    assert sessions(warehouse.rows("events"), "percent_viewed") == sessions(view.events(), "percent_viewed")
    assert active(warehouse.rows("visitors"), "play_count") == active(view.visitors(), "play_count")


def test_a_media_that_comes_later_gets_its_own_whole_history(warehouse: Warehouse, living: Sandbox) -> None:
    media_id = living.account.at(NOW).medias()[4]["hashed_id"]
    living.account.delete_media(media_id)
    load(warehouse, living, NOW, "media_stats_by_date")
    assert media_id not in {row["media_id"] for row in warehouse.rows("media_stats_by_date")}
    living.account.restore_media(media_id)
    load(warehouse, living, NOW + HOUR, "media_stats_by_date")
    mine = [row for row in warehouse.rows("media_stats_by_date") if row["media_id"] == media_id]
    wanted = days_of(living.account.at(NOW + HOUR).media_stats_by_date(media_id, START, TODAY))
    assert days_of(mine) == wanted
    assert min(wanted) == START
    assert sum(plays for _, plays, _ in wanted.values()) > 0


def test_no_plays_and_never_asked_do_not_look_the_same(duckdb_warehouse: Warehouse, living: Sandbox) -> None:
    unplayed, lost = living.account.medias[11].hashed_id, living.account.medias[0].hashed_id
    for now in (NOW, NOW + HOUR):
        living.faults.clear()
        if now == NOW:
            living.faults.add(Fault(f"medias/{lost}/by_date", status=500, times=None))
        load(duckdb_warehouse, living, now, "media_stats_by_date")
        days = duckdb_warehouse.rows("media_stats_by_date")
        asked = {
            row["parent_id"]: (row["from_date"], row["through_date"], row["result"])
            for row in duckdb_warehouse.rows("refreshes")
            if row["endpoint"] == "media_stats_by_date"
        }
        assert {row["media_id"] for row in days} == asked.keys()
        assert (lost in asked) is (now > NOW)
        assert asked[unplayed] == (date.fromisoformat(START), TODAY, "ok")
        assert [row["play_count"] for row in days if row["media_id"] == unplayed] == [0] * 19


def test_sessions_that_wistia_has_dropped_stay(warehouse: Warehouse) -> None:
    month = 30 * DAY
    account = Account(
        seed=31, start=NOW, medias=5, projects=1, visitors=60, events=400, days=60, hourly_events=1, retention=month
    )
    later = NOW + 20 * DAY
    shown = sessions(account.at(NOW).events()) | sessions(account.at(later).events())
    assert len(shown) > len(account.at(later).events()) + 50
    start = (NOW - month).date().isoformat()
    with Sandbox(account, rate_limit=None) as server:
        load(warehouse, server, NOW, "events", start_date=start)
        load(warehouse, server, later, "events", start_date=start)
        # all that Wistia still has is read again
        load(warehouse, server, later + HOUR, "events", start_date="2026-01-01", events_lookback_hours=2_000)
        shown |= sessions(account.at(later + HOUR).events())
    assert sessions(warehouse.rows("events")) == shown


# the tables


def test_tables_and_columns_are_those_of_the_committed_file(warehouse: Warehouse, tmp_path: Path) -> None:
    """A change of the schema is a change of `schema.txt`: on purpose, and seen by whoever reviews it."""
    account = Account(seed=1, start=NOW, medias=2, projects=1, visitors=5, events=20, days=5)
    with Sandbox(account, rate_limit=None) as server:
        warehouse.sync(settings_for(server, start_date=START))
    lines: list[str] = []
    with closing(warehouse.connect()) as connection, closing(connection.cursor()) as cursor:
        for table in sorted(warehouse.tables()):
            cursor.execute(
                "select column_name, lower(data_type), is_nullable from information_schema.columns "
                f"where table_schema = '{warehouse.dataset}' and table_name = '{table}' order by ordinal_position"
            )
            lines.append(table)
            for column, data_type, nullable in cursor.fetchall():
                lines.append(f"  {column} {TYPES.get(data_type, data_type)}{'' if nullable == 'YES' else ' not null'}")
    found = tmp_path / SCHEMA.name
    found.write_text("\n".join([*lines, ""]), encoding="utf-8")
    assert lines == SCHEMA.read_text(encoding="utf-8").splitlines(), f"what was found is in {found}"


def test_a_quota_used_up_for_ever_is_waited_for_once_and_not_by_each_media(duckdb_warehouse: Warehouse) -> None:
    tuning = Tuning(max_quota_wait_seconds=0.5)
    account = Account(start=NOW, medias=40, projects=1, visitors=5, events=10, days=5)
    with Sandbox(account, rate_limit=None) as server:
        server.faults.add(Fault("/stats/medias", status=429, retry_after="0.1", times=None))
        result = duckdb_warehouse.sync(settings_for(server, tuning=tuning), ["media_stats"])
        assert len(result.failures) == len(account.at(NOW).medias())
        calls = [call for call in server.log if "/stats/medias" in call.path]
        assert len(calls) <= 40 + 6 * tuning.active_walks
