"""Sizes and times that fit nearly every account: dlt finds them under `[sources.wistia.tuning]`."""

from dlt.common.configuration import configspec
from dlt.common.configuration.specs import BaseConfiguration


@configspec
class Tuning(BaseConfiguration):
    """How the work is cut and how long an answer is waited for."""

    read_timeout_seconds: float = 90.0
    """A first page took 42 s in recordings, others 16 s and 30 s."""
    max_quota_wait_seconds: float = 1800.0
    """How long 429 is accepted, with no other answer in between."""
    quota_window_seconds: float = 60.0
    """The time in which Wistia allows `requests_per_minute` (docs)."""
    active_walks: int = 16
    """Lists that one resource reads side by side, so that none crowds out the others."""
    plays_per_walk: int = 2_000
    """About 20 pages: long enough to waste little on each last page, short enough to have several at a time."""
    plays_per_window: int = 54_000
    """Of a backfill: about a minute of fetching."""
    rows_per_batch: int = 2_000
    """Rows that are typed and handed to dlt at a time."""
    rows_per_package: int = 250_000
    """About: a destination merges a load package in memory that grows with its rows."""
