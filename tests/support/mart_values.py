"""Values of the marts as Python computes them from the API's rows."""

from __future__ import annotations

import math
import re
from collections import defaultdict
from collections.abc import Callable, Iterable
from datetime import UTC, datetime, timedelta
from typing import Any
from urllib.parse import unquote, urlsplit

Row = dict[str, Any]
Mart = dict[tuple[Any, ...], Row]

COMPLETED, LEAD = 0.9, 0.8
LOW, HIGH, TOLERANCE = 0.97, 1.0, 3
TYPES = ("Video", "Audio")
FIGURES = ("load_count", "play_count", "hours_watched")
PAGE = ("embed_host", "embed_path", "utm_source", "utm_medium", "utm_campaign", "utm_term", "utm_content")
DAY = timedelta(days=1)


def moment(text: Any) -> datetime | None:
    """A time of the API."""
    return datetime.fromisoformat(text).astimezone(UTC) if text else None


def known(value: Any, *unknown: Any) -> Any:
    """A value, or null where it says nothing."""
    return None if value in ("", *unknown) else value


def ratio(one: float | None, other: float | None) -> float | None:
    """One by the other, null where there is nothing to divide by."""
    return one / other if one is not None and other else None


def total(values: Iterable[float | None]) -> float:
    """A sum, without nulls."""
    return math.fsum(value for value in values if value is not None)


def keyed(rows: Iterable[Row], *names: str) -> Mart:
    """Rows by their key, which must be theirs alone."""
    found: Mart = {}
    for row in rows:
        key = tuple(row[name] for name in names)
        assert key not in found, key
        found[key] = row
    return found


def grouped(rows: Iterable[Row], key: Callable[[Row], Any]) -> dict[Any, list[Row]]:
    """Rows by a key; those without one are left out."""
    groups: dict[Any, list[Row]] = defaultdict(list)
    for row in rows:
        group = key(row)
        if group is not None and not (isinstance(group, tuple) and None in group[:1]):
            groups[group].append(row)
    return dict(groups)


def device_class(agent: Row) -> str | None:
    """Of a user agent."""
    return {True: "mobile", False: "desktop"}.get(agent.get("mobile"))  # type: ignore[arg-type]


def decoded(text: str) -> str:
    """Of a URL, however often it was encoded."""
    while (plainer := unquote(text)) != text:
        text = plainer
    return text


def page_of(url: str | None) -> Row:
    """Where an address leads, without what may be personal."""
    page: Row = dict.fromkeys(PAGE)
    if not url:
        return page
    parts = urlsplit(url)
    page["embed_host"] = parts.netloc.rpartition("@")[2].lower() or None
    segments = ["{email}" if re.search(r"[^/]@[^/]", decoded(part)) else part for part in parts.path.split("/")]
    page["embed_path"] = "/".join(segments) or None
    for pair in parts.query.split("&"):
        name, _, value = pair.partition("=")
        if name in PAGE and page[name] is None:
            page[name] = None if "@" in decoded(value) else value or None
    return page
