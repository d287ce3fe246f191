"""The demo: a local Wistia API, a first load, an hour, a second load."""

from __future__ import annotations

from contextlib import closing
from datetime import UTC, datetime, timedelta
from pathlib import Path
from tempfile import TemporaryDirectory

import dlt
import duckdb
from rich.console import Console

from .progress import Progress
from .sandbox import Account, Sandbox
from .settings import packaged
from .sync import SyncResult, make_pipeline, run_sync
from .tables import plain_table, resources_table

EXAMPLE_QUERY = "select media_name, count(*) from wistia_raw.events group by 1 order by 2 desc limit 5"
REQUESTS_PER_MINUTE = 30_000
"""The local API lets the demo hurry; Wistia allows 600."""


def run_demo(output: str) -> None:
    """Loads the made-up account twice into the DuckDB file `output` and shows what landed."""
    console = Console()
    start = datetime.now(UTC).replace(second=0, microsecond=0)
    Path(output).unlink(missing_ok=True)
    # a folder of its own: the demo must not touch the state of a real pipeline
    with (
        TemporaryDirectory() as state,
        Sandbox(Account(start=start, visitors=3_200, events=21_000), rate_limit=REQUESTS_PER_MINUTE) as sandbox,
    ):

        def load(now: datetime) -> SyncResult:
            sandbox.now = lambda: now
            result = SyncResult()
            with Progress() as progress:
                pipeline = make_pipeline(
                    dlt.destinations.duckdb(output), progress, name="wistia_demo", pipelines_dir=state
                )
                source_args = {
                    "access_token": sandbox.token,
                    "base_url": sandbox.url,
                    "requests_per_minute": REQUESTS_PER_MINUTE,
                    "now": now,
                }
                run_sync(pipeline, progress, result, source_args=source_args)
            return result

        first = load(start)
        console.print(resources_table(first, "First load"))
        minutes = first.requests / 600
        console.print(f"At the 600 requests a minute that Wistia allows, this takes {minutes:.1f} minutes.\n")
        second = load(start + timedelta(hours=1))
        console.print(resources_table(second, "One hour later"))
        console.print(f"{second.requests} requests instead of {first.requests}: only what can have changed.\n")
    with closing(duckdb.connect(output, read_only=True)) as connection:
        sql = packaged("sql").joinpath("analyses", "account_daily.sql").read_text("utf-8")
        answer = connection.execute(sql)
        header = [column[0] for column in answer.description or ()]
        console.print(plain_table(header, answer.fetchall(), "The last week by day (UTC-5)"))
    console.print(
        f"\nThe warehouse is {output}; query it with any DuckDB client, for example:\n"
        f"  python -c \"import duckdb; print(duckdb.connect('{output}').sql('{EXAMPLE_QUERY}'))\"",
        highlight=False,
        soft_wrap=True,
    )
