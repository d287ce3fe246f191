"""How much of a quota a first load uses, and that it never uses more.

`uv run python -m tests.benchmarks.quota 540 1.5`: requests a minute, and seconds that each answer takes.
"""

from __future__ import annotations

import sys
from bisect import bisect_left
from tempfile import TemporaryDirectory

from tests.benchmarks.runs import cost_of, served, sync

MINUTES = 3
"""Of work at the quota, about."""
WINDOW = 60.0


def arrivals(per_minute: int, latency: float) -> list[float]:
    """When the requests of a first load arrived at the server."""
    medias = per_minute * MINUTES // 4
    account = {"seed": 3, "medias": medias, "projects": 5, "visitors": 200, "events": 1_000, "days": 20}
    with served(latency, **account) as api, TemporaryDirectory() as folder:
        cost_of(sync, api.url, api.token, f"{folder}/w.duckdb", requests_per_minute=per_minute, start_date="2026-05-25")
        return api.arrivals()


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
