"""Judges whether the deep lookbacks are wide enough, by how late rows came in the last 30 days.

Rows behind the watermark are counted by their age when a run found them (`restatements`). A deep lookback is read once
a day, from as far behind the last one: what it finds is at most a day older than what is set. So rows that came at a
greater age, found by a backfill above all, came too late for it; and where many of the late ones are in the last
stretch that it reaches, more must be expected behind that. After a pause all rows are old that came meanwhile, which
says nothing of them.

By-day tables are left out: past days move with a lifetime average, and are read from the first once a week in any case.
"""

from bisect import bisect_left
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, Literal

from wistia_source.windows import AGES, OLDER, ONE_DAY

Verdict = Literal["wide enough", "too narrow", "unknown"]

OBSERVED = timedelta(days=30)
PAUSE = timedelta(hours=26)
"""Between two runs: rows that come in a longer time say nothing."""
MANY = 0.1
"""Of the late rows, in the last stretch."""
FEW = 3
"""Rows there that may be chance."""


@dataclass(frozen=True)
class Lookback:
    """How the deep lookback of a feed has done."""

    account_id: str
    resource: str
    verdict: Verdict
    hours: float
    """What is set."""
    late_rows: int
    """Found by deep lookbacks and backfills: behind what hourly runs read again."""
    deepest_rows: int
    """Of these, in the last stretch that the deep lookback reaches."""
    beyond_rows: int
    """Of these, behind that."""
    advice: str | None


def judged(
    account_id: str,
    resource: str,
    shallow: float,
    deep: float,
    found: Sequence[Mapping[str, Any]],
    runs: Mapping[str, datetime],
    syncs: Sequence[datetime],
) -> Lookback:
    """The verdict on a lookback of `deep` hours.

    `found` are rows of `restatements`, `runs` when each run of those began, `syncs` when the syncs of the resource
    began, in order.
    """
    counts: Counter[str] = Counter()
    for row in found:
        began = runs.get(row["run_id"])
        before = bisect_left(syncs, began) - 1 if began else -1
        if began and before >= 0 and began - syncs[before] <= PAUSE:
            counts[row["age"]] += row["rows_added"] + row["rows_changed"]
    ages, limits = [*AGES, OLDER], list(AGES.values())
    hourly = bisect_left(limits, timedelta(hours=shallow))
    deepest = bisect_left(limits, timedelta(hours=deep) + ONE_DAY)
    late = sum(counts[age] for age in ages[hourly + 1 :])
    last = counts[ages[deepest]] if deepest > hourly else 0
    beyond = sum(counts[age] for age in ages[deepest + 1 :])
    narrow = beyond > 0 or (last >= FEW and last > MANY * late)
    verdict: Verdict = "too narrow" if narrow else "wide enough" if len(syncs) > 1 else "unknown"
    where = OLDER if beyond else ages[deepest]
    advice = (
        f"{beyond or last:,} of {late:,} late rows came at age {where!r}; raise {resource}_deep_lookback_hours above "
        f"{deep:g}, and read the past days again with wistia-pipeline backfill"
    )
    return Lookback(account_id, resource, verdict, deep, late, last, beyond, advice if narrow else None)
