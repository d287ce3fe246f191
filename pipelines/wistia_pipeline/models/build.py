"""Builds the SQL models: the dbt project of `sql/`, in the warehouse that was loaded."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from time import monotonic
from typing import Any
from uuid import uuid4

import dlt
from dlt.common.configuration.exceptions import ConfigurationException
from dlt.destinations.sql_client import SqlClientBase

from wistia_source.endpoints import TABLES, Column
from wistia_source.rows import LOAD_ID, all_columns
from wistia_source.warehouse import connected
from wistia_source.windows import DEEP_EVERY

from ..runtime.files import replaced_when_whole
from ..runtime.redaction import on_one_line
from ..warehouses.base import BY_SPARK
from ..warehouses.failures import explain
from ..warehouses.kinds import ALL_MODELLED, destination_of
from ..warehouses.run_log import RunLog, create_table, make_log_tables
from ..warehouses.schemas import model_schemas
from .dbt import folder_of, run_dbt
from .settings import ModelsFailed, fingerprint, model_names

MODELS = "models"
"""What the run log calls the building of the SQL models."""
BUILT_FROM = "_models_built_from"
"""A table of one row in the raw schema: the build knows by it whether what is there is outdated."""
_BUILT_FROM_COLUMNS = (
    Column("fingerprint", "text", "Of the SQL and its vars."),
    Column("tested_at", "timestamp", "When all data tests last ran (UTC)."),
)


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
        folder = folder_of(pipeline)
        page = (folder / "target" / "static_index.html").read_text("utf-8")
        # dbt names where it compiled each model; the page is to be shown to others
        whole.write_text(page.replace(str(folder), ""), "utf-8")


def _require_data(pipeline: dlt.Pipeline) -> None:
    destination = destination_of(pipeline)
    if not destination.adapter:
        raise ModelsFailed(f"The models are written for {ALL_MODELLED}, not for {destination.kind}; {BY_SPARK}.")
    if not destination.is_loaded:
        raise ModelsFailed("There is nothing to build models on yet; run wistia-pipeline sync first.")


def build_models(pipeline: dlt.Pipeline, *, full_refresh: bool = False, attempts: int = 5) -> ModelsResult:
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
    wanted = fingerprint()
    with connected(pipeline) as client:
        _make_missing_tables(client)
        known, tested_at = _built_from(client)
        is_complete = model_names() <= _relations(client)
    destination_of(pipeline).index_for_models()
    # a table that is made anew counts its builds from the first: those on top could take it for one that they know
    is_hourly = is_complete and known == wanted and not full_refresh
    is_tested = is_hourly and tested_at is not None and datetime.now(UTC) - tested_at < DEEP_EVERY
    # the files that describe a build are for other programs, and take longer to write than an hourly build
    command = ["build", "--no-write-json", "--exclude-resource-type", "unit_test"]
    whole = [*command, "--full-refresh"]
    if is_hourly:
        command += ["--select", "config.materialized:incremental", "tag:hourly" if is_tested else "resource_type:test"]
        # otherwise a model takes all its tests along
        command += ["--indirect-selection", "empty"]
    nodes = _run_until_free(pipeline, command if is_hourly else whole, attempts)
    # this test sees what incremental builds cannot: rows that are gone
    if is_hourly and any(node.node.name == "assert_rollups_agree" and node.status == "fail" for node in nodes):
        nodes = _run_until_free(pipeline, whole, attempts)
    note(nodes, result)
    if not any(failure["kind"] != "test" for failure in result.failures):
        if result.failures:
            tested_at = None
        elif not is_tested:
            tested_at = datetime.now(UTC)
        with connected(pipeline) as client:
            _note_built_from(client, wanted, tested_at)


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
    for _ in range(attempts):
        nodes: Sequence[Any] = run_dbt(pipeline, command).result
        if not any(destination.is_busy(str(node.message)) for node in nodes):
            break
    return nodes


def has_built(pipeline: dlt.Pipeline) -> bool:
    """Whether models were built in the warehouse."""
    if not destination_of(pipeline).adapter:
        return False
    with connected(pipeline) as client:
        return bool(_relations(client) & model_names())


def _relations(client: SqlClientBase[Any]) -> set[str]:
    """Tables and views in the schemas of the models."""
    rows = client.execute_sql(
        "select table_name from information_schema.tables where table_schema in (%s, %s, %s)",
        *model_schemas(client.dataset_name),
    )
    return {name for (name,) in rows or ()}


def _make_missing_tables(client: SqlClientBase[Any]) -> None:
    """Makes the tables of resources that were never selected: the models know them all."""
    for table in TABLES:
        create_table(client, table.name, [*all_columns(table), Column(LOAD_ID, "text", "")])
    make_log_tables(client)
    create_table(client, BUILT_FROM, _BUILT_FROM_COLUMNS)


def _built_from(client: SqlClientBase[Any]) -> tuple[str | None, datetime | None]:
    """The fingerprint of what the models in the warehouse were built from, and when all tests ran; null before."""
    table = client.make_qualified_table_name(BUILT_FROM)
    rows = client.execute_sql(f"select fingerprint, tested_at from {table}")  # noqa: S608
    return tuple(rows[0]) if rows else (None, None)


def _note_built_from(client: SqlClientBase[Any], made_from: str, tested_at: datetime | None) -> None:
    name = client.make_qualified_table_name(BUILT_FROM)
    with client.begin_transaction():
        client.execute_sql(f"delete from {name}")  # noqa: S608
        insert = f"insert into {name} (fingerprint, tested_at) values (%s, %s)"  # noqa: S608
        client.execute_sql(insert, made_from, tested_at)
