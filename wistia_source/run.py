"""Holds what the resources of one run share."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import date, datetime
from threading import Lock

from .client import Client
from .endpoints import Endpoint
from .listings import Listings
from .load_package import LoadPackage
from .memory import Memory
from .paging import Lists
from .personal import Pii
from .tuning import Tuning
from .walks import Walks
from .windows import Days


@dataclass(frozen=True)
class Run:
    """One run of the source, in one load package or several. Nothing is asked before a resource is iterated."""

    client: Client
    lists: Lists
    walks: Walks
    package: LoadPackage
    listings: Listings
    memory: Memory
    clock: Callable[[], datetime]
    start_date: date
    backfill: Days | None
    """The days to read again instead of what is new, whatever was read before."""
    dry: bool
    """Whether it only counts what it would ask: it asks what it needs for that, the lists above all."""
    keep_public_token: bool
    pii: Pii
    tuning: Tuning
    turn: Lock = field(default_factory=Lock)
    """Held by the resource that works: they learn from one another, also where `parallelize()` gives each a thread."""

    def begin(self, endpoint: Endpoint) -> None:
        """A resource begins its part of a load package."""
        if self.package.begin(endpoint.name):
            self.listings.forget()
            self.memory.forget()

    def end(self, endpoint: Endpoint) -> None:
        """A resource has ended its part; with the last one the package is loaded."""
        if self.package.end(endpoint.name):
            self.memory.end_package()

    def stop(self) -> None:
        """One failure ends the run: nobody waits on for the budget, and the warehouse is left to others."""
        self.client.close()
        self.walks.close()
        self.memory.close()
