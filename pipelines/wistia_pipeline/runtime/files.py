"""Files for people: whole or not there at all."""

import glob
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from time import time
from uuid import uuid4

from dlt.common.exceptions import SignalReceivedException

from wistia_source.errors import WistiaError

from .signals import stopped_by_signals

_ABANDONED_SECONDS = 24 * 3600


class OutputUnusable(WistiaError):
    """The file cannot be written where it was to be."""


class OutputStopped(SignalReceivedException):
    """Somebody has ended the command before the file was whole."""


@contextmanager
def replaced_when_whole(output: Path) -> Iterator[Path]:
    """A path beside `output` to write to, which takes its place at the end; where that fails, `output` stays as it was.

    Raises `OutputUnusable`.
    """
    if output.is_dir() or not output.name:
        raise OutputUnusable(f"--output is {str(output)!r}, which is a folder; name a file.")
    # a link keeps pointing where it did
    output = output.resolve()
    if output.exists() and not output.is_file():
        # a device such as /dev/null would be replaced by a file, for all programs
        raise OutputUnusable(f"--output is {str(output)!r}, which is a device or a pipe; name a file.")
    if is_duckdb_file(output):
        raise OutputUnusable(f"{output} is a DuckDB database, which would be lost; choose another file with --output.")
    beside = f".{output.name[:100]}."
    half = output.with_name(f"{beside}{uuid4().hex[:8]}.half")
    try:
        _clear_abandoned(output.parent, beside)
        half.touch(exist_ok=False)
    except OSError as error:
        raise OutputUnusable(
            f"{output} cannot be written: {error.strerror}; choose another file with --output."
        ) from error
    try:
        with stopped_by_signals(OutputStopped):
            yield half
            half.replace(output)
    finally:
        half.unlink(missing_ok=True)


def is_duckdb_file(file: Path) -> bool:
    """Whether it is one of DuckDB's, by the mark that follows the checksum of its first block."""
    if not file.exists():
        return False
    with file.open("rb") as opened:
        return opened.read(12)[8:] == b"DUCK"


def _clear_abandoned(folder: Path, beside: str) -> None:
    """Removes what was left by a process that had no chance to: killed outright, or with its machine."""
    for half in folder.glob(f"{glob.escape(beside)}????????.half"):
        if half.stat().st_mtime < time() - _ABANDONED_SECONDS:
            half.unlink(missing_ok=True)
