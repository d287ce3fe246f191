"""What can be done with any destination that dlt knows: it is loaded, and its tables are queried by its own tools."""

from collections.abc import Callable, Iterable
from contextlib import AbstractContextManager, nullcontext
from datetime import timedelta
from pathlib import Path
from typing import Any, TypeVar
from uuid import uuid4

import dlt
import pyarrow as pa
from dlt.common.destination import AnyDestination
from dlt.destinations.job_client_impl import SqlJobClientBase
from dlt.destinations.sql_client import SqlClientBase

from wistia_source.errors import WistiaError
from wistia_source.warehouse import connected

from .locks import Hold, file_held
from .schemas import model_schemas

Result = TypeVar("Result")
Query = Callable[..., pa.RecordBatchReader]
"""Runs a query with its parameters (`$1`, `$2`, ...), and returns the answer batch by batch, to be read before the next
query. With parameters Postgres sends it as a whole."""
Profile = tuple[dict[str, Any], dict[str, str]]
"""How dbt reaches a warehouse: an output of its `profiles.yml`, and the environment variables that are named there."""

BY_SPARK = "wistia-pipeline spark builds them from files"
"""What to do about the models elsewhere."""


class NotReadable(WistiaError):
    """There is nothing to read, or none of ours can read it."""


class NotTried(WistiaError):
    """Whether something can be loaded there is not known."""


class NotCompacted(WistiaError):
    """Rows are gone, but their bytes may still be there."""


class Destination:
    """A pipeline's destination. What each kind does in its own way is a method, and so is what only some can do."""

    factory: Callable[[], AnyDestination] | None = None
    """What dlt loads it with, where that is not dlt's own."""
    extra = ""
    """Of this project, with what must be installed for it."""
    needs = ""
    """A pattern of what is in these packages, as dlt words it where one is missing."""
    adapter: str | None = None
    """The dbt adapter of its SQL models; null where they do not know its SQL."""
    is_database = False
    """Whether SQL of ours can change it; of others dlt alone knows how."""
    loader_file_format: str | None = None
    """How batches travel; null for what dlt prefers."""
    text_type = "varchar"
    """What JSON is cast to when it is read."""
    bytewise = ""
    """After a text by which is ordered: the order of letters must not depend on a server's language."""

    def __init__(self, pipeline: dlt.Pipeline) -> None:
        self.pipeline = pipeline
        self.kind = str(pipeline.destination.destination_type).rpartition(".")[2]
        """Such as `duckdb` or `postgres`, whatever name it was given."""

    @property
    def exists(self) -> bool:
        """Whether there is something to connect to, which connecting would else make."""
        return True

    @property
    def is_loaded(self) -> bool:
        """Whether anything was ever loaded into the pipeline's dataset."""
        if not self.exists:
            return False
        with connected(self.pipeline) as client:
            return bool(client.has_dataset())

    def require_usable(self) -> None:
        """Raises what would come in the way of a load, before anything is made; `MissingDependencyException` also of a
        package that dlt would do without."""

    def held(self, by: str | None = None) -> AbstractContextManager[Hold]:
        """Keeps out other runs, at least those of the same name; a run that dies leaves no lock behind.

        `by` is the run's name, by default the pipeline's; `EVERYTHING` keeps out all others. Raises `WarehouseBusy`.
        """
        # dlt merges by way of tables that all runs have in common
        return file_held(Path(self.pipeline.pipelines_dir) / "one_writer.lock")

    def kept_open(self) -> AbstractContextManager[object]:
        """Keeps the warehouse open over several steps, where opening it takes long or others could come in between."""
        return nullcontext()

    def load(self) -> None:
        """Loads what is pending."""
        self.retried(self.pipeline.load)

    def retried(self, work: Callable[[], Result]) -> Result:
        """What `work` comes to; where another program is in the way, it is tried again for a while."""
        return work()

    def index_for_loads(self) -> None:
        """Makes what loads need to cost the same however long the history is."""

    def index_for_models(self) -> None:
        """Makes what builds need to find what is new."""

    def snapshot(self) -> AbstractContextManager[Query]:
        """Reads one state of the warehouse, with moments as UTC, where `adapter` names one. Raises `NotReadable`, and
        what the database says."""
        raise NotImplementedError

    def profile(self) -> Profile:
        """How dbt builds the models in it, where `adapter` names one."""
        raise NotImplementedError

    def try_to_land(self) -> str:
        """What the destination is, where a table can be made in it; leaves nothing behind.

        Raises `SettingInvalid`, `NotTried`, `WarehouseBusy`, and what the database says.
        """
        if issubclass(self.pipeline.destination.client_class, SqlJobClientBase):
            with connected(self.pipeline):
                raise NotTried(f"{self.kind} answers, but whether tables can be made is not tried; see what sync says.")
        raise NotTried(f"{self.kind} is not tried; see what sync says.")

    @staticmethod
    def explain(error: BaseException) -> str | None:
        """One sentence that says what is wrong and what to do, where an error is of this kind."""
        return None

    @staticmethod
    def is_busy(text: str) -> bool:
        """Whether an error says that another program was in the way, so that the same may go well the next time."""
        return False

    @staticmethod
    def known_error(text: str) -> WistiaError | None:
        """What an error of the warehouse says, told from its words; null where nothing better is known."""
        return None

    def maintain(self, keep: timedelta) -> dict[str, int]:
        """Keeps it small and fast, while nobody else loads; older states that can be queried are kept that long.

        Returns what was done, and how often. Raises `NotReadable`, `WarehouseBusy`, and what the database says.
        """
        if not self.is_loaded:
            raise NotReadable("Nothing has been loaded there yet; run wistia-pipeline sync first.")
        with self.held("maintain") as hold, hold.alone():
            return self._maintain(keep)

    def _maintain(self, keep: timedelta) -> dict[str, int]:
        raise NotReadable(f"{self.kind} maintains itself, or by its own tools; nothing was done.")

    def compact(self, tables: Iterable[tuple[str, str]]) -> None:
        """Makes the bytes of rows that were deleted from these tables (schema and name) unreadable: databases mark them
        as free, and write over them some day. Others than ours are left to themselves. Raises `NotCompacted`."""


def make_and_forget(pipeline: dlt.Pipeline, client: SqlClientBase[Any]) -> None:
    """Makes the schemas that are missing, and a table in each, and takes all of it back."""
    raw = pipeline.dataset_name
    table = f"_check_{uuid4().hex[:12]}"
    client.execute_sql("begin")
    try:
        for schema in (raw, f"{raw}_staging", *model_schemas(raw)):
            name = client.escape_column_name(schema)
            if not client.execute_sql("select 1 from information_schema.schemata where schema_name = %s", schema):
                client.execute_sql(f"create schema if not exists {name}")
            client.execute_sql(f"create table {name}.{table} (x integer)")
    finally:
        client.execute_sql("rollback")
