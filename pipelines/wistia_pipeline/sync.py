"""One incremental run: pending data first, then whatever is new."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from hashlib import sha256
from importlib import import_module
from pathlib import Path
from time import monotonic
from typing import Any, Literal

import dlt
from dlt.common.configuration.exceptions import ConfigurationValueError
from dlt.common.destination import Destination
from dlt.common.destination.client import DestinationClientConfiguration, DestinationClientDwhConfiguration
from dlt.common.destination.reference import TDestinationReferenceArg
from dlt.common.exceptions import MissingDependencyException
from dlt.extract import DltSource

from wistia_source import wistia
from wistia_source.endpoints import BY_NAME, COMPANIONS
from wistia_source.errors import RequestFailed, SettingInvalid

from .progress import Progress
from .writer import one_writer

DATASET = "wistia_raw"
PARQUET_DESTINATIONS = ("duckdb", "postgres")
"""Where batches travel as Parquet: on Postgres dlt's default, CSV, would turn "" into NULL."""


@dataclass
class SyncResult:
    """What one run came to."""

    status: Literal["ok", "partial", "failed"] = "ok"
    requests: int = 0
    seconds: float = 0.0
    resources: dict[str, dict[str, Any]] = field(default_factory=dict)
    """By resource: `rows` new or changed, `requests`, `retries`, `seconds`."""
    failures: list[dict[str, str]] = field(default_factory=list)
    """What could not be read: `resource`, `parent_id` (empty for all of the resource), `error`."""
    new_fields: list[str] = field(default_factory=list)
    """Fields that no release has declared and that came for the first time, as `resource.field`."""
    error: str | None = None


def make_pipeline(
    destination: TDestinationReferenceArg,
    progress: Progress,
    name: str = "wistia",
    pipelines_dir: str | None = None,
) -> dlt.Pipeline:
    """The pipeline that all commands share."""
    pipeline: dlt.Pipeline = dlt.pipeline(
        name,
        destination=destination,
        dataset_name=DATASET,
        progress=progress.collector,
        pipelines_dir=pipelines_dir or _working_folder(destination),
    )
    return pipeline


def _working_folder(destination: TDestinationReferenceArg) -> str:
    """A folder for each warehouse: data that still waits to be loaded must not end up in another one."""
    resolved = Destination.from_reference(destination)
    assert resolved is not None
    wanted = resolved.spec()
    if isinstance(wanted, DestinationClientDwhConfiguration):
        wanted.dataset_name = DATASET
    # what is missing is reported when the pipeline connects
    config = resolved.configuration(wanted, accept_partial=True)
    where = f"{resolved.destination_name} {_location(config)}"
    return str(Path(dlt.current.run_context().data_dir) / "wistia" / sha256(where.encode()).hexdigest()[:12])


def _location(config: DestinationClientConfiguration) -> str:
    try:
        return str(config.data_location())
    except ConfigurationValueError:
        return ""


def _checked(select: Sequence[str]) -> Sequence[str]:
    if unknown := [name for name in select if name not in BY_NAME]:
        raise SettingInvalid(f"There is no resource {', '.join(unknown)}; choose from {', '.join(BY_NAME)}.")
    return select


def run_sync(
    pipeline: dlt.Pipeline,
    progress: Progress,
    result: SyncResult,
    select: Sequence[str] = (),
    source_args: Mapping[str, Any] | None = None,
) -> None:
    """Loads what is new and fills `result`, also where it raises; nothing loaded before is touched then."""
    started = monotonic()
    file_format = _file_format(pipeline)
    source = wistia(**(source_args or {}))
    if _checked(select):
        source = source.with_resources(*select, *(companion.name for companion in COMPANIONS))
    progress.watch(source)
    try:
        with one_writer(pipeline):
            _load(pipeline, source, file_format)
        _raise_if_nothing_was_read(source)
        result.status = "partial" if _failures(source) else "ok"
    except BaseException:
        result.status = "failed"
        raise
    finally:
        result.seconds = round(monotonic() - started, 3)
        result.failures = _failures(source)
        result.new_fields = [
            f"{name}.{column}"
            for name, resource in source.resources.selected.items()
            for column in resource.custom_metrics.get("new_fields", ())
        ]
        result.resources = {name: _figures(source, name) for name in BY_NAME if name in source.resources.selected}
        result.requests = sum(figures["requests"] for figures in result.resources.values())


def _load(pipeline: dlt.Pipeline, source: DltSource, file_format: Any) -> None:
    if pipeline.has_pending_data:
        # a run that was killed while loading left its package: run() with new data would load only that, and run()
        # without would throw it away where the first load of all was killed
        pipeline.normalize()
        pipeline.load()
    else:
        # the warehouse alone says how far it was read: what this machine remembers may be of a file since replaced
        # by an older copy, and dlt trusts whichever was written more often
        pipeline.drop()
    pipeline.run(source, loader_file_format=file_format)
    make_empty_tables(pipeline)


def _raise_if_nothing_was_read(source: DltSource) -> None:
    """Raises `RequestFailed` where no resource at all could be read: the run has failed, then, and not in part."""
    lost = {failure["resource"]: failure["error"] for failure in _failures(source) if not failure["parent_id"]}
    if lost and lost.keys() >= {name for name in BY_NAME if name in source.resources.selected}:
        raise RequestFailed(next(iter(lost.values())))


def make_empty_tables(pipeline: dlt.Pipeline) -> None:
    """Makes the tables that had nothing to load so far: dlt makes one with its first row, queries need it sooner."""
    with pipeline.destination_client() as client:
        if len(client.schema.data_tables()) > len(client.schema.data_tables(seen_data_only=True)):
            client.update_stored_schema(force=True)


def _file_format(pipeline: dlt.Pipeline) -> Any:
    kind = pipeline.destination.destination_type.rpartition(".")[2]
    if kind == "postgres":
        try:
            import_module("adbc_driver_postgresql")
        except ImportError as error:
            # without it dlt would take another format, without a word
            raise MissingDependencyException("postgres", ["adbc-driver-postgresql"]) from error
    return "parquet" if kind in PARQUET_DESTINATIONS else None


def _figures(source: DltSource, name: str) -> dict[str, Any]:
    metrics = source.resources[name].custom_metrics
    return {
        "rows": metrics.get("rows", 0),
        "requests": metrics.get("requests", 0),
        "retries": metrics.get("retries", 0),
        "seconds": round(metrics.get("seconds", 0.0), 3),
    }


def _failures(source: DltSource) -> list[dict[str, str]]:
    return [
        {"resource": name, **failure}
        for name, resource in source.resources.selected.items()
        for failure in resource.custom_metrics.get("failures", ())
    ]
