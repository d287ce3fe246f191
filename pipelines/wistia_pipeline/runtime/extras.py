"""Packages that come with an extra, and are not in every installation."""

from importlib import import_module
from typing import Any

from dlt.common.exceptions import MissingDependencyException


def of_extra(extra: str, module: str) -> Any:
    """A module of an extra. Raises `MissingDependencyException` where it is not installed."""
    try:
        return import_module(module)
    except ImportError as error:
        raise MissingDependencyException(extra, [module.partition(".")[0]]) from error
