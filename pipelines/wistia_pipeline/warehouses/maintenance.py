"""Keeps a warehouse small and fast, while nobody else loads it."""

from __future__ import annotations

from datetime import timedelta

import dlt

from .base import NotMaintained
from .kinds import destination_of


def maintain(pipeline: dlt.Pipeline, keep: timedelta) -> dict[str, int]:
    """What was done, and how often; older states that can be queried are kept that long.

    Raises `NotMaintained`, `WarehouseBusy`, and what the database says.
    """
    destination = destination_of(pipeline)
    if not destination.is_loaded:
        raise NotMaintained("Nothing has been loaded there yet; run wistia-pipeline sync first.")
    with destination.held("maintain") as hold, hold.alone():
        return destination.maintain(keep)
