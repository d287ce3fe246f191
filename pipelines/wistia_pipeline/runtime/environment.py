"""Environment variables for as long as a context lasts."""

import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager


@contextmanager
def environment(wanted: Mapping[str, str], without: str | None = None) -> Iterator[None]:
    """Sets variables, and hides those whose names begin with `without`; all are as before afterwards."""
    before = dict(os.environ)
    for name in before:
        if without and name.startswith(without):
            del os.environ[name]
    os.environ.update(wanted)
    try:
        yield
    finally:
        for name in wanted:
            os.environ.pop(name, None)
        os.environ.update(before)
