"""DuckLake as dlt knows it, but it loads table by table, each in one transaction, and its connections are cheap.

dlt opens some 40 of them in a run, each in a DuckDB of its own, which loads the extensions anew and spends most of the
run on their signatures. Here those that a process opens to one lake share a DuckDB. The lake is attached by the first
of them and let go by the last, as DuckDB wants it, and as dlt does for each.
"""

from collections import Counter
from functools import cache
from hashlib import sha256
from threading import RLock

import dlt
import duckdb
from dlt.common.configuration import configspec
from dlt.common.destination import DestinationCapabilitiesContext
from dlt.common.normalizers.naming import NamingConvention
from dlt.common.schema import Schema
from dlt.destinations.impl.duckdb.sql_client import DuckDbSqlClient
from dlt.destinations.impl.ducklake.configuration import DuckLakeClientConfiguration, DuckLakeCredentials
from dlt.destinations.impl.ducklake.ducklake import DuckLakeClient
from dlt.destinations.impl.ducklake.sql_client import DuckLakeSqlClient

from ..resolved_once import ResolvedOnce

_LOCK = RLock()
_OPEN: Counter[str] = Counter()
"""Connections by the DuckDB that they share."""


@configspec(init=False)
class _Credentials(DuckLakeCredentials):
    def catalog_location(self) -> str:
        # dlt asks before it knows whether there is one
        known = self.catalog and self.catalog.drivername
        return super().catalog_location() if known else ""

    def _conn_str(self) -> str:
        lake = f"{self.ducklake_name} {self.catalog_location()} {self.storage_url}"
        return f":memory:{sha256(lake.encode()).hexdigest()}"


@configspec
class _Configuration(DuckLakeClientConfiguration):
    credentials: _Credentials = None  # type: ignore[assignment]


class _SqlClient(DuckLakeSqlClient):
    def open_connection(self) -> duckdb.DuckDBPyConnection:
        shared = self.credentials._conn_str()
        with _LOCK:
            _keep(shared)
            others = _OPEN[shared]
            _OPEN[shared] += 1
            try:
                connection: duckdb.DuckDBPyConnection = super().open_connection()
            except BaseException:
                # dlt may have closed it, or not
                _OPEN[shared] = others
                raise
        return connection

    def close_connection(self) -> None:
        if not self._conn:
            return
        with _LOCK:
            shared = self.credentials._conn_str()
            _OPEN[shared] -= 1
            try:
                if _OPEN[shared] > 0:
                    DuckDbSqlClient.close_connection(self)
                else:
                    super().close_connection()
            finally:
                # where that fails, it is not counted again
                self._conn = None  # type: ignore[assignment]


@cache
def _keep(shared: str) -> duckdb.DuckDBPyConnection:
    """A connection that nobody closes, or DuckDB would go with the last one, and its extensions with it."""
    return duckdb.connect(shared)


class _Client(DuckLakeClient):
    def __init__(
        self, schema: Schema, config: DuckLakeClientConfiguration, capabilities: DestinationCapabilitiesContext
    ) -> None:
        super().__init__(schema, config, capabilities)
        self.sql_client = _SqlClient(
            dataset_name=self.sql_client.dataset_name,
            staging_dataset_name=self.sql_client.staging_dataset_name,
            credentials=config.credentials,
            capabilities=capabilities,
            override_data_path=config.override_data_path,
            automatic_migration=config.automatic_migration,
        )


class ducklake(ResolvedOnce, dlt.destinations.ducklake):
    """The destination; dlt calls it by the name of its class."""

    spec = _Configuration
    client_class = _Client

    @classmethod
    def adjust_capabilities(
        cls,
        caps: DestinationCapabilitiesContext,
        config: DuckLakeClientConfiguration,
        naming: NamingConvention | None,
    ) -> DestinationCapabilitiesContext:
        """What dlt is told of it."""
        caps = super().adjust_capabilities(caps, config, naming)
        # writers that are at it side by side lose changes of one another (duckdb/ducklake#1094)
        caps.loader_parallelism_strategy = "sequential"
        # else rows that a merge replaces are gone for a moment, and for good where it ends there
        caps.supports_transactions = True
        return caps
