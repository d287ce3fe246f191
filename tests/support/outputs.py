"""What the tests of export and report share: an account with names of all kinds, loaded and modelled once."""

from __future__ import annotations

import os
import shutil
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import pytest
from wistia_pipeline.runtime.settings import use_defaults
from wistia_pipeline.sandbox import Account, Sandbox

from tests.support import shared
from tests.support.folder import Folder
from tests.support.mart_rows import ACCOUNT, load, load_first, with_a_lead
from tests.support.postgres import database, execute
from tests.support.sandbox import NOW, TOKEN
from tests.support.warehouse import Warehouse, in_duckdb, in_postgres

HOSTILE = "</script><img src=x onerror=\"document.title='run'\"> 'n' \"q\", \\ 🎬\n{{ 7*7 }} &amp;"
TWICE = "Called the same"
"""The names of the most watched media, and of the five that follow it."""
_TEMPLATE = "outputs_template"


def load_with_models(warehouse: Warehouse, folder: Path) -> None:
    """Loads and models an account as of NOW, from a working folder within this one.

    It is that of the marts' tests, whose first load others may have made; names have changed since. It has more medias
    and pages than a chart has bars, and a lead who has come back.
    """
    account = Account(start=NOW, **ACCOUNT)
    with (
        pytest.MonkeyPatch.context() as patches,
        Sandbox(account, rate_limit=None, token=TOKEN) as sandbox,
    ):
        patches.setenv("DLT_DATA_DIR", str(folder / "dlt"))
        patches.chdir(folder)
        use_defaults()
        load_first(warehouse, sandbox)
        counted = Counter(event["media_id"] for event in account.at(NOW).events())
        most = [media_id for media_id, _ in counted.most_common(6)]
        for media_id, name in zip(most, [HOSTILE, *[TWICE] * 5], strict=True):
            account.rename_media(media_id, name)
        with_a_lead(account, NOW)
        load(warehouse, sandbox, events_lookback_hours=2400, visitors_lookback_hours=2400)


def reader_of(file: Path, **settings: str) -> Folder:
    """A folder whose commands read a warehouse file that is in its `work`, or the warehouse of the settings."""
    path = file.parent.parent
    env = {"PATH": os.environ["PATH"], "HOME": str(path / "home"), "DLT_DATA_DIR": str(path / "dlt")}
    # whoever reads may be elsewhere than whoever loads; absolute: commands run in other folders, too
    env |= {"TZ": "Pacific/Auckland", "DESTINATION__DUCKDB__CREDENTIALS": str(file)}
    return Folder(path, env | settings, models=True)


def in_duckdb_once() -> Folder:
    """The account in a DuckDB file, which nobody changes: loaded once for all modules and workers of pytest."""

    def make(folder: Path) -> None:
        (folder / "work").mkdir()
        load_with_models(in_duckdb(folder / "work" / "warehouse.duckdb"), folder)

    return reader_of(shared.made_once("outputs-duckdb", make) / "work" / "warehouse.duckdb")


@contextmanager
def copied_in_postgres(server: str, path: Path) -> Iterator[Folder]:
    """The account in a Postgres database of one's own: loaded once, and copied."""
    address = server.rpartition("/")[0]

    def make(folder: Path) -> None:
        execute(server, f"drop database if exists {_TEMPLATE}")
        execute(server, f"create database {_TEMPLATE}")
        load_with_models(in_postgres(f"{address}/{_TEMPLATE}"), folder)

    shared.made_once("outputs-postgres", make)
    with database(server, of=f"{address}/{_TEMPLATE}") as url:
        made = reader_of(path / "work" / "warehouse.duckdb", DESTINATION__POSTGRES__CREDENTIALS=url)
        made.work.mkdir(parents=True)
        yield made


def copied(folder: Folder, path: Path) -> Folder:
    """The same with a warehouse file of its own, which a test may change."""
    made = replace(folder, path=path / "own")
    made.work.mkdir(parents=True)
    shutil.copy(folder.warehouse, made.warehouse)
    return replace(made, env=folder.env | {"DESTINATION__DUCKDB__CREDENTIALS": str(made.warehouse)})
