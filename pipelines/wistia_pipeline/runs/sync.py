"""One run: pending data first, then whatever is new or a backfill, load package by load package."""

from collections.abc import Callable, Iterable, Iterator, Sequence
from datetime import UTC, datetime
from functools import partial
from hashlib import sha256
from pathlib import Path
from time import monotonic
from typing import Any

import dlt
from dlt.common.configuration.exceptions import ConfigurationValueError
from dlt.common.destination import Destination
from dlt.common.destination.client import DestinationClientDwhConfiguration
from dlt.common.destination.reference import TDestinationReferenceArg
from dlt.common.runtime.collector import NULL_COLLECTOR
from dlt.extract import DltSource

from wistia_source.endpoints import BY_NAME, COMPANIONS, READ_STATS
from wistia_source.errors import RequestFailed, SettingInvalid
from wistia_source.pii import Pii
from wistia_source.request import RunRequest

from ..models.build import build_models
from ..runtime.settings import setting
from ..warehouses.failures import explain
from ..warehouses.kinds import destination_of, kind_of
from ..warehouses.locks import Hold
from ..warehouses.run_log import RunLog
from ..warehouses.schemas import DATASET
from .accounts import ONLY, WistiaAccount
from .completeness import days_outside_band
from .erase import end_erasure, erase_forgotten
from .progress import Progress
from .recovery import restore_dropped_tables, settle
from .results import SyncResult, failures_of, lost_resources, metrics_of, names_of


def make_pipeline(
    destination: TDestinationReferenceArg,
    progress: Progress | None = None,
    name: str = ONLY,
    pipelines_dir: str | None = None,
) -> dlt.Pipeline:
    """The pipeline that all commands share; `progress` is for those that load."""
    pipeline: dlt.Pipeline = dlt.pipeline(
        name,
        destination=_as_loaded(destination),
        dataset_name=DATASET,
        progress=progress.collector if progress else NULL_COLLECTOR,
        pipelines_dir=pipelines_dir or working_folder(destination),
    )
    return pipeline


def _as_loaded(destination: TDestinationReferenceArg) -> TDestinationReferenceArg:
    """The destination: ours where we have one of that name."""
    ours = kind_of(destination).factory if isinstance(destination, str) else None
    return ours() if ours else destination


def working_folder(destination: TDestinationReferenceArg) -> str:
    """A folder for each warehouse: data that still waits to be loaded must not end up in another one."""
    resolved = Destination.from_reference(_as_loaded(destination))
    assert resolved is not None
    wanted = resolved.spec()
    if isinstance(wanted, DestinationClientDwhConfiguration):
        wanted.dataset_name = DATASET
    # what is missing is reported when the pipeline connects
    config = resolved.configuration(wanted, accept_partial=True)
    try:
        location = str(config.data_location())
    except ConfigurationValueError:
        location = ""
    where = f"{resolved.destination_name} {location}"
    return str(Path(dlt.current.run_context().data_dir) / "wistia" / sha256(where.encode()).hexdigest()[:12])


def run_sync(
    pipeline: dlt.Pipeline,
    progress: Progress,
    result: SyncResult,
    request: RunRequest = RunRequest(),  # noqa: B008
    account: WistiaAccount = WistiaAccount(),  # noqa: B008
    *,
    models: bool = True,
) -> None:
    """Loads what is asked for and builds the models. Fills `result`, also where it raises: what was loaded stays."""
    started = monotonic()
    settings = account.settings(accept_partial=True)
    now = settings["now"] or datetime.now(UTC)
    destination = destination_of(pipeline)
    destination.require_usable()
    package_seconds = setting("wistia_pipeline.package_seconds")
    source = account.source(request, run_id=result.run_id, package_seconds=package_seconds)
    source = selected(source, request.resources)
    progress.watch(source)
    log = RunLog(pipeline, result.run_id, request.command)
    pii = Pii.of("keep", settings["pii_secret"])
    with destination.held() as hold:
        committed = partial(commit, pipeline, hold)
        with hold.alone():
            killed = log.begin(names_of(source))
        try:
            with hold.alone(), destination.kept_open():
                settle(pipeline, result.run_id, killed, committed)
                # what a `forget` that was killed has left; and what other programs have loaded
                erase_forgotten(pipeline, pii)
                pipeline.sync_destination()
                restore_dropped_tables(pipeline)
            for _ in _load(pipeline, source, committed):
                result.note_loaded(source)
            with hold.alone():
                # whom this run has found by a forgotten address may have had rows before
                erase_forgotten(pipeline, pii)
            raise_if_nothing_was_read(source)
            result.days_outside_band = days_outside_band(pipeline, source, now)
            with hold.alone():
                if models and destination.adapter:
                    progress.building_models()
                    result.models = build_models(pipeline)
                end_erasure(pipeline)
            failed = failures_of(source) or (result.models and result.models.failures)
            result.status = "partial" if failed else "ok"
        except BaseException as error:
            result.error = account.worded(explain(error))
            raise
        finally:
            result.seconds = round(monotonic() - started, 3)
            result.fill(source)
            _write(pipeline, log, hold, result, source)


def commit(pipeline: dlt.Pipeline, hold: Hold) -> None:
    """Loads what is extracted."""
    destination = destination_of(pipeline)
    pipeline.normalize()
    with hold.alone(), destination.kept_open():
        destination.load()
        make_empty_tables(pipeline)
        destination.index_for_loads()


def selected(source: DltSource, select: Sequence[str]) -> DltSource:
    """The source with the named resources and what belongs to them; all without names. Raises `SettingInvalid`."""
    known = names_of(source)
    if unknown := [name for name in select if name not in known]:
        wrong = ", ".join(unknown)
        what = f"A backfill cannot read {wrong}" if set(unknown) <= BY_NAME.keys() else f"There is no resource {wrong}"
        raise SettingInvalid(f"{what}; choose from {', '.join(known)}.")
    return _with_companions(source, select) if select else source


def _with_companions(source: DltSource, names: Iterable[str]) -> DltSource:
    companions = (companion.name for companion in COMPANIONS if companion.name in source.resources)
    return source.with_resources(*names, *companions)


def _load(pipeline: dlt.Pipeline, source: DltSource, committed: Callable[[], None]) -> Iterator[None]:
    """Loads package after package, and yields after each."""
    file_format: Any = destination_of(pipeline).loader_file_format
    package = source
    while names_of(package):
        pipeline.extract(package, loader_file_format=file_format)
        committed()
        yield
        left = [name for name, metrics in metrics_of(package).items() if metrics.unfinished]
        package = _with_companions(source, left)


def raise_if_nothing_was_read(source: DltSource) -> None:
    """Raises `RequestFailed` where all was lost, or all of the Stats API was refused: then the whole run has failed."""
    lost = lost_resources(source)
    metrics = metrics_of(source)
    refused = {name for name, own in metrics.items() if own.refused}
    asked_stats = {name for name, own in metrics.items() if BY_NAME[name].permission == READ_STATS and own.requests}
    # a plan can lack one resource; a token that lacks the permission is refused everywhere
    if lost.keys() >= metrics.keys() or (len(refused) > 1 and refused >= asked_stats):
        raise RequestFailed(next(iter(lost.values())))


def make_empty_tables(pipeline: dlt.Pipeline) -> None:
    """Makes the tables that had nothing to load so far: dlt makes one with its first row, queries need it sooner."""
    with pipeline.destination_client() as client:
        if len(client.schema.data_tables()) > len(client.schema.data_tables(seen_data_only=True)):
            client.update_stored_schema(force=True)


def _write(pipeline: dlt.Pipeline, log: RunLog, hold: Hold, result: SyncResult, source: DltSource) -> None:
    try:
        with hold.alone():
            rows = result.as_log(source)
            destination_of(pipeline).retried(lambda: log.end(rows, result.failures))
    except Exception:
        # where the run has failed, that is the news
        if result.status != "failed":
            result.status = "failed"
            raise
