"""A session of Spark: its noise goes to a log, and it ends with what is done in it."""

from __future__ import annotations

import logging
import os
import re
import shutil
import socket
import subprocess
import threading
import warnings
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass, field
from importlib import import_module
from importlib.resources import files
from pathlib import Path
from secrets import token_hex
from typing import Any

from wistia_source.errors import SettingInvalid, WistiaError

from ...runtime.settings import setting
from ...runtime.signals import stopped_by_signals
from .cluster import NoCluster, cluster
from .java import java_home

FORCED = {
    # days are those of UTC wherever the driver is
    "spark.sql.session.timeZone": "UTC",
    # an impossible value ends the build, as it does elsewhere, and is no null
    "spark.sql.ansi.enabled": "true",
    "spark.sql.parquet.outputTimestampType": "TIMESTAMP_MICROS",
    "spark.sql.sources.default": "parquet",
    # the tables of a build are known to it alone
    "spark.sql.catalogImplementation": "in-memory",
}
"""What the models rely on."""
DEFAULTS = {
    # the driver plans many small queries, and runs none: code that becomes fast later costs it half of the time
    "spark.driver.extraJavaOptions": "-XX:TieredStopAtLevel=1",
    "spark.ui.enabled": "false",
    "spark.ui.showConsoleProgress": "false",
}
CONNECT_SECONDS = 10
END_SECONDS = 20
LONGEST_REASON = 300


class SparkFailed(WistiaError):
    """Spark has ended, or cannot do what it was asked."""


@dataclass(frozen=True)
class SparkBuild:
    """On what the models are built."""

    master: str | None = None
    """The address of a cluster that runs, or `local[2]`; without it one is started on this machine."""
    workers: int = 2
    cores: int = 1
    memory: str = "1g"
    """The workers of that one, and what each has."""
    settings: Mapping[str, str] = field(default_factory=dict)
    """More settings of Spark, such as the packages of an object storage."""

    def __post_init__(self) -> None:
        for name, value in FORCED.items():
            if name in self.settings:
                raise SettingInvalid(f"{name} cannot be set: the models rely on {value}.")
        if "spark.master" in self.settings:
            raise SettingInvalid("spark.master cannot be set; name the cluster with --master.")


@contextmanager
def spark_session(how: SparkBuild, folder: Path, private: Mapping[str, str]) -> Iterator[Any]:
    """A session; its logs are in the folder. `private` are settings that are not shown to other users of the machine.

    Raises `NoJava`, `NoCluster`, `SparkFailed` and `MissingDependencyException`.
    """
    from pyspark import SparkConf, SparkContext
    from pyspark.errors import PySparkException
    from pyspark.sql import SparkSession

    # without types
    py4j, launch = import_module("py4j.protocol"), import_module("pyspark.java_gateway").launch_gateway
    scratch = folder / "scratch"
    # what a build has left that was killed, and the logs of the last one
    for old in (scratch, *folder.glob("worker-*/")):
        shutil.rmtree(old, ignore_errors=True)
    for log in folder.glob("*.log"):
        log.unlink()
    scratch.mkdir(parents=True)
    environment = {
        "JAVA_HOME": java_home(folder),
        # not another Spark of this machine
        "SPARK_HOME": str(files("pyspark")),
        "SPARK_LOCAL_DIRS": str(scratch),
    }
    settings = {**DEFAULTS, "spark.sql.warehouse.dir": scratch.as_uri(), **how.settings, **FORCED}
    with ExitStack() as stack:
        stack.enter_context(_unheard())
        if how.master is None:
            # without a secret, whoever is on this machine could have the workers run what they like
            secret = {"spark.authenticate": "true", "spark.authenticate.secret": token_hex()}
            stack.enter_context(_environment(environment | {"SPARK_LOCAL_IP": "127.0.0.1"}))
            master = stack.enter_context(cluster(how.workers, how.cores, how.memory, folder, secret))
            settings = {"spark.executor.memory": how.memory, **settings}
            private = {**private, **secret}
        else:
            stack.enter_context(_environment(environment))
            master = how.master
            _require_master(master)
        log = folder / "driver.log"
        output = stack.enter_context(log.open("wb"))
        try:
            conf = SparkConf(loadDefaults=False).setAll(list(settings.items()))
            own = {"stdout": output, "stderr": subprocess.STDOUT, "start_new_session": True}
            gateway = launch(conf, own)
            stack.callback(_end, gateway)
            context = SparkContext(master, "wistia", conf=SparkConf().setAll(list(private.items())), gateway=gateway)
        except (py4j.Py4JError, PySparkException, RuntimeError, TypeError) as error:
            raise NoCluster(f"Spark cannot begin on {master}: {reason(error)}; see {log}.") from error
        # Spark's own answer to Ctrl-C waits for what it is doing
        stack.enter_context(stopped_by_signals(first=gateway.proc.kill))
        try:
            spark = SparkSession(context)
            _require_executor(spark, master, log, setting("wistia_pipeline.spark_resources_seconds"))
            yield spark
        except py4j.Py4JNetworkError as error:
            raise SparkFailed(
                f"Spark has ended before the models were built, perhaps for lack of memory; see {log}."
            ) from error
        except (py4j.Py4JError, PySparkException) as error:
            raise SparkFailed(worded(error, log)) from error
        finally:
            with suppress(py4j.Py4JError, OSError), warnings.catch_warnings():
                # that it has ended already
                warnings.simplefilter("ignore")
                context.stop()


def worded(error: object, log: Path) -> str:
    """What Spark says, and what to do about it."""
    if re.search(r"ClassNotFoundException: Class \S+FileSystem not found|No FileSystem for scheme", str(error)):
        (hadoop,) = Path(str(files("pyspark"))).glob("jars/hadoop-client-api-*.jar")
        version = hadoop.stem.rpartition("-")[2]
        return (
            "Spark lacks the package of this storage; name it, for S3 with "
            f"--conf spark.jars.packages=org.apache.hadoop:hadoop-aws:{version}."
        )
    return f"Spark says: {reason(error)}; see {log}."


def reason(error: object) -> str:
    """What Spark says, without the places in its code."""
    lines = (line.strip() for line in str(error).splitlines())
    said = next(
        (line for line in lines if line and not line.startswith("An error occurred while calling")), "no details"
    )
    words = re.sub(r"^:? ?(?:[a-z]\w*\.)+\w+: ", "", said)
    return words if len(words) <= LONGEST_REASON else f"{words[:LONGEST_REASON]}..."


@contextmanager
def _unheard() -> Iterator[None]:
    """Without the log lines of which nobody has said where they are to go: one for each call that was stopped."""
    nowhere = logging.NullHandler()
    logging.root.addHandler(nowhere)
    try:
        yield
    finally:
        logging.root.removeHandler(nowhere)


@contextmanager
def _environment(wanted: Mapping[str, str]) -> Iterator[None]:
    before = {name: os.environ.get(name) for name in wanted}
    os.environ.update(wanted)
    try:
        yield
    finally:
        for name, value in before.items():
            if value is None:
                del os.environ[name]
            else:
                os.environ[name] = value


def _require_master(master: str) -> None:
    """Spark itself asks for a minute. Raises `NoCluster`."""
    if not master.startswith("spark://"):
        return
    refused = "no address"
    for address in master.removeprefix("spark://").split(","):
        host, _, port = address.rpartition(":")
        try:
            socket.create_connection((host.strip("[]"), int(port)), CONNECT_SECONDS).close()
            return
        except ValueError:
            refused = "the address is not of the form spark://host:7077"
        except OSError as error:
            refused = error.strerror or str(error)
    raise NoCluster(f"The master of Spark at {master} cannot be reached: {refused}; start it, or correct --master.")


def _require_executor(spark: Any, master: str, log: Path, seconds: float) -> None:
    """Raises `NoCluster` where nobody runs a first task in time: Spark itself would wait for ever."""
    done, late = threading.Event(), threading.Event()

    def give_up() -> None:
        wait = seconds
        while not done.wait(wait):
            late.set()
            # the task may only be about to ask
            spark.sparkContext.cancelAllJobs()
            wait = 1.0

    watch = threading.Thread(target=give_up, name="resources", daemon=True)
    watch.start()
    try:
        spark.range(1).collect()
    except Exception:
        if not late.is_set():
            raise
        raise NoCluster(
            f"No worker of {master} had cores and memory for this within {seconds:.0f} s; free some, or ask for "
            f"less, such as --conf spark.executor.memory=512m; see {log}."
        ) from None
    finally:
        done.set()
        watch.join()


def _end(gateway: Any) -> None:
    """Ends the Java process of the session."""
    from pyspark import SparkContext

    gateway.shutdown()
    # it takes that for the end of this process
    gateway.proc.stdin.close()
    try:
        gateway.proc.wait(END_SECONDS)
    except subprocess.TimeoutExpired:
        gateway.proc.kill()
        gateway.proc.wait()
    # another session of this process begins with one of its own
    SparkContext._gateway = SparkContext._jvm = None
