"""Killed at any point, one more sync ends with the warehouse of an undisturbed one, and the access token is nowhere.

A sync counts its own steps: changes to files, requests, statements at the warehouse. An undisturbed one is listened to
first; then one is killed at each of the chosen steps, and another run.
"""

from __future__ import annotations

import builtins
import gc
import os
import re
import shutil
import sys
import threading
import time
import traceback
import zlib
from abc import ABC, abstractmethod
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing, contextmanager, suppress
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from functools import wraps
from multiprocessing import get_context
from multiprocessing.connection import Connection
from pathlib import Path
from signal import SIGKILL, alarm
from typing import Any, NamedTuple

import dlt
import duckdb
import psycopg2
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from adbc_driver_manager import dbapi
from dlt.common.versioned_state import decompress_state
from dlt.destinations.impl.duckdb.sql_client import DuckDbSqlClient
from dlt.destinations.impl.postgres.sql_client import Psycopg2SqlClient
from wistia_pipeline.destinations.schemas import DATASET
from wistia_pipeline.progress import Progress
from wistia_pipeline.results import SyncResult
from wistia_pipeline.sandbox import Account, Sandbox
from wistia_pipeline.settings import use_defaults
from wistia_pipeline.sync import make_pipeline, run_sync

NOW = datetime(2026, 6, 15, 12, 30, tzinfo=UTC)
HOUR = timedelta(hours=1)
START = "2026-05-20"
TOKEN = "s3cret-token-of-the-kill-sweep"

POINTS = {"extract": 4, "normalize": 4, "load": 6, "around": 3}
"""Kills in each phase of a sync, from its first step to its last; `around` is what comes before and after."""
MORE_AT_THE_END = 2
"""Kills more just before the last step of the load."""
WITHIN_STATEMENTS = 3
"""Kills more while a statement of the load runs."""
STATEMENT_SECONDS = 0.0005
BETWEEN_MERGES = 6
"""Kills more when some tables are merged and others are not."""
LEAST_KILLS = 20
"""Of each scenario; some of those above may be the same."""
LOSE_MACHINE_EVERY = 5
PARTS = 2
"""Tests that share the kills of one scenario, so that several can run at a time."""

RUN_LOG = {"sync_runs", "sync_failures", "restatements"}
"""Tables that tell of the runs themselves."""
FILE_EVENTS = {"os.mkdir", "os.remove", "os.rename", "os.rmdir", "shutil.move", "shutil.rmtree"}
RANDOM_NAME = re.compile(r"\d{9,}\.\d+|[0-9a-f]{10,}")

Tables = dict[tuple[str, str], list[dict[str, Any]]]
"""Rows by schema and table."""


class Step(NamedTuple):
    """Something that a sync is about to do or has just done, without names that differ from run to run."""

    phase: str
    what: str


END = Step("around", "the end")
"""Where a sync is killed that has not come to the step asked for: the number of some depends on threads."""


@dataclass(frozen=True)
class Kill:
    """The n-th occurrence of a step, or so many seconds after it."""

    step: Step
    occurrence: int
    delay: float = 0.0

    def __str__(self) -> str:
        later = f" and {self.delay} s" if self.delay else ""
        return f"phase {self.step.phase}, {self.step.what} (no. {self.occurrence}){later}"


@dataclass(frozen=True)
class Order:
    """One sync to run."""

    folder: str
    destination: str
    credentials: str
    base_url: str
    now: datetime
    kill: Kill | None = None


class Steps:
    """Counts the steps of this process, and ends it at the one that is asked for."""

    def __init__(self, folder: str, kill: Kill | None, report: Callable[[Step], None]) -> None:
        self.seen: list[Step] = []
        self._folder = folder
        self._kill = kill
        self._report = report
        self._counts: Counter[Step] = Counter()
        self._phase = "around"
        self._lock = threading.Lock()

    def step(self, what: str, spoil: Callable[[], object] | None = None) -> None:
        """One step; `spoil` is done first where it is the last."""
        plain = RANDOM_NAME.sub("*", " ".join(what.replace(self._folder, "").split()))
        with self._lock:
            step = Step(self._phase, plain[:200])
            self.seen.append(step)
            self._counts[step] += 1
            if self._kill is None or (step, self._counts[step]) != (self._kill.step, self._kill.occurrence):
                return
            if self._kill.delay:
                threading.Timer(self._kill.delay, self.die, [step]).start()
                return
            if spoil:
                spoil()
            self.die(step)

    def die(self, step: Step) -> None:
        """Says where, and never returns."""
        self._report(step)
        os.kill(os.getpid(), SIGKILL)

    def listen(self) -> None:
        """From now on."""
        for phase in ("extract", "normalize", "load"):
            self._wrap(dlt.Pipeline, phase, self._in_phase(phase))
        for client in (DuckDbSqlClient, Psycopg2SqlClient):
            self._wrap(client, "execute_query", self._query)
            self._wrap(client, "commit_transaction", self._before_and_after)
            self._wrap(client, "close_connection", self._before_and_after)
        self._wrap(dbapi.Cursor, "adbc_ingest", self._before_and_after)
        self._wrap(dbapi.Connection, "commit", self._before_and_after)
        self._wrap(builtins, "open", self._opening)
        sys.addaudithook(self._audit)

    def _wrap(self, owner: Any, name: str, wrapper: Callable[[Any], Any]) -> None:
        original = getattr(owner, name)
        setattr(owner, name, wraps(original)(wrapper(original)))

    def _in_phase(self, phase: str) -> Callable[[Any], Any]:
        def wrapper(original: Any) -> Any:
            def wrapped(*arguments: Any, **named: Any) -> Any:
                self._phase = phase
                try:
                    return original(*arguments, **named)
                finally:
                    self._phase = "around"

            return wrapped

        return wrapper

    def _before_and_after(self, original: Any) -> Any:
        def wrapped(*arguments: Any, **named: Any) -> Any:
            self.step(f"before {original.__name__}")
            answer = original(*arguments, **named)
            self.step(f"after {original.__name__}")
            return answer

        return wrapped

    def _query(self, original: Any) -> Any:
        @contextmanager
        def wrapped(client: Any, query: Any, *arguments: Any, **named: Any) -> Iterator[Any]:
            self.step(f"before {query}")
            with original(client, query, *arguments, **named) as cursor:
                self.step(f"after {query}")
                yield cursor

        return wrapped

    def _opening(self, original: Any) -> Any:
        def wrapped(file: Any, mode: str = "r", *arguments: Any, **named: Any) -> Any:
            opened = original(file, mode, *arguments, **named)
            if "w" not in mode or self._folder not in str(file):
                return opened
            self.step(f"empty {file}")

            def write_half(data: Any) -> Any:
                del opened.write
                self.step(f"half of {file}", lambda: (opened.write(data[: len(data) // 2]), opened.flush()))
                return opened.write(data)

            opened.write = write_half
            return opened

        return wrapped

    def _audit(self, event: str, arguments: tuple[Any, ...]) -> None:
        if event in FILE_EVENTS:
            self.step(f"{event} {arguments[1] if event in ('os.rename', 'shutil.move') else arguments[0]}")
        elif event == "http.client.send":
            self.step(arguments[1].partition(b" HTTP/")[0].decode())


def serve(orders: Connection) -> None:
    """A process that has all imported, and forks for each sync, which then starts at once."""
    use_defaults()
    gc.freeze()
    while isinstance(order := orders.recv(), Order):
        child = os.fork()
        if not child:
            _sync(order, orders)
        orders.send(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]))


def _sync(order: Order, answers: Connection) -> None:
    """Never returns."""
    code = 1
    try:
        # a sync that hangs
        alarm(60)
        output = os.open(f"{order.folder}/output", os.O_WRONLY | os.O_CREAT | os.O_APPEND)
        os.dup2(output, 1)
        os.dup2(output, 2)
        for name in ("HOME", "TMPDIR"):
            os.environ[name] = order.folder
        os.environ["DLT_DATA_DIR"] = f"{order.folder}/dlt"
        # as the command line gets it: dlt then sees it, and may keep it
        os.environ["SOURCES__WISTIA__ACCESS_TOKEN"] = TOKEN
        # as many load packages as a sync can take, and always the same
        os.environ["WISTIA_PIPELINE__PACKAGE_SECONDS"] = "0" if order.now == NOW else "60"
        os.chdir(order.folder)
        gc.disable()
        steps = Steps(order.folder, order.kill, lambda step: answers.send([step]))
        steps.listen()
        source_args = {
            "base_url": order.base_url,
            "requests_per_minute": 100_000,
            "backoff_seconds": 0.001,
            "start_date": START,
            "now": order.now,
            # a sync after a lost machine reads all days again: so does each, or old days would differ by being newer
            "history_refresh_within_hours": 0.5,
        }
        destination = getattr(dlt.destinations, order.destination)(order.credentials)
        result = SyncResult()
        with Progress() as progress:
            run_sync(make_pipeline(destination, progress), progress, result, source_args=source_args, models=False)
        assert result.status == "ok", result
        if order.kill:
            # its step comes in a thread's own time, or a little later than the end
            threading.Event().wait(10 * order.kill.delay)
            steps.die(END)
        answers.send(steps.seen)
        code = 0
    except BaseException:
        traceback.print_exc()
    finally:
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(code)


Run = Callable[[Order], tuple[list[Step], int]]


@pytest.fixture(scope="module")
def run() -> Iterator[Run]:
    """Runs a sync; the steps it took, or the one it was killed at, and its exit code."""
    context = get_context("spawn")
    ours, theirs = context.Pipe()
    process = context.Process(target=serve, args=(theirs,), daemon=True)
    process.start()
    theirs.close()

    def ask(order: Order) -> tuple[list[Step], int]:
        ours.send(order)
        steps: list[Step] = []
        while not isinstance(answer := ours.recv(), int):
            steps = answer
        return steps, answer

    yield ask
    ours.send(None)
    process.join(10)


class Place(ABC):
    """A warehouse and the folder from which it is loaded: what is there can be saved and put back."""

    destination: str
    credentials: str

    def __init__(self, path: Path) -> None:
        self.folder = path / "folder"
        self.folder.mkdir()
        self._saved = path / "saved"

    @abstractmethod
    def connect(self) -> Any:
        """A connection that leaves the warehouse as it is."""

    @property
    def working_folder(self) -> Path:
        """What is lost with a machine."""
        return self.folder / "dlt"

    def output(self) -> str:
        """All that syncs have printed."""
        return (self.folder / "output").read_text()

    def save(self) -> None:
        """Keeps what is there."""
        shutil.copytree(self.folder, self._saved)

    def reset(self) -> None:
        """Back to what was saved."""
        shutil.rmtree(self.folder)
        shutil.copytree(self._saved, self.folder)

    def tables(self) -> Tables:
        """All that is in the warehouse."""
        with closing(self.connect()) as connection, closing(connection.cursor()) as cursor:

            def rows(query: str) -> list[dict[str, Any]]:
                cursor.execute(query)
                names = [column[0] for column in cursor.description]
                return [dict(zip(names, row, strict=True)) for row in cursor.fetchall()]

            found = rows(
                "select table_schema, table_name from information_schema.tables "
                f"where table_schema like '{DATASET}%' order by 1, 2"
            )
            names = [(table["table_schema"], table["table_name"]) for table in found]
            return {name: rows(f"select * from {'.'.join(name)}") for name in names}

    def mentions_of_token(self, tables: Tables) -> list[str]:
        """Tables and files with the token."""
        found = [".".join(name) for name, rows in tables.items() if TOKEN in repr(rows)]
        states = [row["state"] for row in tables.get((DATASET, "_dlt_pipeline_state"), ())]
        found += ["state" for state in states if TOKEN in repr(decompress_state(state))]
        for path in self.folder.rglob("*"):
            if path.is_file() and any(TOKEN.encode() in content for content in _readings(path)):
                found.append(str(path.relative_to(self.folder)))
        return found


def _readings(path: Path) -> Iterator[bytes]:
    """The bytes of a file, packed and unpacked."""
    yield path.read_bytes()
    if path.suffix == ".gz":
        with suppress(zlib.error):
            yield zlib.decompressobj(wbits=31).decompress(path.read_bytes())
    if path.suffix == ".parquet":
        # a file that was cut off has no footer
        with suppress(pa.ArrowInvalid):
            yield repr(pq.read_table(path).to_pylist()).encode()


class DuckDB(Place):
    """A file in the folder."""

    destination = "duckdb"

    def __init__(self, path: Path) -> None:
        super().__init__(path)
        self.credentials = str(self.folder / "warehouse.duckdb")

    def connect(self) -> Any:
        # to look at the file itself would put its log in order, which is for the next sync to do
        copy = self._saved.with_name("copy")
        shutil.rmtree(copy, ignore_errors=True)
        copy.mkdir()
        for path in self.folder.glob("warehouse.duckdb*"):
            shutil.copy(path, copy)
        connection = duckdb.connect(str(copy / "warehouse.duckdb"))
        connection.execute("set timezone = 'UTC'")
        return connection


class Postgres(Place):
    """A database of its own on the server."""

    destination = "postgres"

    def __init__(self, path: Path, server: str) -> None:
        super().__init__(path)
        self._server = server
        self._name = f"kill_{os.getpid()}_{time.monotonic_ns()}"
        self.credentials = f"{server.rpartition('/')[0]}/{self._name}"
        self._command(f"create database {self._name}")

    def save(self) -> None:
        super().save()
        self._wait_for_last_statement()
        self._command(f"create database {self._name}_saved template {self._name}")

    def reset(self) -> None:
        super().reset()
        self._wait_for_last_statement()
        self._command(f"drop database {self._name}")
        self._command(f"create database {self._name} template {self._name}_saved")

    def drop(self) -> None:
        """Removes what is on the server."""
        for name in (self._name, f"{self._name}_saved"):
            self._command(f"drop database if exists {name} with (force)")

    def connect(self) -> Any:
        self._wait_for_last_statement()
        return psycopg2.connect(self.credentials)

    def _wait_for_last_statement(self) -> None:
        """Until the server has seen that a killed client is gone."""
        deadline = time.monotonic() + 20
        while self._command(f"select 1 from pg_stat_activity where datname = '{self._name}'"):
            assert time.monotonic() < deadline, "Postgres keeps connections of a process that is gone"
            time.sleep(0.01)

    def _command(self, sql: str) -> list[Any]:
        with closing(psycopg2.connect(self._server)) as connection:
            connection.autocommit = True
            with connection.cursor() as cursor:
                cursor.execute(sql)
                return cursor.fetchall() if cursor.description else []


@pytest.fixture
def place(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Place]:
    """An empty warehouse of the wanted kind."""
    if request.param == "duckdb":
        yield DuckDB(tmp_path)
        return
    postgres = Postgres(tmp_path, request.getfixturevalue("postgres_url"))
    yield postgres
    postgres.drop()


def spread(among: Sequence[Kill], count: int) -> list[Kill]:
    """So many of them at even distances, with the first and the last."""
    assert len(among) >= count, among
    return [among[number * (len(among) - 1) // (count - 1)] for number in range(count)]


def chosen(steps: Sequence[Step]) -> list[Kill]:
    """Kills of a sync that takes these steps."""
    counts: Counter[Step] = Counter()
    possible: dict[str, list[Kill]] = {phase: [] for phase in POINTS}
    for step in steps:
        counts[step] += 1
        possible[step.phase].append(Kill(step, counts[step]))
    kills = [kill for phase, count in POINTS.items() for kill in spread(possible[phase], count)]
    kills += possible["load"][-1 - MORE_AT_THE_END : -1]
    merged = [kill for kill in possible["load"] if re.search(r"completed_jobs/.*\.sql$", kill.step.what)]
    kills += spread(merged[:-1], BETWEEN_MERGES)
    statements = [kill for kill in possible["load"] if kill.step.what.startswith("before ")]
    kills = list(dict.fromkeys(kills))
    return kills + [replace(kill, delay=STATEMENT_SECONDS) for kill in spread(statements, WITHIN_STATEMENTS)]


def let_an_hour_pass(account: Account) -> None:
    """What an hourly sync finds beside new sessions and new counts."""
    view = account.at(NOW)
    medias, events = view.medias(), view.events()
    newest = max(events, key=lambda event: str(event["received_at"]))
    account.add_late_event(medias[0]["hashed_id"], NOW - HOUR / 2)
    account.restate_event(newest["event_key"], percent_viewed=0.987)
    account.delete_media(medias[1]["hashed_id"])


def restate(account: Account, loads: int) -> None:
    """Adds to the account's counts of a day and to nothing else: of a media that is in no list."""
    listed = {media["hashed_id"] for media in account.at(NOW).medias()}
    gone = next(media.hashed_id for media in account.medias if media.hashed_id not in listed)
    account.restate_day(gone, NOW.date() - timedelta(days=1), loads=loads)


def contents(tables: Tables) -> dict[str, Counter[str]]:
    """The rows of the resources' tables, without the load that brought them."""
    return {
        table: Counter(repr(sorted(item for item in row.items() if item[0] != "_dlt_load_id")) for row in rows)
        for (schema, table), rows in tables.items()
        if schema == DATASET and not table.startswith("_dlt") and table not in RUN_LOG
    }


def difference(got: dict[str, Counter[str]], wanted: dict[str, Counter[str]]) -> list[str]:
    """What is wrong with each table, with one of the rows."""
    found = [f"{table} is missing" for table in sorted(wanted.keys() - got.keys())]
    for table, rows in sorted(got.items()):
        needed = wanted.get(table, Counter())
        for what, few in (("lacks", needed - rows), ("should not have", rows - needed)):
            if few:
                found.append(f"{table} {what} {few.total()} rows, such as {next(iter(few))[:300]}")
    return found


@pytest.mark.slow
@pytest.mark.timeout(600)
@pytest.mark.parametrize("scenario", ["first", "hourly"])
@pytest.mark.parametrize(
    ("place", "part"),
    # what a kill leaves in the working folder is the same wherever it is loaded: half of them are enough for Postgres
    [*(("duckdb", part) for part in range(PARTS)), ("postgres", 0)],
    indirect=["place"],
)
def test_one_sync_after_a_kill_ends_as_if_nothing_had_happened(
    place: Place, scenario: str, part: int, run: Run
) -> None:
    account = Account(seed=3, start=NOW, medias=4, projects=2, visitors=40, events=200, days=30, hourly_events=6)
    with Sandbox(account, rate_limit=None, token=TOKEN) as sandbox:

        def sync(now: datetime, kill: Kill | None = None) -> tuple[list[Step], int]:
            sandbox.now = lambda: now
            return run(Order(str(place.folder), place.destination, place.credentials, sandbox.url, now, kill))

        now = NOW
        if scenario == "hourly":
            assert sync(now)[1] == 0, place.output()
            let_an_hour_pass(account)
            now += HOUR
        before = contents(place.tables())
        place.save()
        steps, code = sync(now)
        assert code == 0, place.output()
        after_one = contents(place.tables())
        moved = {table for table in after_one if after_one[table] != before.get(table)}
        assert moved >= {"medias", "events", "visitors", "media_stats_by_date", "project_stats", "refreshes"}
        restate(account, 5)
        assert sync(now)[1] == 0, place.output()
        wanted = contents(place.tables())
        moved = {table for table in wanted if wanted[table] != after_one[table]}
        assert moved == {"account_stats", "account_stats_by_date"}

        kills = chosen(steps)
        assert len(set(kills)) == len(kills) >= LEAST_KILLS
        phases: Counter[str] = Counter()
        at_the_end = halfway = 0
        wrong: list[str] = []
        for number, kill in list(enumerate(kills))[part::PARTS]:
            place.reset()
            restate(account, -5)
            last, code = sync(now, kill)
            assert code == -SIGKILL, place.output()
            phases[last[0].phase] += 1
            at_the_end += last[0] == END
            tables = place.tables()
            halfway += contents(tables) not in (before, after_one)
            mentions = place.mentions_of_token(tables)
            is_lost = number % LOSE_MACHINE_EVERY == LOSE_MACHINE_EVERY - 1
            if is_lost:
                shutil.rmtree(place.working_folder, ignore_errors=True)
            # Wistia's data moves meanwhile
            restate(account, 5)
            _, code = sync(now)
            tables = place.tables()
            found = [f"the token is in {name}" for name in mentions + place.mentions_of_token(tables)]
            if code:
                found.append(f"the next sync failed:\n{place.output()[-3_000:]}")
            else:
                found += difference(contents(tables), wanted)
            where = f"{place.destination}, {scenario} sync, kill {number}, {kill}{', machine lost' if is_lost else ''}"
            wrong += [f"{where}: {what}" for what in found]
    assert not wrong, "\n".join(wrong)
    # the kills fell where they were to fall: in each phase, and while only a part was in the warehouse
    assert phases.total() - at_the_end >= 10
    assert phases.keys() >= POINTS.keys()
    assert phases["load"] >= 4
    assert halfway
