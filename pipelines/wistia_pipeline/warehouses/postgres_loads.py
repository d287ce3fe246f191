"""Postgres as dlt knows it, but its settings are looked up once in a run."""

from __future__ import annotations

import dlt

from .resolved_once import ResolvedOnce


class postgres(ResolvedOnce, dlt.destinations.postgres):
    """The destination; dlt calls it by the name of its class."""
