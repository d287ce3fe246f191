"""Keeps track of the load package being filled: which resources fill it, when it is full, what is left for the next."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from time import monotonic
from typing import Any, Literal

Pause = Iterator[None]
"""A generator that yields None until what it waits for is there: dlt then lets other resources go on."""

Milestone = Literal["estimated", "told", "ended"]
"""How far a resource has come: it knows how many requests it will take, which a backfill waits for before it makes any
of its own; it has told what others learn from it."""


@dataclass
class LoadPackage:
    """One load package after another, as the resources of a run fill them."""

    seconds: float
    """After this long nothing new is begun: what is left goes into the next package."""
    most_rows: int
    rows: int = 0
    """Rows in the package so far."""
    running: set[str] = field(default_factory=set)
    """Resources that have not ended their part of the package, well or not."""
    members: set[str] = field(default_factory=set)
    """Resources that the run began with."""
    left: dict[str, list[Any]] = field(default_factory=dict)
    """By resource: what was not begun when the package was full, in order."""
    carried: dict[str, list[Any]] = field(default_factory=dict)
    """By table: lists found inside other rows that are not loaded yet."""
    _reached: set[tuple[str, Milestone]] = field(default_factory=set)
    _ends: float = 0.0

    def begin(self, name: str) -> bool:
        """A resource begins its part; the first one starts the package's time. Returns whether a run begins with it."""
        begins_run = not self.running and not self.left
        if begins_run:
            self._reached.clear()
        if not self.running:
            self._ends = monotonic() + self.seconds
            self.rows = 0
        self.running.add(name)
        self.members.add(name)
        return begins_run

    @property
    def is_full(self) -> bool:
        """Whether the package takes no more work."""
        return monotonic() >= self._ends or self.rows >= self.most_rows

    def take(self, left: list[Any]) -> Iterator[Any]:
        """Takes one after the other from a list until the package is full, but at least one."""
        begun = False
        while left and not (begun and self.is_full):
            begun = True
            yield left.pop(0)

    def reach(self, name: str, milestone: Milestone) -> None:
        """A resource has come this far."""
        self._reached.add((name, milestone))

    def wait(self, names: Iterable[str], milestone: Milestone) -> Pause:
        """Waits until each of these resources has come this far, or does not run."""
        while any(name in self.running and (name, milestone) not in self._reached for name in names):
            yield None
