"""The Arrow driver of Postgres, which not every installation has."""

from __future__ import annotations

from importlib import import_module
from typing import Any

from dlt.common.exceptions import MissingDependencyException


def arrow_driver() -> Any:
    """The driver's DB-API module. Raises `MissingDependencyException`."""
    try:
        return import_module("adbc_driver_postgresql.dbapi")
    except ImportError as error:
        raise MissingDependencyException("postgres", ["adbc-driver-postgresql"]) from error
