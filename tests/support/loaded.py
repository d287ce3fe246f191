"""Warehouses that were loaded before: what several tests begin with is loaded once and copied."""

from __future__ import annotations

import os
import pickle
import shutil
from collections.abc import Callable, Sequence
from datetime import datetime
from hashlib import sha256
from pathlib import Path
from typing import Any

from dlt.common.configuration.specs import BaseConfiguration
from wistia_pipeline.runs.results import SyncResult
from wistia_pipeline.sandbox import Account, Sandbox

from tests.support import shared
from tests.support.parsed import keep_parsed
from tests.support.postgres import execute
from tests.support.sandbox import NOW, START, settings_for
from tests.support.warehouse import Warehouse


def load_once(
    warehouse: Warehouse,
    sandbox: Sandbox,
    now: datetime = NOW,
    select: Sequence[str] = (),
    *,
    models: bool = False,
    **settings: Any,
) -> SyncResult:
    """The first run of an account into an empty warehouse, as `sync` makes it, from START on by default.

    Where another test has begun with the same run, what that one has loaded is copied, in the place of all that the
    warehouse holds, and the sandbox sees no request. The account is as it was made.
    """
    assert sandbox.account.generation == 0
    assert not sandbox.faults
    if models:
        keep_parsed()
    settings = {"start_date": START} | settings
    said = repr((warehouse.name, _made_of(sandbox), now, tuple(select), models, sorted(_plain(settings).items())))

    def load() -> bytes:
        return pickle.dumps(warehouse.sync(settings_for(sandbox, now, **settings), select, models=models))

    name = f"loaded-{sha256(said.encode()).hexdigest()[:16]}"
    result: SyncResult = pickle.loads(begin_once(warehouse, name, load))
    sandbox.now = lambda: now
    return result


def begin_once(warehouse: Warehouse, name: str, load: Callable[[], bytes | None]) -> bytes:
    """Loads a warehouse as several tests begin: the first of them does, the others get a copy of all that it has left.

    Returns what the load returned.
    """
    made = False

    def make(folder: Path) -> None:
        nonlocal made
        made = True
        (folder / "result").write_bytes(load() or b"")
        _save(warehouse, folder)

    folder = shared.made_once(f"{name}-{warehouse.name}", make)
    if not made:
        _put_back(warehouse, folder)
    return (folder / "result").read_bytes()


def _made_of(sandbox: Sandbox) -> tuple[Any, ...]:
    """What tells one account from another, and how its sandbox shows it."""
    account: Account = sandbox.account
    columns = (account.received, account.media_of, account.visitor_of, account.percent, account.identity)
    # those that it began with: as time passes more are added
    rows = sha256(b"".join(column[: account.events].tobytes() for column in columns)).hexdigest()
    made = (account.seed, account.start, account.history_begins, account.events, account.hourly_events, rows)
    return (*made, len(account.medias), len(account.projects), sandbox.page_cap, sandbox.project_by_date)


def _plain(settings: dict[str, Any]) -> dict[str, Any]:
    return {name: dict(value) if isinstance(value, BaseConfiguration) else value for name, value in settings.items()}


def _working_folder() -> Path:
    return Path(os.environ["DLT_DATA_DIR"])


def _save(warehouse: Warehouse, folder: Path) -> None:
    shutil.copytree(_working_folder(), folder / "dlt")
    if warehouse.name == "duckdb":
        shutil.copy(warehouse.address, folder / "warehouse.duckdb")
    else:
        execute(_server(warehouse), f"create database {_template(folder)} template {_database(warehouse)}")


def _put_back(warehouse: Warehouse, folder: Path) -> None:
    shutil.copytree(folder / "dlt", _working_folder(), dirs_exist_ok=True)
    if warehouse.name == "duckdb":
        shutil.copy(folder / "warehouse.duckdb", warehouse.address)
    else:
        execute(_server(warehouse), f"drop database {_database(warehouse)}")
        execute(_server(warehouse), f"create database {_database(warehouse)} template {_template(folder)}")


def _template(folder: Path) -> str:
    return folder.name.replace("-", "_")


def _server(warehouse: Warehouse) -> str:
    return f"{warehouse.address.rpartition('/')[0]}/postgres"


def _database(warehouse: Warehouse) -> str:
    return warehouse.address.rpartition("/")[2]
