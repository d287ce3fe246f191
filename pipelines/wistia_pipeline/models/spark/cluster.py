"""A standalone cluster of Spark on this machine: a master and workers, each a process."""

from __future__ import annotations

import os
import re
import signal
import subprocess
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager, suppress
from importlib.resources import files
from pathlib import Path
from time import monotonic, sleep

from wistia_source.errors import WistiaError

START_SECONDS = 120
STOP_SECONDS = 20
DAEMON = {
    # all that they do is to keep account of one another: it need not become fast
    "SPARK_DAEMON_JAVA_OPTS": "-XX:TieredStopAtLevel=1 -XX:+UseSerialGC",
    "SPARK_LAUNCHER_OPTS": "-XX:TieredStopAtLevel=1 -XX:+UseSerialGC",
}
_UNTIL_LEFT_ALONE = """
exec 3<&0
"$@" < /dev/null 3<&- &
daemon=$!
{ cat <&3; kill $daemon; } > /dev/null 2>&1 &
watch=$!
wait $daemon
kill $watch
"""
"""Runs a command until its standard input is closed, as happens however the process ends that started it."""


class NoCluster(WistiaError):
    """The master or a worker did not start, or none that runs can be used."""


@contextmanager
def cluster(workers: int, cores: int, memory: str, folder: Path, settings: Mapping[str, str]) -> Iterator[str]:
    """The address of the master, while the context lasts; logs are in the folder.

    `cores` and `memory` (such as 2g) are each worker's, the settings those of Spark that all have, such as a secret.
    Raises `NoCluster`.
    """
    properties = folder / "cluster.conf"
    properties.unlink(missing_ok=True)
    # for nobody else to read
    with open(os.open(properties, os.O_CREAT | os.O_WRONLY, 0o600), "w", encoding="utf-8") as file:
        file.writelines(f"{name} {value}\n" for name, value in settings.items())
    shared = ["--host", "127.0.0.1", "--properties-file", str(properties), "--webui-port", "0"]
    with ExitStack() as stack:
        master = stack.enter_context(_running("master", ["master.Master", *shared, "--port", "0"], folder))
        address = _said(master, re.compile(r"(spark://\S+:\d+)"))
        arguments = [*shared, "--cores", str(cores), "--memory", memory]
        started = [
            stack.enter_context(
                _running(
                    f"worker-{number}",
                    ["worker.Worker", *arguments, "--work-dir", str(folder / f"worker-{number}"), address],
                    folder,
                )
            )
            for number in range(1, workers + 1)
        ]
        for worker in started:
            _said(worker, re.compile("(Successfully registered with master)"))
        yield address


@contextmanager
def _running(name: str, arguments: list[str], folder: Path) -> Iterator[tuple[subprocess.Popen[bytes], Path]]:
    log = folder / f"{name}.log"
    command = [str(files("pyspark") / "bin" / "spark-class"), f"org.apache.spark.deploy.{arguments[0]}", *arguments[1:]]
    with (
        log.open("wb") as file,
        subprocess.Popen(  # noqa: S603
            ["/bin/sh", "-c", _UNTIL_LEFT_ALONE, "sh", *command],
            env={**os.environ, **DAEMON},
            stdin=subprocess.PIPE,
            stdout=file,
            stderr=subprocess.STDOUT,
            # Ctrl-C is for the process that started it, which then ends it
            start_new_session=True,
        ) as process,
    ):
        try:
            yield process, log
        finally:
            assert process.stdin
            process.stdin.close()
            with suppress(subprocess.TimeoutExpired):
                process.wait(STOP_SECONDS)
            # a worker's executors are of its group, too
            with suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)


def _said(started: tuple[subprocess.Popen[bytes], Path], pattern: re.Pattern[str]) -> str:
    """What a process writes into its log once it is ready."""
    process, log = started
    give_up = monotonic() + START_SECONDS
    while not (found := pattern.search(log.read_text("utf-8", "replace"))):
        if process.poll() is not None or monotonic() > give_up:
            raise NoCluster(f"Spark did not start; see {log}, or name a cluster that runs with --master.")
        sleep(0.1)
    return found[1]
