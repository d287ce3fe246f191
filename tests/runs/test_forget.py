"""Whoever asks to be forgotten is gone: from tables, marts, files and whatever waits, and does not come back."""

from __future__ import annotations

import json
import os
import re
import shutil
import signal
import subprocess
import sys
from collections import Counter
from collections.abc import Iterator
from contextlib import closing
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from io import StringIO
from operator import itemgetter
from pathlib import Path
from typing import Any

import dlt
import duckdb
import pytest
from click.testing import CliRunner, Result
from rich.console import Console
from wistia_pipeline.cli import main
from wistia_pipeline.forget import ForgetResult, run_forget
from wistia_pipeline.progress import Progress
from wistia_pipeline.results import SyncResult
from wistia_pipeline.run_log import RunLog
from wistia_pipeline.sandbox import Account, Sandbox
from wistia_pipeline.sweep import KEYS_AT_ONCE

from tests.source.test_privacy import SECRET, digest, load
from tests.source.test_quirks import Row, Served, event, serving, visitor
from tests.support.folder import Folder, empty_folder, rows
from tests.support.mart_rows import skip_if_a_day_has_ended_since
from tests.support.sandbox import NOW, TOKEN, settings_for
from tests.support.warehouse import Warehouse

HOUR, DAY = timedelta(hours=1), timedelta(days=1)

KEY, ADDRESS = "1781423999_ann-and-nobody-else", "Ann.Lee@Example.org"
TRACES: list[str] = [KEY, "ann.lee@", "ann.lee%", "lee-ståhl", "203.0.113.77", "annphone"]
"""What tells of Ann, in lower case."""
IDENTITY = {"name": "Ann Lee-Ståhl", "email": ADDRESS.lower(), "org": None}


def at(hour: int, day: int = 14) -> str:
    """A moment as Wistia says it."""
    return f"2026-06-{day}T{hour:02}:00:00.000Z"


ANN = [
    event("ann-1", visitor_key=KEY, received_at=at(1), email=f" {ADDRESS}", ip="203.0.113.77"),
    event("ann-2", visitor_key=KEY, received_at=at(2), ip="203.0.113.77", phone="annphone"),
    event(
        "ann-3", visitor_key=KEY, received_at=at(2, 13), conversion_data={"email": ADDRESS, "last_name": "Lee-Ståhl"}
    ),
    # Privacy Mode hides the key, but not what a form was told
    event("ann-4", visitor_key=None, received_at=at(3), conversion_data={"email": ADDRESS}),
]
PAGES: dict[str, tuple[str, str]] = {
    "plain": ("https://x.org/?to=ann.lee@example.org&b=1", "https://x.org/?to={forgotten}&b=1"),
    "encoded": ("https://x.org/?u=hi+ANN.LEE%40example.org#a", "https://x.org/?u={forgotten}#a"),
    "twice": ("https://x.org/to/ann.lee%2540Example.org/b", "https://x.org/to/{forgotten}/b"),
    "inside": ("https://x.org/?r=%2Fb%3Fe%3Dann.lee%40example.org%26c", "https://x.org/?r={forgotten}"),
    "other": ("https://x.org/?to=joann.lee@example.org", "https://x.org/?to=joann.lee@example.org"),
    "longer": ("https://x.org/?to=ann.lee@example.org.uk", "https://x.org/?to=ann.lee@example.org.uk"),
}
OTHERS = [
    *(
        event(f"bob-{name}", visitor_key="bob", received_at=at(number), embed_url=before)
        for number, (name, (before, _)) in enumerate(PAGES.items())
    ),
    event("bob", visitor_key="bob", received_at=at(4), email="bob@example.org"),
    event("nobody", visitor_key=None, received_at=at(5)),
]
PEOPLE = [visitor("bob", visitor_identity={"name": "Bob", "email": "bob@example.org"}), visitor("carol")]


@pytest.fixture
def served() -> Iterator[Served]:
    """An account in which Ann, Bob and others have watched."""
    newest_first = sorted([*ANN, *OTHERS], key=itemgetter("received_at"), reverse=True)
    with serving() as server:
        server.answers |= {
            "stats/events": newest_first,
            "stats/visitors": [visitor(KEY, visitor_identity=IDENTITY), *PEOPLE],
            **{f"stats/events/{row['event_key']}": dict(row) for row in ANN},
            f"stats/visitors/{KEY}": visitor(KEY, visitor_identity=IDENTITY),
        }
        yield server


def forget(warehouse: Warehouse, mode: Any = "remove", *, email: str = "", visitor_key: str = "") -> ForgetResult:
    """What `wistia-pipeline forget` does."""
    result = ForgetResult(mode=mode)
    with Progress(Console(file=StringIO())) as progress:
        kind: Any = "email" if email else "visitor_key"
        run_forget(warehouse.pipeline(), progress, result, kind, email or visitor_key)
    assert result.status == "ok"
    assert result.remembered
    return result


def where_found(warehouse: Warehouse, folder: Path, texts: list[str] = TRACES) -> list[str]:
    """Tables and files that hold any of the texts, in any case; the addresses of others are none of them."""

    def tells(content: bytes) -> bool:
        plain = content.lower().replace(b"joann.lee@", b"").replace(b"ann.lee@example.org.uk", b"")
        return any(text.lower().encode() in plain for text in texts)

    files = [path for path in folder.rglob("*") if path.is_file()]
    statistics = []
    if warehouse.name == "postgres":
        with warehouse.cursor() as cursor:
            cursor.execute(f"select * from pg_stats where schemaname like '{warehouse.dataset}%'")
            statistics = [f"statistics of {row[1]}" for row in cursor.fetchall() if tells(repr(row).encode())]
    return [
        *statistics,
        *(table for table in warehouse.tables() if tells(repr(warehouse.rows(table)).encode())),
        *(str(path.relative_to(folder)) for path in files if tells(path.read_bytes())),
    ]


def events(warehouse: Warehouse, *names: str) -> dict[str, Any]:
    """Sessions by their key: one value, or several."""
    return {
        row["event_key"]: row[names[0]] if len(names) == 1 else tuple(row[name] for name in names)
        for row in warehouse.rows("events")
    }


def assert_gone(warehouse: Warehouse, tmp_path: Path) -> None:
    """Ann is nowhere, and all others are as they were, but for her address in their pages."""
    assert where_found(warehouse, tmp_path) == []
    assert events(warehouse, "embed_url") == {
        **{f"bob-{name}": after for name, (_, after) in PAGES.items()},
        "bob": "",
        "nobody": "",
    }
    assert {row["visitor_key"] for row in warehouse.rows("visitors")} == {"bob", "carol"}


def test_an_address_is_gone_with_all_that_was_known_under_it_and_stays_away(
    warehouse: Warehouse, served: Served, tmp_path: Path
) -> None:
    load(warehouse, served)
    if warehouse.name == "postgres":
        # as it does by itself, now and then
        with warehouse.pipeline().sql_client() as client:
            client.execute_sql("analyze")
        assert "statistics of events" in where_found(warehouse, tmp_path)
    assert len(where_found(warehouse, tmp_path)) >= 2
    result = forget(warehouse, email=f" {ADDRESS.upper()} ")
    assert (result.rows, result.visitors, result.pages) == ({"visitors": 1, "events": 4}, 1, 4)
    assert_gone(warehouse, tmp_path)
    # hour after hour, and whatever else may bring them back
    load(warehouse, served, now=NOW + HOUR)
    assert_gone(warehouse, tmp_path)
    before = warehouse.contents(("sync_runs", "refreshes", "restatements"))
    load(
        warehouse,
        served,
        now=NOW + 2 * HOUR,
        backfill_start="2026-06-01",
        backfill_end="2026-06-15",
        select=("events",),
    )
    load(warehouse, served, now=NOW + 2 * HOUR, event_key="ann-2", select=("events",))
    load(warehouse, served, now=NOW + 2 * HOUR, visitor_key=KEY, select=("visitors",))
    assert warehouse.contents(("sync_runs", "refreshes", "restatements")) == before
    assert_gone(warehouse, tmp_path)
    again = forget(warehouse, email=ADDRESS)
    assert (again.rows.get("events", 0), again.visitors, again.pages) == (0, 0, 0)


@pytest.mark.slow
def test_a_key_is_gone_and_who_shares_its_address_stays(warehouse: Warehouse, served: Served, tmp_path: Path) -> None:
    load(warehouse, served)
    result = forget(warehouse, visitor_key=KEY)
    assert (result.rows, result.visitors, result.pages) == ({"visitors": 1, "events": 3}, 1, 0)
    load(warehouse, served, now=NOW + HOUR)
    assert events(warehouse, "visitor_key") == {
        **dict.fromkeys((f"bob-{name}" for name in PAGES), "bob"),
        "bob": "bob",
        "nobody": "",
        "ann-4": "",
    }
    assert where_found(warehouse, tmp_path, [KEY]) == []


@pytest.mark.slow
def test_a_new_key_of_a_forgotten_address_is_forgotten_with_what_it_had_watched(
    warehouse: Warehouse, served: Served, tmp_path: Path
) -> None:
    nobody = forget_first(warehouse, served)
    assert nobody.rows.get("events", 0) == 0
    later = "1781424000_a-new-key"
    early = event("new-1", visitor_key=later, received_at=at(8, 15))
    served.answers["stats/events"].insert(0, early)
    load(warehouse, served, now=NOW + HOUR)
    assert "new-1" in events(warehouse, "visitor_key")
    # the visitor tells the address now; the session above is known already, the next one has no address either
    served.answers["stats/visitors"].insert(0, visitor(later, visitor_identity=IDENTITY, last_active_at=at(9, 15)))
    served.answers["stats/events"].insert(0, event("new-2", visitor_key=later, received_at=at(9, 15)))
    load(warehouse, served, now=NOW + 2 * HOUR, events_lookback_hours=0.1)
    assert where_found(warehouse, tmp_path, [later]) == []
    served.answers["stats/events"].insert(0, event("new-3", visitor_key=later, received_at=at(13, 15)))
    load(warehouse, served, now=NOW + 3 * HOUR)
    assert where_found(warehouse, tmp_path, [later]) == []
    assert [row["settled_at"] for row in warehouse.rows("forgotten") if row["settled_at"] is None] == []


def forget_first(warehouse: Warehouse, served: Served) -> ForgetResult:
    """Ann is forgotten before she has watched anything."""
    ann, served.answers["stats/events"] = served.answers["stats/events"], list(OTHERS)
    people, served.answers["stats/visitors"] = served.answers["stats/visitors"], list(PEOPLE)
    load(warehouse, served)
    assert ann
    assert people
    return forget(warehouse, email=ADDRESS)


@pytest.mark.slow
def test_by_hash_the_rows_are_nobodys_and_removal_wins(
    warehouse: Warehouse, served: Served, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SOURCES__WISTIA__PII_SECRET", SECRET)
    load(warehouse, served)
    result = forget(warehouse, "hash", email=ADDRESS)
    assert (result.rows, result.visitors, result.pages) == ({"visitors": 1, "events": 4}, 1, 4)
    assert where_found(warehouse, tmp_path) == []
    hashed = events(warehouse, "visitor_key", "email", "lat")
    assert len(hashed) == len(OTHERS) + len(ANN)
    assert hashed["ann-1"] == (digest(KEY), digest(ADDRESS.lower()), None)
    assert hashed["ann-4"] == ("", None, None)
    assert hashed["bob"] == ("bob", "bob@example.org", 32.1)
    # what is read again is the same row, written once more for its hash
    load(warehouse, served, now=NOW + HOUR)
    assert events(warehouse, "visitor_key", "email", "lat") == hashed
    assert where_found(warehouse, tmp_path) == []
    removed = forget(warehouse, email=ADDRESS)
    assert removed.rows == {"visitors": 1, "events": 4}
    # a session alone tells no address
    shown, served.answers["stats/events"] = served.answers["stats/events"], [*ANN[1:2], *OTHERS]
    load(warehouse, served, now=NOW + HOUR, select=("events",))
    assert "ann-2" not in events(warehouse, "visitor_key")
    served.answers["stats/events"] = shown
    load(warehouse, served, now=NOW + 2 * HOUR)
    assert_gone(warehouse, tmp_path)
    assert where_found(warehouse, tmp_path, [digest(KEY), digest(ADDRESS.lower())]) == []
    # in whatever order
    for mode in ("remove", "hash"):
        forget(warehouse, mode, visitor_key="bob")
    load(warehouse, served, now=NOW + 3 * HOUR)
    assert set(events(warehouse, "visitor_key").values()) == {""}


@pytest.mark.slow
def test_where_all_is_hashed_an_address_is_found_by_its_hash(
    warehouse: Warehouse, served: Served, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SOURCES__WISTIA__PII_SECRET", SECRET)
    load(warehouse, served, pii="hash")
    assert forget(warehouse, email=ADDRESS).rows == {"visitors": 1, "events": 4}
    load(warehouse, served, pii="hash", now=NOW + HOUR)
    assert where_found(warehouse, tmp_path, [KEY, digest(KEY)]) == []
    assert {row["email"] for row in warehouse.rows("events")} == {None, digest("bob@example.org")}


@pytest.mark.slow
def test_an_address_may_have_any_number_of_keys(warehouse: Warehouse, served: Served, tmp_path: Path) -> None:
    keys = [f"178142500{number}_one-more-key" for number in range(KEYS_AT_ONCE + 1)]
    served.answers["stats/visitors"][:0] = [visitor(key, visitor_identity=IDENTITY) for key in keys]
    served.answers["stats/events"][:0] = [event(key, visitor_key=key, received_at=at(9, 15)) for key in keys]
    load(warehouse, served)
    assert forget(warehouse, email=ADDRESS).visitors == len(keys) + 1
    assert where_found(warehouse, tmp_path, [*TRACES, *keys]) == []


@pytest.mark.slow
def test_all_accounts_of_a_warehouse_forget_also_who_is_named_in_an_error(
    warehouse: Warehouse, served: Served, tmp_path: Path
) -> None:
    load(warehouse, served)
    served.answers["account"] = {"id": 8}
    load(warehouse, served)
    served.answers["stats/events"].insert(0, event("ann-5", visitor_key=KEY, received_at=at(9, 15), lat="north"))
    result = SyncResult()
    load(warehouse, served, now=NOW + HOUR, result=result)
    assert KEY in str(result.failures)
    assert forget(warehouse, visitor_key=KEY).rows == {"visitors": 2, "events": 6}
    assert where_found(warehouse, tmp_path, [KEY]) == []
    assert "'{forgotten}'" in repr(warehouse.rows("sync_failures"))


class Killed(BaseException):
    """The process is gone."""


def kill(warehouse: Warehouse, served: Served, phase: str, now: datetime) -> None:
    """One sync that ends just before a phase, and tells nobody."""

    def die(*_: Any, **__: Any) -> None:
        raise Killed

    with pytest.MonkeyPatch.context() as patches:
        patches.setattr(dlt.Pipeline, phase, die)
        patches.setattr(RunLog, "end", lambda *_: None)
        with pytest.raises(Killed):
            load(warehouse, served, now=now)


@pytest.mark.slow
@pytest.mark.parametrize("phase", ["normalize", "load"])
@pytest.mark.parametrize("put_back", [False, True])
def test_what_waits_to_be_loaded_does_not_bring_anybody_back(
    warehouse: Warehouse,
    served: Served,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    phase: str,
    put_back: bool,
) -> None:
    # files that are loaded may be kept, too
    monkeypatch.setenv("LOAD__DELETE_COMPLETED_JOBS", "false")
    load(warehouse, served)
    for hour, person in ((9, KEY), (10, "bob")):
        served.answers["stats/events"].insert(0, event(f"at-{hour}", visitor_key=person, received_at=at(hour, 15)))
    kill(warehouse, served, phase, NOW + HOUR)
    assert warehouse.pipeline().has_pending_data
    local, copy = tmp_path / "dlt", tmp_path / "copy"
    shutil.copytree(local, copy)
    forget(warehouse, email=ADDRESS)
    if put_back:
        shutil.rmtree(local)
        copy.rename(local)
    else:
        shutil.rmtree(copy)
        assert_gone_with(warehouse, tmp_path, "at-10")
    load(warehouse, served, now=NOW + 2 * HOUR)
    assert_gone_with(warehouse, tmp_path, "at-10")


def assert_gone_with(warehouse: Warehouse, tmp_path: Path, event_key: str) -> None:
    """Ann is nowhere, and the session of another is there."""
    assert where_found(warehouse, tmp_path) == []
    assert event_key in events(warehouse, "visitor_key")


@pytest.mark.slow
def test_sessions_left_out_do_not_look_like_sessions_that_are_missing(
    duckdb_warehouse: Warehouse, served: Served
) -> None:
    sessions = [event(f"many-{number}", visitor_key=KEY, received_at=at(12)) for number in range(20)]
    served.answers["stats/events"] = [*sessions, *served.answers["stats/events"]]
    # in days of UTC-5
    days = {"2026-06-12": 1, "2026-06-13": 9, "2026-06-14": 22}
    served.answers["stats/account/by_date"] = [
        {"date": day, "load_count": 99, "play_count": plays, "hours_watched": 1} for day, plays in days.items()
    ]
    found = {}
    for hours, what in enumerate(("before", "after")):
        result = SyncResult()
        more = {"select": ("events", "account_stats_by_date"), "result": result}
        load(duckdb_warehouse, served, now=NOW + hours * HOUR, **more)
        found[what] = result.days_outside_band
        forget(duckdb_warehouse, visitor_key=KEY)
    assert found == {"before": [], "after": []}
    # and those that are missing still do
    served.answers["stats/account/by_date"][-1]["play_count"] = 60
    result = SyncResult()
    more = {"select": ("events", "account_stats_by_date"), "result": result}
    load(duckdb_warehouse, served, now=NOW + 3 * HOUR, **more)
    assert [(found.sessions, found.plays) for found in result.days_outside_band] == [(22, 60)]


@pytest.mark.slow
def test_a_pipeline_of_ones_own_leaves_them_out_too(
    duckdb_warehouse: Warehouse, served: Served, tmp_path: Path
) -> None:
    forget_first(duckdb_warehouse, served)
    served.answers["stats/events"] = [*ANN[1:2], *OTHERS]
    served.load(duckdb_warehouse, "events", "refreshes", "forgotten")
    assert "ann-2" in events(duckdb_warehouse, "visitor_key")
    served.answers["stats/events"] = [*ANN, *OTHERS]
    served.answers["stats/visitors"] = [visitor(KEY, visitor_identity=IDENTITY), *PEOPLE]
    served.load(duckdb_warehouse, "events", "visitors", "refreshes", "forgotten")
    assert {"ann-1", "ann-3", "ann-4"}.isdisjoint(events(duckdb_warehouse, "visitor_key"))
    # what had come before the address was known goes with the next command
    load(duckdb_warehouse, served, now=NOW + HOUR)
    assert where_found(duckdb_warehouse, tmp_path) == []


# as a user runs it

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
FORGET = "wistia_pipeline.forget"
POINTS = [
    (FORGET, "_remember", "after"),
    (FORGET, "settle", "after"),
    ("wistia_pipeline.sweep", "_clear_logs", "before"),
    (FORGET, "sweep", "after"),
    (FORGET, "drop_local_state", "after"),
    ("wistia_pipeline.destinations.duckdb_rewrite", "_contents", "before"),
    ("wistia_pipeline.destinations.duckdb_rewrite", "_contents", "after"),
    ("wistia_pipeline.destinations.duckdb_file", "rewrite", "after"),
    (FORGET, "end_sweep", "after"),
]


@pytest.fixture
def user(tmp_path: Path, served: Served) -> Folder:
    """A folder from which the account is reached."""
    folder = Folder(
        tmp_path,
        {
            "PATH": os.environ["PATH"],
            "HOME": str(tmp_path / "home"),
            "DLT_DATA_DIR": str(tmp_path / "dlt"),
            "SOURCES__WISTIA__BASE_URL": served.url,
            "SOURCES__WISTIA__ACCESS_TOKEN": "token",
            "SOURCES__WISTIA__START_DATE": (datetime.now(UTC) - 700 * DAY).date().isoformat(),
            "SOURCES__WISTIA__EVENTS_LOOKBACK_HOURS": "20000",
            "SOURCES__WISTIA__VISITORS_LOOKBACK_HOURS": "20000",
        },
    )
    for name in ("work", "home"):
        (tmp_path / name).mkdir()
    return folder


@pytest.mark.slow
@pytest.mark.parametrize(
    ("module", "name", "when", "finisher"), [*((*point, "sync") for point in POINTS), (*POINTS[5], "forget")]
)
def test_killed_anywhere_the_next_run_ends_it(
    user: Folder, tmp_path: Path, module: str, name: str, when: str, finisher: str
) -> None:
    user.sync("--select", "events,visitors")
    command = [sys.executable, "-c", KILLER, module, name, when, "forget", "--email", ADDRESS]
    killed = subprocess.run(command, cwd=user.work, env=user.environment(), capture_output=True, text=True, timeout=60)
    assert killed.returncode == -signal.SIGKILL, killed.stderr
    if finisher == "sync":
        user.sync("--select", "events,visitors")
    else:
        assert user.run("forget", "--email", "somebody@example.org").returncode == 0
    assert [path.name for path in user.work.iterdir()] == ["warehouse.duckdb"]
    told = repr([rows(user.warehouse, f"from wistia_raw.{table}") for table in ("events", "visitors", "sync_runs")])
    kept = [path for path in tmp_path.rglob("*") if path.is_file() and KEY.encode() in path.read_bytes()]
    assert (KEY in told, kept) == (False, [])
    assert {key for (key,) in rows(user.warehouse, "select distinct visitor_key from wistia_raw.events")} == {"", "bob"}
    assert rows(user.warehouse, "from wistia_raw.forgotten where settled_at is null") == []


def everything(folder: Folder) -> dict[str, Any]:
    """Every row of every mart, without what says which build made it; comments and definitions of all of them."""
    listed = "select table_name from information_schema.tables where table_schema = 'wistia' order by 1"
    found: dict[str, Any] = {}
    for (name,) in rows(folder.warehouse, listed):
        columns = "columns(c -> c not like '%batch' and c not like '%load_id' and c not like '%captured_at')"
        answer = rows(folder.warehouse, f"select {columns} from wistia.{name}")
        found[name] = sorted(repr([rounded(value) for value in row]) for row in answer)
    return found


def rounded(value: Any) -> Any:
    """Sums depend on the order in which they are made, in the last digits."""
    if isinstance(value, str):
        return re.sub(r"\d+\.\d{9,}", lambda found: f"{float(found.group()):.9g}", value)
    return f"{value:.9g}" if isinstance(value, float) else value


def described(folder: Folder) -> list[Any]:
    """Comments and columns of all tables and views, but for those that dlt merges from."""
    found = [
        *rows(
            folder.warehouse,
            "select schema_name, view_name, comment from duckdb_views() where not internal order by all",
        ),
        *rows(folder.warehouse, "select schema_name, table_name, comment from duckdb_tables() order by all"),
        *rows(
            folder.warehouse,
            "select schema_name, table_name, column_name, data_type, comment from duckdb_columns() where not internal "
            "order by all",
        ),
    ]
    return [row for row in found if row[0] != "wistia_raw_staging"]


@pytest.mark.slow
@pytest.mark.timeout(400)
def test_marts_are_those_of_a_warehouse_that_never_knew_the_person(tmp_path: Path) -> None:
    now = datetime.now(UTC).replace(microsecond=0)
    account = Account(seed=4, start=now, medias=5, projects=2, visitors=60, events=900, days=30)
    view = account.at(now)
    watched = Counter(row["visitor_key"] for row in view.events() if row["email"])
    (key, count), *_ = watched.most_common()
    assert count > 5
    (address,) = {row["email"] for row in view.events() if row["visitor_key"] == key}
    with Sandbox(account, now=lambda: now, rate_limit=None, token=TOKEN) as sandbox:
        user = replace(empty_folder(tmp_path / "user", sandbox, now), models=True)
        other = replace(empty_folder(tmp_path / "other", sandbox, now), models=True)
        assert user.sync()["models"]["failures"] == []
        before = described(user)
        done = user.run("forget", "--email", address, "--json")
        assert done.returncode == 0, done.stderr
        told = json.loads(done.stdout)
        assert told["models"]["failures"] == []
        assert told["models"]["built"] > 10
        forgotten = everything(user)
        assert other.run("sync", "--no-models", "--select", "medias").returncode == 0
        assert other.run("forget", "--email", address).returncode == 0
        assert other.sync()["models"]["failures"] == []
        # the files that dbt keeps, too
        texts = [text.encode() for text in (key, address)]
        kept = [path for path in user.path.rglob("*") if path.is_file() and any(t in path.read_bytes() for t in texts)]
        assert kept == []
        never = everything(other)
        assert forgotten.keys() == never.keys()
        skip_if_a_day_has_ended_since(now)
        assert [name for name in never if never[name] != forgotten[name]] == []
        assert described(user) == before
        again = user.sync()
        assert (again["models"]["failures"], again["days_outside_band"]) == ([], [])
        assert everything(user) == forgotten


@pytest.mark.slow
@pytest.mark.timeout(400)
def test_marts_of_postgres_forget_too_and_where_they_cannot_be_built(
    postgres_warehouse: Warehouse, monkeypatch: pytest.MonkeyPatch
) -> None:
    account = Account(seed=4, start=NOW, medias=5, projects=2, visitors=60, events=900, days=30)
    key = Counter(row["visitor_key"] for row in account.at(NOW).events() if row["email"]).most_common()[0][0]
    with Sandbox(account, now=lambda: NOW, rate_limit=None, token=TOKEN) as sandbox:
        made = postgres_warehouse.sync(settings_for(sandbox), models=True)
    assert made.models
    assert made.models.failures == []

    def counts() -> dict[str, int]:
        marts = replace(postgres_warehouse, dataset=postgres_warehouse.marts)
        return {
            table: sum(key in repr(row) for row in marts.rows(table))
            for table in ("wistia__sessions", "wistia__viewers", "wistia__leads", "wistia__activity")
        }

    def known() -> int:
        with postgres_warehouse.cursor() as cursor:
            # of a table that is empty now it keeps what it knew
            cursor.execute(
                "select count(*) from pg_stats where strpos(pg_stats::text, %s) > 0 and schemaname <> %s",
                [key, f"{postgres_warehouse.dataset}_staging"],
            )
            (count,) = cursor.fetchone()
            return int(count)

    assert min(counts().values()) >= 1
    with closing(postgres_warehouse.connect()) as connection, connection, connection.cursor() as cursor:
        cursor.execute("analyze")
    assert known() > 1
    # a build that fails leaves the person no less gone
    monkeypatch.setenv("WISTIA_PIPELINE__MODELS__TIMEZONE", "nowhere")
    result = ForgetResult()
    with Progress(Console(file=StringIO())) as progress:
        run_forget(postgres_warehouse.pipeline(), progress, result, "visitor_key", key)
    assert result.status == "partial"
    assert set(counts().values()) == {0}
    # nor in what Postgres knows of the values in a column
    assert known() == 0
    monkeypatch.delenv("WISTIA_PIPELINE__MODELS__TIMEZONE")
    # the next build is one of everything
    with Sandbox(account, now=lambda: NOW, rate_limit=None, token=TOKEN) as sandbox:
        again = postgres_warehouse.sync(settings_for(sandbox, NOW + HOUR), models=True)
    assert again.models
    assert again.models.failures == []
    assert set(counts().values()) == {0}
    marts = replace(postgres_warehouse, dataset=postgres_warehouse.marts)
    assert sum(row["session_count"] for row in marts.rows("wistia__account_daily")) == len(
        postgres_warehouse.rows("events")
    )


@pytest.fixture
def command(monkeypatch: pytest.MonkeyPatch) -> Any:
    """`wistia-pipeline` in this process."""

    def run(*arguments: str) -> Result:
        return CliRunner().invoke(main, arguments)

    return run


@pytest.mark.parametrize(
    ("arguments", "code", "says"),
    [
        ((), 2, "either --visitor KEY or --email ADDRESS"),
        (("--visitor", "a", "--email", "b@c"), 2, "either --visitor KEY or --email ADDRESS"),
        (("--visitor", ""), 2, "it is empty"),
        (("--visitor", " "), 2, "it is empty"),
        (("--email", "ann"), 1, "not an email address"),
        (("--email", "ann @b.org"), 1, "not an email address"),
        (("--email", "a@b.org", "--mode", "hash"), 1, "SOURCES__WISTIA__PII_SECRET"),
        (("--email", "a@b.org", "--mode", "mask"), 2, "'mask' is not one of"),
        (("--email", "a@b.org"), 1, "run wistia-pipeline sync first, or correct the destination"),
        (("--email", "a@b.org", "--destination", "filesystem"), 1, ""),
    ],
)
def test_wrong_uses_get_a_sentence(command: Any, tmp_path: Path, arguments: Any, code: int, says: str) -> None:
    done = command("forget", *arguments)
    assert done.exit_code == code, done.output
    assert says in done.output
    assert done.output.strip().count("Error: ") == 1
    assert "Traceback" not in done.output
    assert not (tmp_path / "warehouse.duckdb").exists()


def test_a_file_of_something_else_stays_as_it_is(command: Any, tmp_path: Path) -> None:
    with closing(duckdb.connect(str(tmp_path / "warehouse.duckdb"))) as connection:
        connection.execute("create table mine as select 1 as a")
    done = command("forget", "--visitor", "somebody")
    assert (done.exit_code, "run wistia-pipeline sync first" in done.output) == (1, True), done.output
    with closing(duckdb.connect(str(tmp_path / "warehouse.duckdb"), read_only=True)) as connection:
        assert connection.execute("select schema_name, table_name from duckdb_tables()").fetchall() == [
            ("main", "mine")
        ]


def test_it_never_says_who_it_was(command: Any, served: Served, duckdb_warehouse: Warehouse) -> None:
    load(duckdb_warehouse, served)
    done = command("forget", "--email", ADDRESS)
    assert done.exit_code == 0, done.output
    assert "Removed: 1 row of visitors, 4 rows of events." in done.output
    assert "Taken out of the page of 4 sessions of others." in done.output
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
