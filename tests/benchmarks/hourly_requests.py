"""Requests of an hourly sync of a large account, against the least that can be right.

Prints the ratio and where it goes: `uv run python -m tests.benchmarks.hourly_requests`.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from itertools import takewhile
from math import ceil
from tempfile import TemporaryDirectory
from typing import Any

from wistia_pipeline.sandbox import Account, Sandbox, View

from tests.benchmarks.runs import START, sync

MEDIAS, PROJECTS, VISITORS, EVENTS_AN_HOUR = 1_000, 20, 100_000, 2_000
POPULARITY = 0.5
"""So that about 150 medias are watched an hour."""
DEEP = 24
"""The hour that reads deep."""
HOUR, LOOKBACK = timedelta(hours=1), timedelta(hours=3)
LATEST = timedelta(days=2)
"""By which sessions appear late in the account."""
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


def least(earlier: View, view: View) -> Counter[str]:
    """Requests of an hour that can be right, from what the account showed before and shows now."""
    first = datetime.fromtimestamp(view.now, UTC).date() - LATEST
    before, events = earlier.events(start_date=first), view.events(start_date=first)
    oldest, since = _at(before[0]["received_at"]) - LOOKBACK, _at(earlier.visitors()[0]["last_active_at"])
    known = set(map(_key, before))
    new = [event for event in events if _key(event) not in known]
    fresh = list(takewhile(lambda event: _at(event["received_at"]) >= oldest, events))
    active = list(takewhile(lambda row: _at(row["last_active_at"]) >= since, view.visitors()))
    medias = {media["hashed_id"]: media for media in view.medias()}
    watched = {event["media_id"] for event in new} & medias.keys()
    played = {(medias[media_id].get("project") or {}).get("hashed_id") for media_id in watched} - {None}
    projects = len(view.projects())
    return Counter(
        {
            "events": pages(len(fresh)),
            "visitors": pages(len(active)),
            "medias' stats": 3 * len(watched) + 3 * (len(medias) - len(watched)) / 24,
            "projects' stats": 2 * (len(played) + (projects - len(played)) / 24),
            "captions": len(medias) / 168,
            "listings": pages(len(medias)) + pages(projects),
            "account": 2,
        }
    )


def _key(event: dict[str, Any]) -> tuple[str, str]:
    # some lack it, but have it in this address
    return event.get("event_key") or event["iframe_heatmap_url"], event["visitor_key"]


def _at(text: str) -> datetime:
    return datetime.fromisoformat(text)


def asked(paths: Sequence[str]) -> Counter[str]:
    """Requests by kind."""
    return Counter(
        next((kind for kind, pattern in KINDS.items() if re.match(pattern, path)), "others") for path in paths
    )


def run(hours: int = 24, size: float = 1) -> float:
    """The ratio of the hours before the first deep lookback; prints it by kind, and that of all of them.

    `size` makes the account smaller.
    """
    account = Account(
        seed=11,
        start=START,
        medias=int(MEDIAS * size),
        projects=int(PROJECTS * size),
        visitors=int(VISITORS * size),
        events=int(EVENTS_AN_HOUR * size) * 24 * 5,
        days=5,
        hourly_events=int(EVENTS_AN_HOUR * size),
        popularity=POPULARITY,
    )
    wanted: list[Counter[str]] = []
    found: list[Counter[str]] = []
    with TemporaryDirectory() as folder, Sandbox(account, rate_limit=None) as sandbox:

        def paths(now: datetime) -> list[str]:
            begun = len(sandbox.log)
            sandbox.now = lambda: now
            sync(sandbox.url, sandbox.token, f"{folder}/w.duckdb", now=now, start_date="2026-06-01")
            return [call.path for call in sandbox.log[begun:]]

        paths(START)
        for hour in range(1, hours + 1):
            now = START + hour * HOUR
            found.append(asked(paths(now)))
            wanted.append(least(account.at(now - HOUR), account.at(now)))
    shallow = _ratio(found[: DEEP - 1], wanted[: DEEP - 1], "without the deep lookback")
    if hours >= DEEP:
        _ratio(found, wanted, "with it, once a day")
    return shallow


def _ratio(found: Sequence[Counter[str]], wanted: Sequence[Counter[str]], which: str) -> float:
    asked, needed = sum(found, Counter()), sum(wanted, Counter())
    for kind in needed | asked:
        print(f"  {kind}: {asked[kind] / len(found):.1f} requests an hour, {needed[kind] / len(found):.1f} at least")
    print(f"{asked.total() / needed.total():.3f} times the least {which} ({asked.total() / len(found):.0f} an hour)")
    return asked.total() / needed.total()


if __name__ == "__main__":
    run()
