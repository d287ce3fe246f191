"""A standalone cluster of Spark on this machine: a master and workers, each a process."""

from __future__ import annotations

import re
import subprocess
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from importlib.resources import files
from pathlib import Path
from time import monotonic, sleep

from wistia_source.errors import WistiaError

START_SECONDS = 120


class NoCluster(WistiaError):
    """The master or a worker did not start."""


@contextmanager
def cluster(workers: int, cores: int, memory: str, folder: Path, environment: dict[str, str]) -> Iterator[str]:
    """The address of the master, while the context lasts; logs are in the folder.

    `cores` and `memory` (such as 2g) are each worker's. Raises `NoCluster`.
    """
    with ExitStack() as stack:
        master = stack.enter_context(
            _running("master", ["master.Master", "--host", "127.0.0.1", "--port", "0"], folder, environment)
        )
        address = _said(master, re.compile(r"(spark://\S+:\d+)"))
        arguments = ["--host", "127.0.0.1", "--cores", str(cores), "--memory", memory]
        started = [
            stack.enter_context(
                _running(
                    f"worker-{number}",
                    ["worker.Worker", *arguments, "--work-dir", str(folder / f"worker-{number}"), address],
                    folder,
                    environment,
                )
            )
            for number in range(1, workers + 1)
        ]
        for worker in started:
            _said(worker, re.compile("(Successfully registered with master)"))
        yield address


@contextmanager
def _running(
    name: str, arguments: list[str], folder: Path, environment: dict[str, str]
) -> Iterator[tuple[subprocess.Popen[bytes], Path]]:
    log = folder / f"{name}.log"
    command = [str(files("pyspark") / "bin" / "spark-class"), *arguments]
    command[1] = f"org.apache.spark.deploy.{command[1]}"
    # port 0: a page for people, on whatever port is free
    command[2:2] = ["--webui-port", "0"]
    with (
        log.open("wb") as file,
        subprocess.Popen(command, env=environment, stdout=file, stderr=subprocess.STDOUT) as process,  # noqa: S603
    ):
        try:
            yield process, log
        finally:
            process.terminate()


def _said(started: tuple[subprocess.Popen[bytes], Path], pattern: re.Pattern[str]) -> str:
    """What a process writes into its log once it is ready."""
    process, log = started
    give_up = monotonic() + START_SECONDS
    while not (found := pattern.search(log.read_text("utf-8", "replace"))):
        if process.poll() is not None or monotonic() > give_up:
            raise NoCluster(f"Spark did not start; see {log}, or name a cluster that runs with --master.")
        sleep(0.1)
    return found[1]
