"""A local Wistia API for the tests: the source pointed at it, and what it was asked for."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from dlt.extract import DltSource
from wistia_pipeline.runs.accounts import WistiaAccount
from wistia_pipeline.runs.results import failures_of
from wistia_pipeline.sandbox import Call, Sandbox

from wistia_source import wistia
from wistia_source.request import RunRequest

NOW = datetime(2026, 6, 15, 12, 30, tzinfo=UTC)
"""The time of a first run in the tests."""
START = "2026-05-01"
"""The first day that small accounts are read from, if a module has no other."""
TOKEN = "s3cret-token-of-the-tests"
UNLIMITED = 100_000


def files_with_token(folder: Path) -> list[Path]:
    """Files below the folder that hold the access token of the tests' sandboxes."""
    return [path for path in folder.rglob("*") if path.is_file() and TOKEN.encode() in path.read_bytes()]


def calls(sandbox: Sandbox, since: int, path: str) -> list[Call]:
    """Requests for a path since a number of them."""
    return [call for call in list(sandbox.log)[since:] if path in call.path]


def at(row: dict[str, Any], name: str) -> str:
    """A row's moment in one form, whichever side it comes from."""
    value = row[name] if isinstance(row[name], datetime) else datetime.fromisoformat(row[name])
    return f"{value.astimezone(UTC):%F %T}"


def sessions(rows: list[dict[str, Any]], *names: str) -> Counter[tuple[Any, ...]]:
    """Sessions as they can be compared: some come without a key."""
    return Counter(
        (at(row, "received_at"), row["media_id"], row["visitor_key"] or "", *(row[name] for name in names))
        for row in rows
    )


def failed_in(source: DltSource) -> set[tuple[str, str]]:
    """What a run of the source could not read: resource and parent."""
    return {(failure["resource"], failure["parent_id"]) for failure in failures_of(source)}


def settings_for(sandbox: Sandbox, now: datetime = NOW, **arguments: Any) -> dict[str, Any]:
    """Arguments of the source that point it at a sandbox, in a hurry; the sandbox's clock is set too."""
    sandbox.now = lambda: now
    defaults: dict[str, Any] = {
        "access_token": sandbox.token,
        "base_url": sandbox.url,
        "requests_per_minute": UNLIMITED,
        "start_date": "2026-01-01",
        "backoff_seconds": 0.001,
        "now": now,
    }
    return defaults | arguments


def source_of(sandbox: Sandbox, now: datetime = NOW, **arguments: Any) -> DltSource:
    """The source pointed at a sandbox, in a hurry."""
    return wistia(**settings_for(sandbox, now, **arguments))


def asked(settings: Mapping[str, Any], select: Sequence[str] = ()) -> tuple[RunRequest, WistiaAccount]:
    """What `run_sync` is told by arguments of the source: the request among them, and the account with the others."""
    given = dict(settings)
    keys = {"visitors": given.pop("visitor_key", None), "events": given.pop("event_key", None)}
    request = RunRequest(
        select=tuple(select),
        refresh={name: key for name, key in keys.items() if key},
        backfill_start=given.pop("backfill_start", None),
        backfill_end=given.pop("backfill_end", None),
    )
    return request, WistiaAccount(given=given)
