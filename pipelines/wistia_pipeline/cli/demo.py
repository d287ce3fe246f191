"""The demo: a local Wistia API, a first load, an hour, a second load."""

import shlex
import sys
from contextlib import closing
from datetime import UTC, datetime, timedelta
from pathlib import Path
from tempfile import TemporaryDirectory

import duckdb
from rich.console import Console

from wistia_source.windows import RETENTION

from ..runs.accounts import WistiaAccount
from ..runs.progress import Progress
from ..runs.results import SyncResult
from ..runs.sync import make_pipeline, run_sync
from ..runtime.files import OutputUnusable, is_duckdb_file
from ..sandbox import Account, Sandbox
from ..warehouses.duckdb.loads import duckdb as duckdb_file
from .tables import plain_table, resources_table

NAME = "wistia_demo"

EXAMPLE_QUERY = (
    "select media_name, session_count, round(engagement_score, 1) as score "
    "from wistia.wistia__media_performance order by session_rank limit 5"
)
LAST_WEEK = """
select
    cast(date as text) as date,
    load_count as loads,
    play_count as plays,
    session_count as sessions,
    viewer_count as viewers,
    round(watched_hours, 1) as hours,
    round(completed_fraction, 2) as completed
from wistia.wistia__account_daily
where load_count is not null
order by date desc
limit 7
"""
REQUESTS_PER_MINUTE = 30_000
"""The local API lets the demo hurry; Wistia allows 600."""


def run_demo(output: str) -> None:
    """Loads the made-up account twice into the DuckDB file `output` and shows what landed."""
    console = Console()
    start = datetime.now(UTC).replace(second=0, microsecond=0)
    _clear(Path(output))
    # a folder of its own: the demo must not touch the state of a real pipeline
    with (
        TemporaryDirectory() as state,
        Sandbox(Account(start=start, visitors=3_200, events=21_000), rate_limit=REQUESTS_PER_MINUTE) as sandbox,
    ):

        def load(now: datetime) -> SyncResult:
            sandbox.now = lambda: now
            result = SyncResult()
            with Progress() as progress:
                pipeline = make_pipeline(duckdb_file(output), progress, name=NAME, pipelines_dir=state)
                # all that a user's own settings could bend
                own = {
                    "api_version": "v1",
                    "start_date": (start - RETENTION).date().isoformat(),
                    "access_token": sandbox.token,
                    "base_url": sandbox.url,
                    "requests_per_minute": REQUESTS_PER_MINUTE,
                    "now": now,
                }
                run_sync(pipeline, progress, result, account=WistiaAccount(given=own))
            return result

        first = load(start)
        console.print(resources_table(first, "First load"))
        minutes = first.requests / 600
        console.print(f"At the 600 requests a minute that Wistia allows, this takes {minutes:.1f} minutes.\n")
        second = load(start + timedelta(hours=1))
        console.print(resources_table(second, "One hour later"))
        console.print(f"{second.models}.")
        console.print(f"{second.requests} requests instead of {first.requests}: only what can have changed.\n")
    with closing(duckdb.connect(output, read_only=True)) as connection:
        answer = connection.execute(LAST_WEEK)
        header = [column[0] for column in answer.description or ()]
        console.print(plain_table(header, answer.fetchall(), "The last week by day: wistia.wistia__account_daily"))
    console.print(
        f"\nThe warehouse is {output}; query it with any DuckDB client, for example:\n"
        f"  {shlex.quote(sys.executable)} -c "
        f"\"import duckdb; print(duckdb.connect('{output}').sql('{EXAMPLE_QUERY}'))\"",
        highlight=False,
        soft_wrap=True,
    )


def _clear(output: Path) -> None:
    """Removes what an earlier demo has left. Raises `OutputUnusable` where something else is, or nothing can be."""
    if output.is_dir() or not output.parent.is_dir():
        raise OutputUnusable(f"{output} is a folder, or in none that exists; choose another file with --output.")
    if not output.exists():
        return
    if not is_duckdb_file(output):
        raise OutputUnusable(f"{output} holds other data than a demo's; choose another file with --output.")
    # refuses a file that is open in another program
    with closing(duckdb.connect(str(output))) as connection:
        try:
            states = connection.execute("select distinct pipeline_name from wistia_raw._dlt_pipeline_state").fetchall()
        except duckdb.CatalogException:
            tables = connection.execute("select count(*) from information_schema.tables").fetchall()
            states = [(NAME,)] if tables == [(0,)] else []
    if states != [(NAME,)]:
        raise OutputUnusable(f"{output} holds other data than a demo's; choose another file with --output.")
    output.unlink()
