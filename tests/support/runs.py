"""A small account that lives on, and runs of the source against it."""

from __future__ import annotations

import json
from collections import Counter
from datetime import datetime
from typing import Any

from dlt.extract import DltSource
from wistia_pipeline.sandbox import Fault, Sandbox
from wistia_pipeline.sandbox.view import View

from tests.support.sandbox import NOW, START, calls, source_of
from tests.support.warehouse import Warehouse

SMALL = {"seed": 11, "medias": 12, "projects": 3, "visitors": 150, "events": 900, "days": 60, "hourly_events": 6}
"""An account on which something happens every hour: as ACCOUNT of several modules, its first load is made once."""


def sync(
    warehouse: Warehouse, sandbox: Sandbox, now: datetime = NOW, only: tuple[str, ...] = (), **arguments: Any
) -> int:
    """One run of the source, of these resources or all; returns how many requests the server saw."""
    before = len(sandbox.log)
    source = source_of(sandbox, now, **({"start_date": START} | arguments))
    warehouse.load(source.with_resources(*only, "refreshes") if only else source)
    return len(sandbox.log) - before


def read(source: DltSource, *only: str) -> dict[str, list[dict[str, Any]]]:
    """The rows of these resources or all, without a destination: quick, where nothing is kept from run to run."""
    names = only or tuple(source.resources)
    return {name: [row for table in source.resources[name] for row in table.to_pylist()] for name in names}


def contents(warehouse: Warehouse, leave_out: tuple[str, ...] = ()) -> dict[str, Counter[str]]:
    """Every row of every table, load ids and all."""
    return warehouse.contents(leave_out, ())


def by_parent(warehouse: Warehouse, table: str, key: str = "media_id") -> dict[str, list[str]]:
    """The rows of each media or project, as text and with the loads that brought them."""
    held: dict[str, list[str]] = {}
    for row in warehouse.rows(table):
        held.setdefault(row[key], []).append(repr(sorted(row.items())))
    return {parent: sorted(rows) for parent, rows in held.items()}


def asked(sandbox: Sandbox, since: int, path: str) -> list[str]:
    """Paths that were requested since a number of requests."""
    return [call.path for call in calls(sandbox, since, path)]


def answer(sandbox: Sandbox, path: str, body: Any) -> None:
    """Makes the sandbox answer this from now on."""
    sandbox.faults.add(Fault(path, status=200, times=None, body=json.dumps(body)))


def media_ids(sandbox: Sandbox, now: datetime = NOW) -> list[str]:
    """The medias that the account lists at a moment."""
    return [media["hashed_id"] for media in view_at(sandbox, now).medias()]


def view_at(sandbox: Sandbox, now: datetime = NOW) -> View:
    """What the account holds at a moment."""
    return sandbox.account.at(now)
