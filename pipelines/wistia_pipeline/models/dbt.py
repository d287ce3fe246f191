"""Runs dbt in this process: the user's own dbt settings do not apply, and its log never shows the command line."""

import json
import logging
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, redirect_stdout
from io import StringIO
from pathlib import Path
from typing import Any

import dlt

from ..runtime.environment import environment
from ..runtime.redaction import on_one_line
from ..runtime.settings import packaged
from ..warehouses.base import Profile
from ..warehouses.kinds import destination_of
from ..warehouses.schemas import model_schemas
from .settings import ModelsFailed, model_vars


def run_dbt(
    pipeline: dlt.Pipeline,
    command: list[str],
    profile: Profile | None = None,
    project: Path | None = None,
    variables: Mapping[str, Any] | None = None,
) -> Any:
    """Runs a dbt command on the pipeline's warehouse, or where a profile says; its result.

    By default of our own project with the vars that are set. Raises `ModelsFailed` where it cannot begin.
    """
    # imported here: it takes two seconds, and not every command needs it
    from dbt.adapters.duckdb.connections import DuckDBConnectionManager
    from dbt.cli.main import dbtRunner

    folder = folder_of(pipeline)
    folder.mkdir(parents=True, exist_ok=True)
    output, secrets = profile or destination_of(pipeline).profile()
    output = output | {"schema": model_schemas(pipeline.dataset_name)[0]}
    (folder / "profiles.yml").write_text(
        json.dumps({"wistia": {"target": "warehouse", "outputs": {"warehouse": output}}}), "utf-8"
    )
    chosen = model_vars() if variables is None else variables
    options = {
        "project-dir": project or packaged("sql"),
        "profiles-dir": folder,
        "target-path": folder / "target",
        "log-path": folder / "logs",
        "vars": json.dumps({"wistia_schema": pipeline.dataset_name, **chosen}),
    }
    arguments = [*command, *(f"--{name}={value}" for name, value in options.items())]
    quiet = ["--quiet", "--no-send-anonymous-usage-stats", "--no-version-check", "--no-use-colors", "--no-print"]
    # a target, a profile or a full refresh that the user has set is for another dbt project
    with environment(secrets, without="DBT_"), _discreet():
        try:
            answer = dbtRunner().invoke([*quiet, *arguments])
        finally:
            # dbt keeps the file open, and so locked, until the process ends
            DuckDBConnectionManager.close_all_connections()  # type: ignore[no-untyped-call]
    if isinstance(answer.exception, KeyboardInterrupt):
        raise answer.exception
    if answer.exception:
        text = str(answer.exception)
        known = destination_of(pipeline).known_error(text)
        raise ModelsFailed(str(known or f"The models cannot be built: {on_one_line(text)}"))
    return answer


def folder_of(pipeline: dlt.Pipeline) -> Path:
    """Where dbt keeps what it has parsed, and its logs."""
    return Path(pipeline.pipelines_dir) / "dbt"


@contextmanager
def _discreet() -> Iterator[None]:
    """Keeps dbt from printing, changing our logging, and logging the command line, which may name a person."""
    handlers, arguments = logging.root.handlers[:], sys.argv
    sys.argv = arguments[:1]
    try:
        with redirect_stdout(StringIO()):
            yield
    finally:
        sys.argv = arguments
        logging.root.handlers[:] = handlers
