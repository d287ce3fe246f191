"""Attaches a lake for dbt, by the statements that dlt attaches it with; dbt-duckdb finds the class by its name."""

import json
import os

from dbt.adapters.duckdb.plugins import BasePlugin
from duckdb import DuckDBPyConnection

from .lake import STATEMENTS


class Plugin(BasePlugin):
    """What dbt-duckdb asks when it has opened its connection."""

    def configure_connection(self, conn: DuckDBPyConnection) -> None:
        """Attaches the lake."""
        for statement in json.loads(os.environ[STATEMENTS]):
            conn.execute(statement)
