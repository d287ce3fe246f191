"""Reads what the marts declare in `sql/`: what identifies a row, and which column is its day."""

from dataclasses import dataclass
from typing import Any

import yaml

from wistia_source.errors import WistiaError

from ..runtime.settings import packaged
from .settings import model_names

PREFIX = "wistia__"


class NoSuchMart(WistiaError):
    """There is no mart of this name."""


class NotBuilt(WistiaError):
    """The marts are not there yet."""

    def __init__(self, name: str) -> None:
        super().__init__(f"{name} has not been built yet; run wistia-pipeline models first.")


@dataclass(frozen=True)
class Mart:
    """What a mart declares of itself."""

    name: str
    grain: tuple[str, ...]
    """The columns that identify a row."""
    day: str | None
    """The date or moment (UTC) that `--start` and `--end` are about; null where a row is of no day."""


def mart_named(name: str) -> Mart:
    """A mart by its name, with `wistia__` or without. Raises `NoSuchMart`, which names all."""
    full = PREFIX + name.removeprefix(PREFIX)
    if full not in mart_names():
        known = ", ".join(known.removeprefix(PREFIX) for known in mart_names())
        raise NoSuchMart(f"There is no model {name!r}; there are {known} (with {PREFIX} before them or without).")
    file = packaged("sql") / "models" / "marts" / f"{full}.yml"
    (declared,) = yaml.safe_load(file.read_text("utf-8"))["models"]
    grain: dict[str, Any] = next(test["unique_grain"] for test in declared["data_tests"] if "unique_grain" in test)
    day = declared.get("config", {}).get("meta", {}).get("day")
    return Mart(full, tuple(grain["arguments"]["columns"]), day)


def mart_names() -> list[str]:
    """All marts, in the order of the alphabet."""
    return sorted(name for name in model_names() if name.startswith(PREFIX))
