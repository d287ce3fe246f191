"""What the benchmarks share: a Wistia API in a process of its own, syncs, and what a process costs."""

from __future__ import annotations

import os
import resource
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from io import StringIO
from multiprocessing import get_context
from multiprocessing.connection import Connection
from pathlib import Path
from time import perf_counter
from typing import Any

from rich.console import Console
from wistia_pipeline.runs.progress import Progress
from wistia_pipeline.runs.results import SyncResult
from wistia_pipeline.runs.sync import make_pipeline, run_sync
from wistia_pipeline.runtime.settings import use_defaults
from wistia_pipeline.sandbox import Account, Sandbox
from wistia_pipeline.warehouses.duckdb.loads import duckdb as duckdb_file

from tests.support.sandbox import asked

START = datetime(2026, 6, 15, 12, 30, tzinfo=UTC)
"""When the account is looked at; its first day is `days` before."""
UNLIMITED = 1_000_000_000
"""Requests a minute."""
SPAWN = get_context("spawn")


@dataclass(frozen=True)
class Served:
    """Where the API is."""

    url: str
    token: str
    _channel: Connection

    def arrivals(self) -> list[float]:
        """When the requests so far arrived, in seconds of a clock of the server's."""
        self._channel.send(None)
        times: list[float] = self._channel.recv()
        return sorted(times)


@dataclass(frozen=True)
class Cost:
    """What a process took."""

    seconds: float
    cpu_seconds: float
    peak_megabytes: float


@contextmanager
def served(latency: float = 0.0, **account: Any) -> Iterator[Served]:
    """The API over an account with these arguments; each answer takes `latency` seconds."""
    ours, theirs = SPAWN.Pipe()
    server = SPAWN.Process(target=_serve, args=(theirs, latency, account))
    server.start()
    try:
        url, token = ours.recv()
        yield Served(url, token, ours)
    finally:
        server.kill()
        server.join()


def _serve(channel: Connection, latency: float, account: dict[str, Any]) -> None:
    made = Account(**{"start": START, **account})
    with Sandbox(made, now=lambda: made.start, rate_limit=None, latency=latency) as sandbox:
        channel.send((sandbox.url, sandbox.token))
        while True:
            channel.recv()
            channel.send([call.at for call in sandbox.log])


def sync(
    url: str, token: str, file: str, select: Sequence[str] = (), *, models: bool = False, **arguments: Any
) -> None:
    """One run of `sync` into a DuckDB file; the state is in the file's folder."""
    os.environ["DLT_DATA_DIR"] = str(Path(file).parent)
    use_defaults()
    settings = {"access_token": token, "base_url": url, "requests_per_minute": UNLIMITED, "now": START}
    with Progress(Console(file=StringIO())) as progress:
        pipeline = make_pipeline(duckdb_file(file), progress)
        run_sync(pipeline, progress, SyncResult(), *asked(settings | arguments, select), models=models)


def cost_of(function: Callable[..., None], *arguments: Any, **named: Any) -> Cost:
    """What calling the function costs in a process of its own, imports included."""
    ours, theirs = SPAWN.Pipe()
    began = perf_counter()
    process = SPAWN.Process(target=_call, args=(theirs, function, arguments, named))
    process.start()
    theirs.close()
    used = ours.recv()
    process.join()
    return Cost(perf_counter() - began, *used)


def _call(
    channel: Connection, function: Callable[..., None], arguments: tuple[Any, ...], named: dict[str, Any]
) -> None:
    function(*arguments, **named)
    used = resource.getrusage(resource.RUSAGE_SELF)
    channel.send((used.ru_utime + used.ru_stime, _peak_megabytes(used)))


def _peak_megabytes(used: resource.struct_rusage) -> float:
    if sys.platform != "linux":
        return used.ru_maxrss / 1024**2
    # on Linux ru_maxrss begins with the size of the process that this one was made from
    status = Path("/proc/self/status").read_text("utf-8")
    return int(status.partition("VmHWM:")[2].split()[0]) / 1024
