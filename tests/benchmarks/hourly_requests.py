"""Requests of an hourly sync of a large account, against the least that can be right.

Prints the ratio and where it goes: `uv run python -m tests.benchmarks.hourly_requests`.
"""

from __future__ import annotations

import os
import re
from collections import Counter
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from io import StringIO
from math import ceil
from pathlib import Path
from tempfile import TemporaryDirectory

from rich.console import Console
from wistia_pipeline.duckdb_destination import duckdb as duckdb_file
from wistia_pipeline.progress import Progress
from wistia_pipeline.results import SyncResult
from wistia_pipeline.sandbox import Account, Sandbox
from wistia_pipeline.settings import use_defaults
from wistia_pipeline.sync import make_pipeline, run_sync

from tests.conftest import settings_for

MEDIAS, PROJECTS, VISITORS, EVENTS_AN_HOUR = 1_000, 20, 100_000, 2_000
HOURS = (1, 2, 3, 4, 5, 6)
HOUR, LOOKBACK = timedelta(hours=1), timedelta(hours=3)
START = datetime(2026, 6, 15, 12, 30, tzinfo=UTC)
KINDS = {
    "events": r"/v1/stats/events\.json",
    "visitors": r"/v1/stats/visitors\.json",
    "medias' stats": r"/v1/stats/medias/",
    "projects' stats": r"/v1/stats/projects/",
    "captions": r"/v1/medias/\w+/captions\.json",
    "listings": r"/v1/(medias|projects)\.json",
    "account": r"/v1/(account|stats/account.*)\.json",
}


def pages(rows: int) -> int:
    """Pages of a list."""
    return ceil(rows / 100)


def least(sandbox: Sandbox, before: datetime, now: datetime) -> dict[str, float]:
    """Requests of an hour that can be right, from what the account shows."""
    view = sandbox.account.at(now)
    watermark = max(event["received_at"] for event in sandbox.account.at(before).events())
    oldest = datetime.fromisoformat(watermark) - LOOKBACK
    fresh = [event for event in view.events() if datetime.fromisoformat(event["received_at"]) >= oldest]
    new = [event for event in fresh if datetime.fromisoformat(event["received_at"]) > before]
    active = [row for row in view.visitors() if datetime.fromisoformat(row["last_active_at"]) >= oldest]
    medias = {media["hashed_id"]: media for media in view.medias()}
    watched = {event["media_id"] for event in new} & medias.keys()
    played = {(medias[media_id].get("project") or {}).get("hashed_id") for media_id in watched} - {None}
    projects = len(view.projects())
    return {
        "events": pages(len(fresh)),
        "visitors": pages(len(active)),
        "medias' stats": 3 * len(watched) + 3 * (len(medias) - len(watched)) / 24,
        "projects' stats": 2 * (len(played) + (projects - len(played)) / 24),
        "captions": len(medias) / 168,
        "listings": pages(len(medias)) + pages(projects),
        "account": 2,
    }


def asked(paths: Sequence[str]) -> Counter[str]:
    """Requests by kind."""
    return Counter(
        next((kind for kind, pattern in KINDS.items() if re.match(pattern, path)), "others") for path in paths
    )


def run() -> float:
    """The ratio over some hours; prints it by kind."""
    account = Account(
        seed=11,
        start=START,
        medias=MEDIAS,
        projects=PROJECTS,
        visitors=VISITORS,
        events=EVENTS_AN_HOUR * 24 * 5,
        days=5,
        hourly_events=EVENTS_AN_HOUR,
    )
    wanted: Counter[str] = Counter()
    found: Counter[str] = Counter()
    with TemporaryDirectory() as folder, Sandbox(account, rate_limit=None) as sandbox:
        os.environ["DLT_DATA_DIR"] = folder
        use_defaults()

        def sync(now: datetime) -> list[str]:
            begun = len(sandbox.log)
            with Progress(Console(file=StringIO())) as progress:
                pipeline = make_pipeline(duckdb_file(str(Path(folder) / "w.duckdb")), progress)
                settings = settings_for(sandbox, now, start_date="2026-06-01")
                run_sync(pipeline, progress, SyncResult(), (), settings, models=False)
            return [call.path for call in sandbox.log[begun:]]

        sync(START)
        for hour in HOURS:
            now = START + hour * HOUR
            found.update(asked(sync(now)))
            wanted.update(least(sandbox, now - HOUR, now))
    for kind in wanted | found:
        print(f"{kind}: {found[kind] / len(HOURS):.1f} requests an hour, {wanted[kind] / len(HOURS):.1f} at least")
    ratio = found.total() / wanted.total()
    print(f"{ratio:.3f} times the least ({found.total() / len(HOURS):.0f} requests an hour)")
    return ratio


if __name__ == "__main__":
    run()
