"""One incremental run: pending data first, then whatever is new."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from time import monotonic
from typing import Any, Literal

import dlt
from dlt.common.destination.reference import TDestinationReferenceArg
from dlt.extract import DltSource

from wistia_source import wistia
from wistia_source.endpoints import BY_NAME, REFRESHES

from .progress import Progress

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
    """Parents that could not be read: `resource`, `parent_id`, `error`."""
    error: str | None = None


def make_pipeline(
    destination: TDestinationReferenceArg,
    progress: Progress,
    name: str = "wistia",
    **options: Any,
) -> dlt.Pipeline:
    """The pipeline that all commands share."""
    pipeline: dlt.Pipeline = dlt.pipeline(
        name,
        destination=destination,
        dataset_name=DATASET,
        progress=progress.collector,
        **options,
    )
    return pipeline


def run_sync(
    pipeline: dlt.Pipeline,
    progress: Progress,
    result: SyncResult,
    select: Sequence[str] = (),
    source_args: Mapping[str, Any] | None = None,
) -> None:
    """Loads what is new and fills `result`, also where it raises; nothing loaded before is touched then."""
    started = monotonic()
    source = wistia(**(source_args or {}))
    if select:
        source = source.with_resources(*select, REFRESHES.name)
    progress.watch(source)
    try:
        # a run that was killed while loading left its package: run() with new data would load only that
        if pipeline.has_pending_data:
            pipeline.run()
        pipeline.run(source, loader_file_format=_file_format(pipeline))
        result.status = "partial" if _failures(source) else "ok"
    except BaseException:
        result.status = "failed"
        raise
    finally:
        result.seconds = round(monotonic() - started, 3)
        result.failures = _failures(source)
        result.resources = {name: _figures(source, name) for name in BY_NAME if name in source.resources.selected}
        result.requests = sum(figures["requests"] for figures in result.resources.values())


def _file_format(pipeline: dlt.Pipeline) -> Any:
    return "parquet" if pipeline.destination.destination_name in PARQUET_DESTINATIONS else None


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
