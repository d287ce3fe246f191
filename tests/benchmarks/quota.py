"""How much of a quota a first load uses, and that it never uses more.

`uv run python -m tests.benchmarks.quota 540 1.5`: requests a minute, and seconds that each answer takes.
"""

from __future__ import annotations

import os
import sys
from bisect import bisect_left
from datetime import UTC, datetime
from io import StringIO
from multiprocessing import get_context
from multiprocessing.connection import Connection
from pathlib import Path
from tempfile import TemporaryDirectory

import dlt
from rich.console import Console
from wistia_pipeline.progress import Progress
from wistia_pipeline.results import SyncResult
from wistia_pipeline.sandbox import Account, Sandbox
from wistia_pipeline.settings import use_defaults
from wistia_pipeline.sync import make_pipeline, run_sync

START = datetime(2026, 6, 15, 12, 30, tzinfo=UTC)
MINUTES = 3
"""Of work at the quota, about."""
WINDOW = 60.0


def serve(channel: Connection, medias: int, latency: float) -> None:
    """A Wistia API in a process of its own: sends its address, then, when it is told to stop, when requests arrived."""
    account = Account(seed=3, start=START, medias=medias, projects=5, visitors=200, events=1_000, days=20)
    with Sandbox(account, now=lambda: START, rate_limit=None, latency=latency) as sandbox:
        channel.send((sandbox.url, sandbox.token))
        channel.recv()
        channel.send([call.at for call in sandbox.log])


def arrivals(per_minute: int, latency: float) -> list[float]:
    """When the requests of a first load arrived at the server."""
    context = get_context("spawn")
    ours, theirs = context.Pipe()
    server = context.Process(target=serve, args=(theirs, per_minute * MINUTES // 4, latency))
    server.start()
    try:
        url, token = ours.recv()
        with TemporaryDirectory() as folder, Progress(Console(file=StringIO())) as progress:
            os.environ["DLT_DATA_DIR"] = folder
            use_defaults()
            pipeline = make_pipeline(dlt.destinations.duckdb(str(Path(folder) / "w.duckdb")), progress)
            args = {"access_token": token, "base_url": url, "requests_per_minute": per_minute, "now": START}
            run_sync(pipeline, progress, SyncResult(), (), args | {"start_date": "2026-05-25"}, models=False)
        ours.send(None)
        times: list[float] = ours.recv()
        return sorted(times)
    finally:
        server.join(5)
        server.kill()


def busiest(times: list[float]) -> int:
    """Most requests in any window."""
    return max(bisect_left(times, at + WINDOW) - place for place, at in enumerate(times))


def run(per_minute: int, latency: float) -> tuple[float, float]:
    """The share of the quota that was used while there was work, and the most of it in any 60 s."""
    times = arrivals(per_minute, latency)
    windows = int((times[-1] - times[0]) // WINDOW)
    used = bisect_left(times, times[0] + windows * WINDOW) / (per_minute * windows)
    most = busiest(times) / per_minute
    print(
        f"{per_minute} a minute at {latency} s: {used:.1%} of the quota used over {windows} minutes, "
        f"at most {most:.1%} in any 60 s ({len(times)} requests)"
    )
    return used, most


if __name__ == "__main__":
    run(int(sys.argv[1]), float(sys.argv[2]))
