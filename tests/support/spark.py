"""Files that dlt has loaded, the marts that Spark puts beside them, and the processes that it runs in."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any

import duckdb

from tests.support.folder import Folder
from tests.support.mart_rows import ACCOUNT as ACCOUNT
from tests.support.warehouse import Warehouse


class Files(Warehouse):
    """A folder that dlt loads, and the marts that Spark puts beside, as the other tests know a warehouse."""

    @contextmanager
    def cursor(self) -> Iterator[Any]:
        """DuckDB, to which the marts are files."""
        root = Path(self.destination.config_params["bucket_url"])
        with closing(duckdb.connect()) as connection:
            connection.execute("set timezone = 'UTC'")
            connection.execute(f"create schema {self.marts}")
            for folder in root.glob(f"{self.marts}/*/"):
                connection.execute(
                    f"create view {self.marts}.{folder.name} as select * from read_parquet('{folder}/*.parquet')"
                )
            yield connection


def folder_in(path: Path) -> Folder:
    """Where commands run; what they read is to be loaded into `a lake`."""
    made = Folder(
        path,
        {
            "PATH": os.environ["PATH"],
            "HOME": str(path / "home"),
            "DLT_DATA_DIR": str(path / "dlt-of-spark"),
            "DESTINATION__FILESYSTEM__BUCKET_URL": str(path / "a lake"),
        },
        # a build takes its time
        models=True,
    )
    for name in ("work", "home"):
        (path / name).mkdir()
    return made


def processes(folder: Folder) -> list[Path]:
    """Processes that came of commands in the folder, and run."""
    wanted = f"DLT_DATA_DIR={folder.env['DLT_DATA_DIR']}".encode()
    found = []
    for process in Path("/proc").glob("[0-9]*"):
        try:
            if wanted in (process / "environ").read_bytes().split(b"\0"):
                found.append(process)
        except OSError:
            continue
    return found


def tasks(folder: Folder, worker: int) -> int:
    """How many tasks the executors of a worker have begun."""
    logs = folder.path.glob(f"dlt-of-spark/wistia/*/spark/worker-{worker}/app-*/*/stderr")
    return sum(log.read_text("utf-8", "replace").count("Running task") for log in logs)


def log_has(folder: Folder, name: str, words: str) -> bool:
    """Whether a log of the cluster or of the driver says so."""
    logs = folder.path.glob(f"dlt-of-spark/wistia/*/spark/{name}.log")
    return any(words in log.read_text("utf-8", "replace") for log in logs)


def published(folder: Folder) -> dict[str, bytes]:
    """All that is beside the raw files."""
    lake = folder.path / "a lake"
    files = (path for path in lake.rglob("*") if path.is_file())
    return {
        str(path.relative_to(lake)): path.read_bytes()
        for path in files
        if path.relative_to(lake).parts[0] != "wistia_raw"
    }
