"""A first load and an hour of an account with ten times as many medias, against one with few.

`uv run python -m tests.benchmarks.growth`.
"""

from __future__ import annotations

from datetime import timedelta
from tempfile import TemporaryDirectory

import duckdb

from tests.benchmarks.runs import START, Cost, cost_of, served, sync

FEW, MANY = 1_000, 10_000


def costs(medias: int) -> tuple[list[Cost], list[int], int]:
    """Of a first sync and one an hour later; their requests, and the bytes of the state that travels."""
    account = {"seed": 3, "medias": medias, "projects": 20, "visitors": 5_000, "events": 20_000, "days": 60}
    with served(**account, hourly_events=1) as api, TemporaryDirectory() as folder:
        file = f"{folder}/w.duckdb"
        found, requests = [], []
        for hour in range(2):
            before = len(api.arrivals())
            found.append(cost_of(sync, api.url, api.token, file, now=START + timedelta(hours=hour)))
            requests.append(len(api.arrivals()) - before)
        with duckdb.connect(file, read_only=True) as warehouse:
            ((state,),) = warehouse.execute("select max(length(state)) from wistia_raw._dlt_pipeline_state").fetchall()
    return found, requests, state


if __name__ == "__main__":
    for n in (FEW, MANY):
        print(n, costs(n), flush=True)
