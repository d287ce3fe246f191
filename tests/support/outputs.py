"""What the tests of export and report share: an account with names of all kinds, loaded and modelled."""

from __future__ import annotations

import os
import shutil
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import pytest
from filelock import FileLock
from wistia_pipeline.sandbox import Account, Sandbox

from tests.support.folder import Folder, empty_folder
from tests.support.mart_rows import with_a_lead
from tests.support.sandbox import BEGAN, TOKEN

NOW = BEGAN
HOSTILE = "</script><img src=x onerror=\"document.title='run'\"> 'n' \"q\", \\ 🎬\n{{ 7*7 }} &amp;"
TWICE = "Called the same"
"""The names of the most watched media, and of the five that follow it."""


@contextmanager
def account_of_all_names() -> Iterator[Sandbox]:
    """An account whose most watched medias have difficult names; more medias and pages than a chart has bars."""
    account = Account(seed=9, start=NOW, medias=14, projects=3, visitors=150, events=700, days=30)
    counted = Counter(event["media_id"] for event in account.at(NOW).events())
    most = [media_id for media_id, _ in counted.most_common(6)]
    for media_id, name in zip(most, [HOSTILE, *[TWICE] * 5], strict=True):
        account.rename_media(media_id, name)
    with Sandbox(with_a_lead(account, NOW), now=lambda: NOW, rate_limit=None, token=TOKEN) as sandbox:
        yield sandbox


def loaded_folder(path: Path, sandbox: Sandbox, **settings: str) -> Folder:
    """A folder from which a sync has run, with its models."""
    made = empty_folder(path, sandbox, NOW - timedelta(days=10))
    # absolute: commands are also run in the process of the tests, which is in another folder
    file = {"DESTINATION__DUCKDB__CREDENTIALS": str(made.warehouse)}
    folder = replace(made, env=made.env | file | settings, models=True)
    destination = ("--destination", "postgres") if "DESTINATION__POSTGRES__CREDENTIALS" in settings else ()
    assert folder.sync(*destination)["status"] == "ok"
    return folder


def in_duckdb_once(tmp_path_factory: pytest.TempPathFactory, worker: str) -> Folder:
    """The account in a DuckDB file, which nobody changes: loaded once for all modules and workers of pytest."""
    of_all = tmp_path_factory.getbasetemp()
    of_all = of_all if worker == "master" else of_all.parent
    done = of_all / "outputs" / "done"
    with FileLock(of_all / "outputs.lock"), account_of_all_names() as sandbox:
        if not done.exists():
            loaded_folder(done.parent / "user", sandbox)
            done.touch()
        made = Folder(done.parent / "user", models=True)
        path = {"PATH": os.environ["PATH"], "HOME": str(made.path / "home"), "DLT_DATA_DIR": str(made.path / "dlt")}
        # whoever reads may be elsewhere than whoever loads
        path["TZ"] = "Pacific/Auckland"
        return replace(made, env=path | {"DESTINATION__DUCKDB__CREDENTIALS": str(made.warehouse)})


def copied(folder: Folder, path: Path) -> Folder:
    """The same with a warehouse file of its own, which a test may change."""
    made = replace(folder, path=path / "own")
    made.work.mkdir(parents=True)
    shutil.copy(folder.warehouse, made.warehouse)
    return replace(made, env=folder.env | {"DESTINATION__DUCKDB__CREDENTIALS": str(made.warehouse)})
