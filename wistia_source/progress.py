"""Keeps in dlt's state how far a feed was read, and how far a backfill has come.

By account: dlt's own cursor would mix up accounts.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import dlt
import pyarrow as pa
import pyarrow.compute as pc

from .endpoints import COMPANIONS, Endpoint
from .task import Task

DONE = "done"


@dataclass
class Read:
    """A feed is read whole from `since` up to `watermark`, its newest cursor value."""

    watermark: datetime
    since: datetime
    page: int = 1
    """Of a list without days: the page that `since` was on. Later its rows can be on later pages only."""

    @classmethod
    def of(cls, account_id: str) -> Read | None:
        """What the state of the resource that is running knows of the account."""
        known = dlt.current.resource_state().get("reads", {}).get(account_id)
        moment = datetime.fromisoformat
        return known and cls(moment(known["watermark"]), moment(known["since"]), known["page"])

    def keep(self, account_id: str) -> None:
        """Puts it into the state of the resource that is running."""
        dlt.current.resource_state().setdefault("reads", {})[account_id] = {
            "watermark": self.watermark.isoformat(),
            "since": self.since.isoformat(),
            "page": self.page,
        }

    def saw(self, endpoint: Endpoint, table: pa.Table, now: datetime) -> None:
        """Moves the watermark to the newest of these rows; one from the future would hide what comes before it."""
        times = table[endpoint.cursor or ""]
        newest = pc.max(times.filter(pc.less_equal(times, pa.scalar(now, times.type)))).as_py()
        self.watermark = max(self.watermark, newest or self.watermark)


class Backfilled:
    """How far a resource has come in a backfill; an unfinished one of the same days and resources goes on there."""

    def __init__(self, task: Task) -> None:
        assert task.run.backfill is not None
        members = task.run.package.members - {companion.name for companion in COMPANIONS}
        first, last = task.run.backfill
        key = f"{first} {last} {' '.join(sorted(members))}"
        backfills = dlt.current.source_state().setdefault("backfills", {}).setdefault(task.ask_account(), {})
        parts = backfills.get(key, {})
        if members == {name for name, part in parts.items() if part["reached"] == DONE and not part["failed"]}:
            # it has ended: the next one of the same days shall read them again
            del backfills[key]
        self._part: dict[str, Any] = backfills.setdefault(key, {}).setdefault(
            task.endpoint.name, {"reached": None, "failed": []}
        )
        self.reached: str | None = self._part["reached"]
        """What the last committed part reached: a day, or a parent's id; `DONE` at the end, null before the first."""
        self.failed = frozenset(self._part["failed"])
        """Parents that committed parts could not read: whoever carries on asks them again."""

    def reach(self, where: str, failed: Iterable[str] = ()) -> None:
        """Notes how far the part that is loaded now reaches, and the parents in it that could not be read."""
        self._part |= {"reached": where, "failed": sorted(failed)}

    def has_passed(self, parent_id: str) -> bool:
        """Whether a committed part holds this parent; they are asked in the order of their ids."""
        if self.reached is None or parent_id in self.failed:
            return False
        return self.reached == DONE or parent_id <= self.reached
