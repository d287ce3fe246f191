"""Files for people: whole or not there at all."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from uuid import uuid4

from wistia_source.errors import WistiaError


class OutputUnusable(WistiaError):
    """The file cannot be written where it was to be."""


@contextmanager
def replaced_when_whole(output: Path) -> Iterator[Path]:
    """A path beside `output` to write to, which takes its place at the end; where that fails, `output` stays as it was.

    Raises `OutputUnusable`.
    """
    if output.is_dir() or not output.name:
        raise OutputUnusable(f"--output is {str(output)!r}, which is a folder; name a file.")
    # a link keeps pointing where it did
    output = output.resolve()
    half = output.with_name(f".{output.name[:100]}.{uuid4().hex[:8]}.half")
    try:
        half.touch(exist_ok=False)
    except OSError as error:
        raise OutputUnusable(
            f"{output} cannot be written: {error.strerror}; choose another file with --output."
        ) from error
    try:
        yield half
        half.replace(output)
    finally:
        half.unlink(missing_ok=True)
