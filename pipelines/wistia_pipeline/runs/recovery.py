"""What a run finds: a load package that a killed one has left, or tables that somebody has dropped."""

from collections.abc import Callable, Collection
from pathlib import Path
from shutil import rmtree

import dlt
from dlt.common.destination.exceptions import DestinationException
from dlt.load.exceptions import LoadClientJobException

from wistia_source.endpoints import BY_NAME, REFRESHES
from wistia_source.warehouse import connected

from ..runtime.redaction import causes
from ..warehouses.kinds import destination_of
from .accounts import ONLY


def settle(pipeline: dlt.Pipeline, run_id: str, killed: Collection[str] | None, commit: Callable[[], None]) -> None:
    """Loads what a killed run has left behind, else forgets what this machine remembers.

    `killed` are the runs that the warehouse's log says were under way until now, null where there is no log. What
    another run has left is not loaded: since then the warehouse was loaded from elsewhere, made anew, or put back from
    a copy, and that would bring older rows over newer ones, and a watermark without the rows behind it.
    """
    owner = Path(pipeline.pipelines_dir) / f"{pipeline.pipeline_name}.run"
    is_next = killed is None or (owner.exists() and owner.read_text("utf-8") in killed)
    # dlt's run() with new data would load only what is left, and without would throw it away where the first load of
    # all was killed; and it fails for ever on files that a kill has left half changed: they are read again then, as
    # rows of a load that was never completed count as unknown
    try:
        if is_next and pipeline.has_pending_data:
            _write(owner, run_id)
            commit()
            return
    except Exception as error:
        if any(isinstance(cause, DestinationException | LoadClientJobException) for cause in causes(error)):
            raise
    # the warehouse alone says how far it was read: local state may be of a file since replaced by an older copy, and
    # dlt trusts whichever was written more often
    drop_local_state(pipeline)
    _write(owner, run_id)


def _write(file: Path, text: str) -> None:
    new = file.with_name(f"{file.name}.new")
    new.write_text(text, "utf-8")
    new.replace(file)


def drop_local_state(pipeline: dlt.Pipeline) -> None:
    """Drops the local state all at once: dlt alone removes file after file, and cannot begin from a half."""
    folder = Path(pipeline.working_dir)
    dropped = folder.with_name(f"{folder.name}.dropped")
    rmtree(dropped, ignore_errors=True)
    folder.rename(dropped)
    pipeline.drop()
    rmtree(dropped, ignore_errors=True)


def drop_state_of_others(pipeline: dlt.Pipeline) -> None:
    """Drops the local state of the other accounts that are loaded into the same warehouse."""
    for folder in Path(pipeline.pipelines_dir).glob(f"{ONLY}_*"):
        if folder.is_dir():
            rmtree(folder)


def restore_dropped_tables(pipeline: dlt.Pipeline) -> None:
    """Makes tables again that somebody has dropped; what they held is read again: dlt would believe they are there."""
    if not destination_of(pipeline).is_database or pipeline.default_schema_name is None:
        return
    with pipeline.destination_client() as client:
        names = client.schema.data_table_names()
        dropped = {name for name, columns in client.get_storage_tables(names) if not columns}
        if not dropped:
            return
        client.update_stored_schema(force=True)
    carriers = {child.name: endpoint for endpoint in BY_NAME.values() for child in endpoint.children}
    endpoints = [carriers.get(name) or BY_NAME.get(name) for name in dropped]
    with connected(pipeline) as client:
        refreshes = client.make_qualified_table_name(REFRESHES.name)
        for endpoint in filter(None, endpoints):
            client.execute_sql(f"delete from {refreshes} where endpoint = %s", endpoint.name)  # noqa: S608
    with pipeline.managed_state() as state:
        for source in state.get("sources", {}).values():
            for name in dropped & source.get("resources", {}).keys():
                del source["resources"][name]
