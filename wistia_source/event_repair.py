"""Repairs rows of `stats/events`: fills in keys that some lack, and takes out the account's public token."""

import hashlib
import re
from typing import Any

import orjson

_HEATMAP_KEY = re.compile(r"/events/([^/?]+)/")
_PUBLIC_TOKEN = re.compile(r"public_token=[^&#]*")


def repair_event(row: dict[str, Any], keep_public_token: bool) -> None:
    """Gives an event the keys that it lacks, in place; takes out the account's public token unless asked for."""
    heatmap = row.get("iframe_heatmap_url")
    if not row.get("event_key"):
        # older rows carry their key only inside this address (seed documents, 2012)
        found = _HEATMAP_KEY.search(heatmap) if isinstance(heatmap, str) else None
        row["event_key"] = found.group(1) if found else _surrogate_key(row)
    if row.get("visitor_key") is None:
        # Privacy Mode hides it; a null in a primary key would stop the load
        row["visitor_key"] = ""
    if not keep_public_token and isinstance(heatmap, str):
        row["iframe_heatmap_url"] = _PUBLIC_TOKEN.sub("public_token=", heatmap)


def _surrogate_key(event: dict[str, Any]) -> str:
    """A key from what stays as it is while the session plays: percent_viewed grows (observed)."""
    names = ("received_at", "visitor_key", "media_id", "ip", "embed_url", "user_agent_details")
    session = [event.get(name) for name in names]
    return f"sha1-{hashlib.sha1(orjson.dumps(session), usedforsecurity=False).hexdigest()}"
