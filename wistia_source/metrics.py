"""Counts what one resource does in a run, for dlt's metrics, the run log and whoever watches."""

from __future__ import annotations

import threading
from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from datetime import date, datetime
from typing import Any

_COUNTING = threading.Lock()


@dataclass
class Metrics:
    """The counts of one resource, over all load packages of a run."""

    account_id: str | None = None
    requests: int = 0
    """Sent, retries among them."""
    retries: int = 0
    wait_seconds: float = 0.0
    """Spent waiting for the request budget, and between retries."""
    seconds: float = 0.0
    rows: int = 0
    """New or changed, so handed to dlt."""
    left_out: int = 0
    """Rows that Wistia sent empty or without a part of their key."""
    expected: int | None = None
    """About how many requests it will have made in the end; null where nobody knows."""
    expected_minutes: float = 0.0
    """What the quota makes those take that are still to come."""
    reasons: dict[str, int] = field(default_factory=dict)
    """Of a fan-out: how many parents are due, by reason."""
    asked_from: str | None = None
    asked_to: str | None = None
    """The stretch of time that was asked for: moments, or days with both ends."""
    new_fields: list[str] = field(default_factory=list)
    """Fields that nobody declared and that came for the first time."""
    forgotten: dict[str, int] = field(default_factory=dict)
    """Sessions of forgotten people that were left out, by by_date day."""
    failures: list[dict[str, str]] = field(default_factory=list)
    """What could not be read: `parent_id`, empty where all of it was lost, and `error`."""
    refused: bool = False
    """Whether the account's plan does not include it."""
    unfinished: bool = True
    """Whether there is more to read, in the next load package."""

    @classmethod
    def of(cls, published: Mapping[str, Any]) -> Metrics:
        """Reads back the counts from a resource's `custom_metrics`."""
        return cls(**{one.name: published[one.name] for one in fields(cls) if one.name in published})

    def count(self, *, requests: int = 0, retries: int = 0, wait_seconds: float = 0.0, left_out: int = 0) -> None:
        """Adds to the counts, from any thread."""
        with _COUNTING:
            self.requests += requests
            self.retries += retries
            self.wait_seconds += wait_seconds
            self.left_out += left_out

    def note_failure(self, parent_id: str, error: str) -> None:
        """Notes what could not be read: one parent, or all of the resource where that is empty."""
        self.failures.append({"parent_id": parent_id, "error": error})

    def note_asked(self, begin: datetime | date, end: datetime | date) -> None:
        """Widens the stretch of time that was asked for."""
        self.asked_from = min(begin.isoformat(), self.asked_from or begin.isoformat())
        self.asked_to = max(end.isoformat(), self.asked_to or end.isoformat())
