"""The examples of schedulers in the documentation, as they stand there: each runs the command and heeds its exit code.

Cron's line runs the real command; the others run one that ends with the code they are to heed, as it is their own part
that is tested here: those of the orchestrators with the orchestrator itself, from the package index.
"""

from __future__ import annotations

import ast
import configparser
import json
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
import yaml
from wistia_pipeline.cli.options import EXIT_FAILED, EXIT_PARTIAL
from wistia_pipeline.sandbox import Account, Sandbox

from tests.support.folder import COMMAND, empty_folder
from tests.support.pages import blocks
from tests.support.sandbox import TOKEN

SERVICE, TIMER = "/etc/systemd/system/wistia.service", "/etc/systemd/system/wistia.timer"
PLACE = "/srv/wistia"


def example(file: str) -> str:
    """The block whose first line names the file."""
    languages = ("crontab", "ini", "yaml", "python")
    every = [block.text for language in languages for block in blocks(language, "docs/scheduling.md")]
    (found,) = [text for text in every if text.startswith(f"# {file}\n")]
    return found


@dataclass
class Place:
    """A folder in the stead of the one that the examples name."""

    path: Path

    @property
    def command(self) -> Path:
        """The command in it."""
        return self.path / ".venv" / "bin" / "wistia-pipeline"

    def install(self, shell: str) -> None:
        """Makes the command a script of the shell."""
        self.command.write_text(f"#!/bin/sh\n{shell}\n", encoding="utf-8")
        self.command.chmod(0o755)

    def with_code(self) -> None:
        """Makes it end with the code in the environment, and note how it was called."""
        self.install(f'echo "$(pwd) $*" >> {self.path}/calls\nexit "$CODE"')

    def example(self, file: str) -> str:
        """An example that is about this folder."""
        return example(file).replace(PLACE, str(self.path))

    @property
    def calls(self) -> list[str]:
        """How the command was called, and where."""
        return (self.path / "calls").read_text(encoding="utf-8").splitlines()


@pytest.fixture
def place(tmp_path: Path) -> Place:
    """A folder with no command yet."""
    made = Place(tmp_path / "place")
    made.command.parent.mkdir(parents=True)
    return made


def fires_hourly(schedule: str) -> bool:
    """Whether five fields of cron mean once an hour, and not on the hour, when everybody comes."""
    minute, *others = schedule.split()
    return minute.isdigit() and 0 < int(minute) < 60 and others == ["*"] * 4


@pytest.fixture
def sandbox() -> Iterator[Sandbox]:
    """A small account, at the time of the clock, which commands go by."""
    account = Account(seed=9, start=datetime.now(UTC), medias=3, projects=1, visitors=5, events=20, days=10)
    with Sandbox(account, rate_limit=None, token=TOKEN) as server:
        yield server


@pytest.mark.slow
def test_cron_logs_and_mails_only_what_has_failed(sandbox: Sandbox, place: Place, tmp_path: Path) -> None:
    schedule, command = re.fullmatch(r"# .+\n((?:\S+ ){5})(.+)\n", place.example("crontab -e")).groups()  # type: ignore[union-attr]
    assert fires_hourly(schedule)
    # cron would take it for a line break
    assert "%" not in command
    environment = empty_folder(tmp_path / "user", sandbox, datetime.now(UTC)).environment()

    def mailed(**settings: str) -> str:
        done = subprocess.run(
            ["/bin/sh", "-c", command],
            env=environment | settings,
            cwd="/",
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )
        return done.stdout + done.stderr

    log = place.path / "sync.log"
    place.install(f'exec {COMMAND} "$@" --no-models')
    assert not mailed()
    assert "all (ok)" in (first := log.read_text(encoding="utf-8"))
    assert (place.path / "warehouse.duckdb").exists()
    place.install('echo "It says $CODE." >&2; exit "$CODE"')
    assert not mailed(CODE=str(EXIT_PARTIAL))
    assert log.read_text(encoding="utf-8") == f"{first}It says 3.\n"
    assert mailed(CODE=str(EXIT_FAILED)).endswith("It says 3.\nIt says 1.\n")


def test_systemd_runs_it_hourly_and_takes_3_for_a_success(place: Place) -> None:
    service, timer = (configparser.ConfigParser(interpolation=None) for _ in range(2))
    for parser, file in ((service, SERVICE), (timer, TIMER)):
        parser.optionxform = str  # type: ignore[method-assign, assignment]
        parser.read_string(place.example(file))
    assert dict(service["Service"]) == {
        "Type": "oneshot",
        "WorkingDirectory": str(place.path),
        "EnvironmentFile": f"-{place.path}/wistia.env",
        "ExecStart": f"{place.command} sync",
        "SuccessExitStatus": str(EXIT_PARTIAL),
    }
    assert timer["Timer"]["OnCalendar"] == "hourly"
    assert timer["Timer"]["Persistent"] == "true"
    assert Path(SERVICE).stem == Path(TIMER).stem


@pytest.mark.skipif(shutil.which("systemd-analyze") is None, reason="no systemd on this machine")
def test_systemd_understands_every_line(place: Place) -> None:
    place.with_code()
    units = [place.path / Path(file).name for file in (SERVICE, TIMER)]
    for unit, file in zip(units, (SERVICE, TIMER), strict=True):
        unit.write_text(place.example(file), encoding="utf-8")
    done = subprocess.run(
        ["systemd-analyze", "verify", "--man=no", *units], capture_output=True, text=True, timeout=60, check=False
    )
    assert (done.returncode, done.stdout + done.stderr) == (0, "")


def test_github_actions_warns_of_3_and_fails_with_1(place: Place) -> None:
    # yaml takes the key `on` for true
    workflow = yaml.safe_load(place.example(".github/workflows/wistia.yml").replace("\non:", '\n"on":'))
    assert fires_hourly(workflow["on"]["schedule"][0]["cron"])
    assert workflow["concurrency"]
    steps = workflow["jobs"]["sync"]["steps"]
    assert [step["run"] for step in steps if "pip " in step.get("run", "")] == ["pip install '.[postgres]'"]
    last = steps[-1]
    assert last["env"].keys() == {"SOURCES__WISTIA__ACCESS_TOKEN", "DESTINATION__POSTGRES__CREDENTIALS"}
    assert all(re.fullmatch(r"\$\{\{ secrets\.\w+ \}\}", value) for value in last["env"].values())
    place.with_code()
    path = f"{place.command.parent}{os.pathsep}{os.environ['PATH']}"
    ended = {}
    for code in (0, EXIT_FAILED, EXIT_PARTIAL):
        done = subprocess.run(
            # as GitHub runs it
            ["bash", "-e", "-c", last["run"]],
            env={"PATH": path, "CODE": str(code)},
            cwd=place.path,
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )
        ended[code] = done.returncode, done.stdout.startswith("::warning::")
    assert ended == {0: (0, False), EXIT_FAILED: (1, False), EXIT_PARTIAL: (0, True)}
    assert place.calls == [f"{place.path} sync --destination postgres"] * 3


def constants(code: str) -> list[Any]:
    """The literals of a file of Python."""
    return [node.value for node in ast.walk(ast.parse(code)) if isinstance(node, ast.Constant)]


@pytest.mark.parametrize("file", ["dags/wistia.py", "wistia_dagster.py", "wistia_prefect.py"])
def test_files_of_orchestrators_run_the_command_hourly(place: Place, file: str) -> None:
    """Whether these do what the command's exit codes ask for is tried with the orchestrators themselves."""
    text = place.example(file)
    assert any(isinstance(value, str) and value.count(" ") == 4 and fires_hourly(value) for value in constants(text))
    assert "wistia-pipeline" in text


@pytest.mark.parametrize("file", ["wistia_dagster.py", "wistia_prefect.py"])
def test_dagster_and_prefect_compare_with_the_exit_code_of_a_partial_load(place: Place, file: str) -> None:
    assert EXIT_PARTIAL in [
        node.value for node in ast.walk(ast.parse(place.example(file))) if isinstance(node, ast.Constant)
    ]


def test_the_command_line_of_airflow_fails_with_1_alone(place: Place) -> None:
    place.with_code()
    words = [node for node in ast.walk(ast.parse(place.example("dags/wistia.py"))) if isinstance(node, ast.keyword)]
    (command,) = [ast.literal_eval(word.value) for word in words if word.arg == "bash_command"]
    ended = {
        code: subprocess.run(
            ["bash", "-c", command], env=os.environ | {"CODE": str(code)}, cwd=place.path, timeout=60, check=False
        ).returncode
        for code in (0, EXIT_FAILED, EXIT_PARTIAL)
    }
    assert ended == {0: 0, EXIT_FAILED: 1, EXIT_PARTIAL: 0}
    assert place.calls == [f"{place.path} sync"] * 3


AIRFLOW = """
import json, os, sys
from pathlib import Path
from airflow.dag_processing.dagbag import DagBag

bag = DagBag(Path(sys.argv[1]).parent)
assert not bag.import_errors, bag.import_errors
dag = bag.dags["wistia"]
task, = dag.tasks
ended = {}
for code in (0, 1, 3):
    os.environ["CODE"] = str(code)
    try:
        task.execute({})
        ended[code] = "success"
    except Exception as error:
        ended[code] = type(error).__name__
print(json.dumps({"schedule": dag.schedule, "catchup": dag.catchup, "at_once": dag.max_active_runs,
                  "retries": task.retries, "delay": task.retry_delay.total_seconds(), "ended": ended}))
"""

DAGSTER = """
import json, os, runpy, sys
import dagster

module = runpy.run_path(sys.argv[1])
wistia, definitions = module["wistia"], module["defs"]
schedule = definitions.resolve_schedule_def("wistia_hourly")
keys = [key.to_user_string() for key in definitions.resolve_asset_graph().get_all_asset_keys()]
policy = wistia.op.retry_policy
ended = {}
for code in (0, 1, 3):
    os.environ["CODE"] = str(code)
    run = dagster.materialize([wistia], raise_on_error=False)
    checks = [[check.passed, check.severity.value] for check in run.get_asset_check_evaluations()]
    ended[code] = [run.success, checks]
print(json.dumps({"schedule": schedule.cron_schedule, "assets": keys, "retries": policy.max_retries, "ended": ended}))
"""

PREFECT = """
import json, os, runpy, sys
from unittest.mock import patch
from prefect import Flow
from prefect.testing.utilities import prefect_test_harness

with patch.object(Flow, "serve", autospec=True) as serve:
    flow = runpy.run_path(sys.argv[1], run_name="__main__")["wistia"]
ended = {}
with prefect_test_harness(server_startup_timeout=200):
    for code in (0, 1, 3):
        os.environ["CODE"] = str(code)
        state = flow(return_state=True)
        ended[code] = [state.type.value, state.name]
print(json.dumps({**serve.call_args.kwargs, "retries": flow.retries, "ended": ended}))
"""


def orchestrate(place: Place, file: str, waits: tuple[str, str], program: str, *packages: str) -> dict[str, Any]:
    """What the program says of an example, in an environment with the packages and without any of ours.

    `waits` is where the example waits before it tries again, and how not to.
    """
    uv = os.environ.get("UV") or shutil.which("uv")
    assert uv, "run the tests with uv run pytest"
    place.with_code()
    text = place.example(file)
    assert waits[0] in text
    script = place.path / file
    script.parent.mkdir(exist_ok=True)
    script.write_text(text.replace(*waits), encoding="utf-8")
    home = place.path / "home"
    home.mkdir()
    # of the user's: where uv keeps packages, and how it reaches an index
    environment = {name: value for name, value in os.environ.items() if name != "VIRTUAL_ENV"}
    environment |= {"AIRFLOW_HOME": str(home), "DAGSTER_HOME": str(home), "PREFECT_HOME": str(home)}
    environment |= {"DO_NOT_TRACK": "1", "SCARF_ANALYTICS": "false", "PREFECT_SERVER_ANALYTICS_ENABLED": "false"}
    wanted = [word for package in packages for word in ("--with", package)]
    done = subprocess.run(
        [uv, "run", "--isolated", "--no-project", "--python", sys.executable, *wanted, "-", str(script)],
        input=program,
        env=environment,
        cwd=place.path,
        capture_output=True,
        text=True,
        timeout=850,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    told: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return told


@pytest.mark.deep
@pytest.mark.timeout(900)
def test_airflow_tries_again_after_1_only(place: Place) -> None:
    told = orchestrate(place, "dags/wistia.py", ("catchup=False", "catchup=False"), AIRFLOW, "apache-airflow>=3.1,<4")
    assert fires_hourly(told.pop("schedule"))
    assert told == {
        "catchup": False,
        "at_once": 1,
        "retries": 2,
        "delay": 300.0,
        "ended": {"0": "success", "1": "AirflowException", "3": "success"},
    }
    assert place.calls == [f"{place.path} sync"] * 3


@pytest.mark.deep
@pytest.mark.timeout(900)
def test_dagster_tries_again_after_1_and_warns_of_3(place: Place) -> None:
    told = orchestrate(place, "wistia_dagster.py", ("delay=300", "delay=0"), DAGSTER, "dagster>=1.11,<2")
    assert fires_hourly(told.pop("schedule"))
    assert told == {
        "assets": ["wistia"],
        "retries": 2,
        "ended": {"0": [True, [[True, "WARN"]]], "1": [False, []], "3": [True, [[False, "WARN"]]]},
    }
    assert place.calls == [f"{place.path} sync"] * (1 + 3 + 1)


@pytest.mark.deep
@pytest.mark.timeout(900)
def test_prefect_tries_again_after_1_and_names_3(place: Place) -> None:
    told = orchestrate(
        place,
        "wistia_prefect.py",
        ("retry_delay_seconds=300", "retry_delay_seconds=0"),
        PREFECT,
        "prefect>=3.4,<4",
        # Prefect 3.8's own server does not start with later ones
        "fastapi<0.120",
    )
    assert fires_hourly(told.pop("cron"))
    assert told == {
        "name": "hourly",
        "limit": 1,
        "retries": 2,
        "ended": {"0": ["COMPLETED", "Completed"], "1": ["FAILED", "Failed"], "3": ["COMPLETED", "Partial"]},
    }
    assert place.calls == [f"{place.path} sync"] * (1 + 3 + 1)
