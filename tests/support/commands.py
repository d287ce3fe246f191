"""Commands in the tests' own process, at NOW, on warehouses that may have been loaded before."""

from __future__ import annotations

import re
import subprocess
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any

import duckdb
from wistia_pipeline.sandbox import Fault, Sandbox

from tests.support.folder import PROGRESS_LINE, Folder, empty_folder, wait_for
from tests.support.loaded import load_once
from tests.support.sandbox import NOW, START
from tests.support.warehouse import in_duckdb
from wistia_source.endpoints import BY_NAME

BUSY = "Error: Another run is loading this warehouse; nothing is touched: run again when it has ended.\n"


def folder_at_now(path: Path, sandbox: Sandbox) -> Folder:
    """An empty folder from which the sandbox is reached; the clocks of both are at NOW."""
    sandbox.now = lambda: NOW
    made = empty_folder(path, sandbox, NOW)
    made.env |= {"SOURCES__WISTIA__NOW": NOW.isoformat(), "SOURCES__WISTIA__START_DATE": START}
    return made


def loaded_at_now(path: Path, sandbox: Sandbox) -> Folder:
    """A folder with a warehouse file into which another machine has loaded the account."""
    made = folder_at_now(path, sandbox)
    load_once(in_duckdb(made.warehouse), sandbox)
    sandbox.log.clear()
    return made


def contents(file: Path) -> dict[str, list[tuple[Any, ...]]]:
    """All rows of the resources' tables."""
    with closing(duckdb.connect(str(file), read_only=True)) as connection:
        names = connection.execute("select table_name from information_schema.tables order by 1").fetchall()
        loaded = [name for (name,) in names if name in BY_NAME]
        assert loaded
        return {name: connection.sql(f"from wistia_raw.{name} order by all").fetchall() for name in loaded}


def without_progress(shown: str) -> list[str]:
    """The lines on standard error that do not tell of progress."""
    return [line for line in shown.splitlines() if not PROGRESS_LINE.fullmatch(line)]


def assert_told(done: subprocess.CompletedProcess[str], says: str) -> None:
    """Exit 1, one sentence that says what to do, no secret."""
    assert (done.returncode, done.stdout) == (1, ""), done.stderr
    (line,) = without_progress(done.stderr)
    assert re.fullmatch(r"Error: .+\.", line)
    assert says in line
    assert "Traceback" not in done.stderr
    assert "s3cret" not in done.stderr


@contextmanager
def under_way(folder: Folder, sandbox: Sandbox, *arguments: str) -> Iterator[None]:
    """While a run waits for its first answer; then it is killed."""
    sandbox.faults.add(Fault("v1/account.json", kind="hang", seconds=600, times=None))
    run = folder.start(*arguments)
    try:
        wait_for(lambda: sandbox.log, run)
        yield
    finally:
        sandbox.faults.clear()
        run.kill()
        run.communicate()
