"""The SQL models: builds the dbt project of `sql/` in the warehouse that was loaded, in this process."""

from __future__ import annotations

import json
import logging
import os
import sys
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager, redirect_stdout
from dataclasses import dataclass, field
from datetime import UTC, datetime
from hashlib import sha256
from io import StringIO
from itertools import count
from pathlib import Path
from time import monotonic
from typing import Any
from uuid import uuid4
from zoneinfo import available_timezones

import dlt
import yaml
from dlt.common.configuration.exceptions import ConfigurationException
from dlt.destinations.sql_client import SqlClientBase

from wistia_source.endpoints import ENDPOINTS, RECORDS, Column
from wistia_source.errors import WistiaError
from wistia_source.rows import LOAD_ID, all_columns
from wistia_source.warehouse import connected
from wistia_source.windows import DEEP_EVERY

from ..runtime.files import replaced_when_whole
from ..runtime.settings import packaged
from ..warehouses import destination_of
from ..warehouses.base import BY_SPARK, MODELLED, Profile
from ..warehouses.failures import explain, on_one_line
from ..warehouses.run_log import RunLog, create_table, make_log_tables
from ..warehouses.schemas import model_schemas

BUSY_ATTEMPTS = 5
MODELS = "models"
"""What the run log calls the building of the SQL models."""
_ROLLUPS_AGREE = "assert_rollups_agree"
"""The data test that sees what incremental builds cannot: rows that are gone."""
_SETTINGS = "wistia_pipeline.models"
BUILT_FROM = "_models_built_from"
"""A table of one row in the raw schema: the build knows by it whether what is there is outdated."""
_BUILT_FROM_COLUMNS = (
    Column("fingerprint", "text", "Of the SQL and its vars."),
    Column("tested_at", "timestamp", "When all data tests last ran (UTC)."),
)


class ModelsFailed(WistiaError):
    """dbt could not begin."""


@dataclass
class ModelsResult:
    """What a build of the models came to."""

    built: int = 0
    """Models built."""
    tests: int = 0
    """Data tests that hold."""
    failures: list[dict[str, str]] = field(default_factory=list)
    """What failed: `kind` (model or test), `name`, `error`."""
    skipped: list[str] = field(default_factory=list)
    """Models and tests that were left out because of these."""
    seconds: float = 0.0

    def as_log(self) -> dict[str, Any]:
        """The row of `sync_runs`."""
        failed = [failure["name"] for failure in self.failures]
        return {
            "resource": MODELS,
            "status": "partial" if failed else "ok",
            "seconds": self.seconds,
            "failures": len(failed),
            "error": ", ".join(failed) or None,
        }

    def __str__(self) -> str:
        return f"{self.built} models built, {self.tests} data tests hold ({self.seconds:.1f} s)"


def model_var(name: str) -> Any:
    """The value of a var of the dbt project, named without its prefix. Raises `ModelsFailed` where they are wrong."""
    return _vars().get(f"wistia_{name}", _default_vars()[name])


def rebuild(pipeline: dlt.Pipeline, *, full_refresh: bool = False) -> ModelsResult:
    """As `build_models`, while nobody else loads, and noted in the run log.

    Raises `ModelsFailed` where there is nothing to build on.
    """
    _require_data(pipeline)
    log = RunLog(pipeline, uuid4().hex, MODELS)
    with destination_of(pipeline).held(MODELS) as hold, hold.alone():
        result = build_models(pipeline, full_refresh=full_refresh)
        with connected(pipeline) as client:
            make_log_tables(client)
        # only its end: what is under way would be taken for a load, and one that was killed is for the next sync to see
        log.end([result.as_log()], [])
    return result


def write_docs(pipeline: dlt.Pipeline, output: Path) -> None:
    """Writes dbt's documentation site of the models as one page. Raises `ModelsFailed` or `OutputUnusable`."""
    _require_data(pipeline)
    with replaced_when_whole(output) as whole:
        with destination_of(pipeline).held(MODELS) as hold, hold.alone():
            run_dbt(pipeline, ["docs", "generate", "--static"])
        folder = _folder(pipeline)
        page = (folder / "target" / "static_index.html").read_text("utf-8")
        # dbt names where it compiled each model; the page is to be shown to others
        whole.write_text(page.replace(str(folder), ""), "utf-8")


def require_settings() -> None:
    """Raises `ModelsFailed` where the models have a setting that cannot work."""
    _vars()


def _require_data(pipeline: dlt.Pipeline) -> None:
    destination = destination_of(pipeline)
    if not destination.adapter:
        raise ModelsFailed(f"The models are written for {MODELLED}, not for {destination.kind}; {BY_SPARK}.")
    if not destination.is_loaded:
        raise ModelsFailed("There is nothing to build models on yet; run wistia-pipeline sync first.")


def build_models(pipeline: dlt.Pipeline, *, full_refresh: bool = False, attempts: int = BUSY_ATTEMPTS) -> ModelsResult:
    """Builds the models and runs their data tests; what fails costs the data nothing.

    Views that are there stay as they are: Postgres would drop with them whatever a user has built on them. After a
    change of the models or their vars all is built anew, and where a test shows that rows were deleted from what was
    loaded. Once a day, and until they hold, all tests run; in between those of what is new, as the others cost the more
    the longer the history is. Where another program is in the way, a build is tried so many times.
    """
    started, result = monotonic(), ModelsResult()
    try:
        _build(pipeline, result, full_refresh, attempts)
    except (ModelsFailed, ConfigurationException) as error:
        result.failures.append({"kind": "project", "name": "wistia", "error": explain(error)})
    result.seconds = round(monotonic() - started, 3)
    return result


def _build(pipeline: dlt.Pipeline, result: ModelsResult, full_refresh: bool, attempts: int) -> None:
    fingerprint = _fingerprint()
    with connected(pipeline) as client:
        _make_missing_tables(client)
        known, tested_at = _built_from(client)
        is_complete = model_names() <= _relations(client)
    destination_of(pipeline).index_for_models()
    # a table that is made anew counts its builds from the first: those on top could take it for one that they know
    is_hourly = is_complete and known == fingerprint and not full_refresh
    is_tested = is_hourly and tested_at is not None and datetime.now(UTC) - tested_at < DEEP_EVERY
    # the files that describe a build are for other programs, and take longer to write than an hourly build
    command = ["build", "--no-write-json", "--exclude-resource-type", "unit_test"]
    whole = [*command, "--full-refresh"]
    if is_hourly:
        command += ["--select", "config.materialized:incremental", "tag:hourly" if is_tested else "resource_type:test"]
        # otherwise a model takes all its tests along
        command += ["--indirect-selection", "empty"]
    nodes = _run_until_free(pipeline, command if is_hourly else whole, attempts)
    if is_hourly and any(node.node.name == _ROLLUPS_AGREE and node.status == "fail" for node in nodes):
        nodes = _run_until_free(pipeline, whole, attempts)
    note(nodes, result)
    if not any(failure["kind"] != "test" for failure in result.failures):
        if result.failures:
            tested_at = None
        elif not is_tested:
            tested_at = datetime.now(UTC)
        with connected(pipeline) as client:
            _note_built_from(client, fingerprint, tested_at)


def note(nodes: Iterable[Any], result: ModelsResult) -> None:
    """Notes in the result what dbt has built and tested."""
    for node in nodes:
        kind, name = str(node.node.resource_type), node.node.name
        if node.status in ("success", "pass", "warn"):
            result.built += kind == "model"
            result.tests += kind == "test"
        elif node.status == "skipped":
            result.skipped.append(name)
        else:
            result.failures.append({"kind": kind, "name": name, "error": on_one_line(str(node.message))})


def _run_until_free(pipeline: dlt.Pipeline, command: list[str], attempts: int) -> Sequence[Any]:
    """The results of what a dbt command builds; tried again while another program is in the way."""
    destination = destination_of(pipeline)
    for attempt in count(1):
        nodes: Sequence[Any] = run_dbt(pipeline, command).result
        if attempt == attempts or not any(destination.is_busy(str(node.message)) for node in nodes):
            break
    return nodes


def _vars() -> dict[str, Any]:
    """The vars of the dbt project that are set under `[wistia_pipeline.models]`. Raises `ModelsFailed`."""
    defaults = _default_vars()
    if unknown := sorted((dlt.config.get(_SETTINGS, dict) or {}).keys() - defaults.keys()):
        there_are = ", ".join(defaults)
        raise ModelsFailed(f"The models have no setting {', '.join(unknown)}; they have {there_are}.")
    chosen = {name: dlt.config.get(f"{_SETTINGS}.{name}", type(default)) for name, default in defaults.items()}
    if (zone := chosen["timezone"] or "UTC") not in available_timezones():
        raise ModelsFailed(f"The models' timezone is {zone!r}, which is none; set one such as 'Europe/Berlin'.")
    return {f"wistia_{name}": value for name, value in chosen.items() if value is not None}


def _default_vars() -> dict[str, Any]:
    """The vars that a user may set, without their common prefix."""
    project = yaml.safe_load((packaged("sql") / "dbt_project.yml").read_text("utf-8"))
    defaults = {name.removeprefix("wistia_"): value for name, value in project["vars"]["wistia"].items()}
    del defaults["schema"]
    return defaults


def _fingerprint() -> str:
    """What the models are made from: a change of it makes what they have built outdated."""
    sql = packaged("sql")
    files = sorted(path for path in sql.rglob("*.sql") if path.relative_to(sql).parts[0] in ("models", "macros"))
    texts = [path.read_bytes() for path in (*files, sql / "dbt_project.yml")]
    return sha256(b"".join([*texts, json.dumps(_vars(), sort_keys=True).encode()])).hexdigest()


def has_built(pipeline: dlt.Pipeline) -> bool:
    """Whether models were built in the warehouse."""
    if not destination_of(pipeline).adapter:
        return False
    with connected(pipeline) as client:
        return bool(_relations(client) & model_names())


def model_names() -> set[str]:
    """The names of all models."""
    return {path.stem for path in (packaged("sql") / "models").rglob("*.sql")}


def _relations(client: SqlClientBase[Any]) -> set[str]:
    """Tables and views in the schemas of the models."""
    rows = client.execute_sql(
        "select table_name from information_schema.tables where table_schema in (%s, %s, %s)",
        *model_schemas(client.dataset_name),
    )
    return {name for (name,) in rows or ()}


def _make_missing_tables(client: SqlClientBase[Any]) -> None:
    """Makes the tables of resources that were never selected: the models know them all."""
    load_id = Column(LOAD_ID, "text", "")
    for endpoint in ENDPOINTS:
        for table in (endpoint, *endpoint.children):
            create_table(client, table.name, [*all_columns(table), load_id])
    for table in RECORDS:
        create_table(client, table.name, [*all_columns(table), load_id])
    make_log_tables(client)
    create_table(client, BUILT_FROM, _BUILT_FROM_COLUMNS)


def _built_from(client: SqlClientBase[Any]) -> tuple[str | None, datetime | None]:
    """The fingerprint of what the models in the warehouse were built from, and when all tests ran; null before."""
    table = client.make_qualified_table_name(BUILT_FROM)
    rows = client.execute_sql(f"select fingerprint, tested_at from {table}")  # noqa: S608
    return tuple(rows[0]) if rows else (None, None)


def _note_built_from(client: SqlClientBase[Any], fingerprint: str, tested_at: datetime | None) -> None:
    name = client.make_qualified_table_name(BUILT_FROM)
    with client.begin_transaction():
        client.execute_sql(f"delete from {name}")  # noqa: S608
        client.execute_sql(
            f"insert into {name} (fingerprint, tested_at) values (%s, %s)",  # noqa: S608
            *(fingerprint, tested_at),
        )


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

    folder = _folder(pipeline)
    folder.mkdir(parents=True, exist_ok=True)
    profile = profile or destination_of(pipeline).profile()
    output = profile.output | {"schema": model_schemas(pipeline.dataset_name)[0]}
    (folder / "profiles.yml").write_text(
        json.dumps({"wistia": {"target": "warehouse", "outputs": {"warehouse": output}}}), "utf-8"
    )
    arguments = [
        *command,
        *("--project-dir", str(project or packaged("sql"))),
        *("--profiles-dir", str(folder)),
        *("--target-path", str(folder / "target")),
        *("--log-path", str(folder / "logs")),
        *(
            "--vars",
            json.dumps({"wistia_schema": pipeline.dataset_name, **(_vars() if variables is None else variables)}),
        ),
    ]
    quiet = ["--quiet", "--no-send-anonymous-usage-stats", "--no-version-check", "--no-use-colors", "--no-print"]
    # all that dbt does, word by word, takes a tenth of a build to note; what it runs is in its target folder
    quiet += ["--log-level-file", "info"]
    with _environment(profile.secrets), _silent(), _nameless():
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


def _folder(pipeline: dlt.Pipeline) -> Path:
    """Where dbt keeps what it has parsed, and its logs."""
    return Path(pipeline.pipelines_dir) / "dbt"


@contextmanager
def _environment(wanted: Mapping[str, str]) -> Iterator[None]:
    """Without what the user has set for another dbt project: a target, a profile, a full refresh."""
    before = {name: value for name, value in os.environ.items() if name.startswith("DBT_")}
    for name in before:
        del os.environ[name]
    os.environ.update(wanted)
    try:
        yield
    finally:
        for name in wanted:
            del os.environ[name]
        os.environ.update(before)


@contextmanager
def _nameless() -> Iterator[None]:
    """dbt logs what the process was called with, which may be who is to be forgotten."""
    arguments, sys.argv = sys.argv, sys.argv[:1]
    try:
        yield
    finally:
        sys.argv = arguments


@contextmanager
def _silent() -> Iterator[None]:
    """dbt writes to standard output and sets up logging; both are ours."""
    handlers = logging.root.handlers[:]
    with redirect_stdout(StringIO()):
        yield
    logging.root.handlers[:] = handlers
