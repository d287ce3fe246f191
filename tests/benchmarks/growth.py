"""Syncs of an account with ten times as many medias, against one with few: requests, time, memory, state.

`uv run python -m tests.benchmarks.growth`.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from tempfile import TemporaryDirectory

import duckdb

from tests.benchmarks.runs import Cost, cost_of, served, sync

FEW, MANY = 1_000, 10_000


@dataclass(frozen=True)
class Syncs:
    """What a first sync and one an hour later took together."""

    requests: int
    costs: tuple[Cost, Cost]
    state_bytes: int
    """Of the largest state that was sent to the destination."""

    @property
    def seconds(self) -> float:
        """Both together."""
        return sum(cost.seconds for cost in self.costs)

    @property
    def peak_megabytes(self) -> float:
        """Of the larger one."""
        return max(cost.peak_megabytes for cost in self.costs)


def syncs(medias: int) -> Syncs:
    """Of an account with so many medias, and all else the same."""
    account = {"seed": 3, "medias": medias, "projects": 20, "visitors": 5_000, "events": 20_000, "days": 60}
    start = datetime.now(UTC)
    with served(**account, start=start, hourly_events=1) as api, TemporaryDirectory() as folder:
        file = f"{folder}/w.duckdb"
        # by a clock that goes on: the packages of a run are told apart by it
        first, second = (cost_of(sync, api.url, api.token, file, now=now) for now in (None, start + timedelta(hours=1)))
        with duckdb.connect(file, read_only=True) as warehouse:
            states = warehouse.execute("select max(length(state)) from wistia_raw._dlt_pipeline_state").fetchall()
        return Syncs(len(api.arrivals()), (first, second), states[0][0])


def run() -> tuple[float, float, float, int]:
    """Requests, time and peak memory as ratios, and the bytes of the state; prints them."""
    few, many = syncs(FEW), syncs(MANY)
    requests, time = many.requests / few.requests, many.seconds / few.seconds
    memory = many.peak_megabytes / few.peak_megabytes
    print(
        f"{MANY:,} medias against {FEW:,}: {requests:.2f} times the requests ({many.requests:,}), {time:.2f} times the "
        f"time ({many.seconds:.0f} s), {memory:.2f} times the peak memory ({many.peak_megabytes:.0f} MB); "
        f"{many.state_bytes:,} bytes of state"
    )
    return requests, time, memory, many.state_bytes


if __name__ == "__main__":
    run()
