"""Files that dlt has loaded, the marts that Spark puts beside them, and the processes that it runs in."""

from __future__ import annotations

import os
import re
import signal
from collections.abc import Iterator
from contextlib import ExitStack, closing, contextmanager, suppress
from dataclasses import dataclass, field
from importlib.resources import files
from pathlib import Path
from subprocess import STDOUT, Popen
from typing import Any

import duckdb
from wistia_pipeline.models.spark.session import java_home

from tests.support.folder import Folder, wait_for
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


@dataclass
class Cluster:
    """A standalone cluster of Spark on this machine: a master and workers, each a process."""

    folder: Path
    address: str = ""
    workers: list[Popen[str]] = field(default_factory=list)

    def tasks(self, worker: int) -> int:
        """How many tasks the executors of a worker have begun; the first worker is 1."""
        logs = self.folder.glob(f"worker-{worker}/app-*/*/stderr")
        return sum(log.read_text("utf-8", "replace").count("Running task") for log in logs)


@contextmanager
def cluster(folder: Path, workers: int = 2) -> Iterator[Cluster]:
    """A cluster while the context lasts; each worker has one core and 1 GB."""
    folder.mkdir()
    started = Cluster(folder)
    with ExitStack() as stack:

        def start(name: str, *arguments: str, until: str) -> tuple[Popen[str], str]:
            log = folder / f"{name}.log"
            kind = name.partition("-")[0]
            command = [files("pyspark") / "bin" / "spark-class", f"org.apache.spark.deploy.{kind}.{kind.capitalize()}"]
            with log.open("wb") as file:
                process = Popen(
                    [*map(str, command), "--host", "127.0.0.1", "--webui-port", "0", *arguments],
                    env={**os.environ, "JAVA_HOME": java_home(folder), "SPARK_HOME": str(files("pyspark"))},
                    stdout=file,
                    stderr=STDOUT,
                    text=True,
                    # a group of its own, with its executors
                    start_new_session=True,
                )
            stack.callback(end, process)
            wait_for(lambda: re.search(until, log.read_text("utf-8", "replace")), process)
            found = re.search(until, log.read_text("utf-8", "replace"))
            assert found
            return process, found[0]

        _, started.address = start("master", "--port", "0", until=r"spark://\S+:\d+")
        for number in range(1, workers + 1):
            work = ("--cores", "1", "--memory", "1g", "--work-dir", str(folder / f"worker-{number}"))
            worker, _ = start(f"worker-{number}", *work, started.address, until="Successfully registered with master")
            started.workers.append(worker)
        yield started


def end(process: Popen[str]) -> None:
    """Kills a process with its group, if it runs."""
    with suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGKILL)
    process.wait()


def published(folder: Folder) -> dict[str, bytes]:
    """All that is beside the raw files."""
    lake = folder.path / "a lake"
    files = (path for path in lake.rglob("*") if path.is_file())
    return {
        str(path.relative_to(lake)): path.read_bytes()
        for path in files
        if path.relative_to(lake).parts[0] != "wistia_raw"
    }
