"""Syncs in processes of their own that count their steps and end at one of them.

A step is a change of a file, a request, or a statement at the warehouse.
"""

from __future__ import annotations

import builtins
import gc
import os
import re
import sys
import threading
import traceback
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import wraps
from multiprocessing import get_context
from multiprocessing.connection import Connection
from signal import SIGKILL, alarm
from typing import Any, NamedTuple

import dlt
from adbc_driver_manager import dbapi
from dlt.destinations.impl.duckdb.sql_client import DuckDbSqlClient
from dlt.destinations.impl.postgres.sql_client import Psycopg2SqlClient
from wistia_pipeline.runs.accounts import WistiaAccount
from wistia_pipeline.runs.progress import Progress
from wistia_pipeline.runs.results import SyncResult
from wistia_pipeline.runs.sync import make_pipeline, run_sync
from wistia_pipeline.runtime.settings import use_defaults

NOW = datetime(2026, 6, 15, 12, 30, tzinfo=UTC)
START = "2026-05-20"
TOKEN = "s3cret-token-of-the-kill-sweep"
FILE_EVENTS = {"os.mkdir", "os.remove", "os.rename", "os.rmdir", "shutil.move", "shutil.rmtree"}
RANDOM_NAME = re.compile(r"\d{9,}\.\d{2,}|[0-9a-f]{10,}|(?<=os.remove /)\w{8}$")
"""Of a load, of a file, and of one by which Python finds out where temporary ones may be."""


class Step(NamedTuple):
    """Something that a sync is about to do or has just done, without names that differ from run to run."""

    phase: str
    what: str


MERGED = Step("load", "a table is merged")
"""Which one depends on threads."""
MERGE = re.compile(r'INSERT INTO "wistia_raw"\..+ FROM "wistia_raw_staging"', re.DOTALL)
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
        self._lock, self._merging = threading.Lock(), threading.Lock()

    def step(self, what: str, spoil: Callable[[], object] | None = None) -> None:
        """One step; `spoil` is done first where it is the last."""
        words = what.replace(self._folder, "").split()
        # which tables come first where statements are sent together depends on threads
        plain = RANDOM_NAME.sub("*", " ".join(words[:2] if ";" in what.rstrip("; \n") else words))
        with self._lock:
            step = Step(self._phase, plain[:200])
            self.seen.append(step)
            self._counts[step] += 1
            if self._kill is None or (step, self._counts[step]) != (self._kill.step, self._kill.occurrence):
                return
            if self._kill.delay:
                threading.Timer(self._kill.delay, lambda: self.die(Step(self._phase, step.what))).start()
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
            is_merge = MERGE.search(str(query)) is not None
            self.step(f"before {query}")
            # one at a time: after so many merges so many tables have changed
            with (
                self._merging if is_merge else nullcontext(),
                original(client, query, *arguments, **named) as cursor,
            ):
                self.step(f"after {query}")
                if is_merge:
                    self.step(MERGED.what)
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
        alarm(300)
        output = os.open(f"{order.folder}/output", os.O_WRONLY | os.O_CREAT | os.O_APPEND)
        os.dup2(output, 1)
        os.dup2(output, 2)
        for name in ("HOME", "TMPDIR"):
            os.environ[name] = order.folder
        os.environ["DLT_DATA_DIR"] = f"{order.folder}/dlt"
        # as the command line gets it: dlt then sees it, and may keep it
        os.environ["SOURCES__WISTIA__ACCESS_TOKEN"] = TOKEN
        os.environ[f"DESTINATION__{order.destination.upper()}__CREDENTIALS"] = order.credentials
        # as many load packages as a sync can take, and always the same
        os.environ["WISTIA_PIPELINE__PACKAGE_SECONDS"] = "0" if order.now == NOW else "60"
        os.chdir(order.folder)
        gc.disable()
        steps = Steps(order.folder, order.kill, lambda step: answers.send([step]))
        steps.listen()
        settings = {
            "base_url": order.base_url,
            "requests_per_minute": 100_000,
            "backoff_seconds": 0.001,
            "start_date": START,
            "now": order.now,
            # a sync after a lost machine reads all days again: so does each, or old days would differ by being newer
            "history_refresh_within_hours": 0.5,
        }
        result = SyncResult()
        with Progress() as progress:
            pipeline = make_pipeline(order.destination, progress)
            run_sync(pipeline, progress, result, account=WistiaAccount(given=settings), models=False)
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


@contextmanager
def runner() -> Iterator[Run]:
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
