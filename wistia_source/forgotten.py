"""People who are to be forgotten: known again by digests alone, and left out of every load, or made nobody in it.

A person is a visitor key or an address. Whoever comes with a forgotten address is forgotten by the visitor key, too,
since most sessions of a visitor come without one; who shares an address with a forgotten key is somebody else.
"""

from __future__ import annotations

import hmac
import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from datetime import date, datetime
from typing import Any, Literal

from .endpoints import Endpoint, Row
from .errors import SettingInvalid
from .pii import AT, Pii, decoded
from .rows import value_of
from .values import as_text, time_of
from .windows import by_date_today

Kind = Literal["visitor_key", "email"]
Mode = Literal["hash", "remove"]

_BY_STRENGTH = (None, "hash", "remove")
GONE = "{forgotten}"
"""What stands in other rows where an address was."""

_BETWEEN = re.compile(r"([/?#&=;:,<>\"()\[\]\s]+)")
"""What parts of a page's address stand between."""
_DOMAIN = re.compile(r"(?:[^\W_]|[.-])+")
_BREAK = re.compile(r"[^\w.-]")


def normal(kind: Kind, text: str) -> str:
    """How a person's key or address is compared: addresses without spaces around, and in lower case."""
    return text.strip().lower() if kind == "email" else text


def digest(salt: str, kind: Kind, text: str) -> str:
    """What is remembered of a key or address: a hash with the warehouse's own salt."""
    message = f"{kind} {normal(kind, text)}".encode(errors="surrogatepass")
    return hmac.digest(salt.encode(), message, "sha256").hex()


def strongest(*modes: Mode | None) -> Mode | None:
    """What becomes of a person for whom several were asked for: removal wins."""
    return max(modes, key=_BY_STRENGTH.index)


@dataclass
class Forgotten:
    """The people that one account forgets."""

    salt: str = ""
    """Of the warehouse; empty while there is nobody to forget."""
    modes: dict[tuple[str, str], Mode | None] = field(default_factory=dict)
    """By kind and digest."""
    found: dict[str, Mode | None] = field(default_factory=dict)
    """By digest: visitor keys that came with a forgotten address, and that nobody knew."""
    sessions: dict[date, set[tuple[str, str]]] = field(default_factory=dict)
    """By day (UTC-5): keys of the viewing sessions that were left out, for who counts what came."""

    @classmethod
    def of(cls, rows: Iterable[Sequence[Any]]) -> Forgotten:
        """From kind, digest, mode and salt of each row of the table."""
        known = cls()
        for kind, digest_, mode, salt in rows:
            known.salt = salt
            known.modes[kind, digest_] = strongest(mode, known.modes.get((kind, digest_)))
        return known

    def require_secret(self, pii: Pii) -> None:
        """Raises `SettingInvalid` where somebody is to be hashed and nothing to hash with."""
        if not pii.secret and "hash" in self.modes.values():
            raise SettingInvalid(
                "Somebody is forgotten by hash, which needs the same secret in each run; set "
                "SOURCES__WISTIA__PII_SECRET, or pii_secret under [sources.wistia] in .dlt/secrets.toml, to it."
            )

    def mode(self, kind: Kind, text: str, pii: Pii) -> Mode | None:
        """What is to become of a visitor key or an address. A visitor without a key is nobody."""
        if not text:
            return None
        mode = self.modes.get((kind, digest(self.salt, kind, text)))
        if mode == "hash":
            # by now it may be known as what it was hashed to, and somebody wants that removed
            hashed = digest(self.salt, kind, pii.hashed(normal(kind, text)))
            mode = strongest(mode, self.modes.get((kind, hashed)))
        return mode

    def mode_of(self, visitor_key: str, texts: Iterable[Any], pii: Pii) -> Mode | None:
        """What is to become of a row, by its visitor key and the texts in which its addresses are; notes the key."""
        addresses = {address for text in texts if text for address in addresses_in(as_text(text) or "")}
        by_key = self.mode("visitor_key", visitor_key, pii)
        by_address = (self.mode("email", address, pii) for address in addresses)
        mode = strongest(by_key, *by_address)
        if mode and mode != by_key and visitor_key:
            hashed = digest(self.salt, "visitor_key", visitor_key)
            self.found[hashed] = self.modes["visitor_key", hashed] = mode
        return mode

    def leave_out(self, endpoint: Endpoint, rows: list[Row], pii: Pii) -> list[Row]:
        """The rows without those of forgotten people, or with these as nobody's; and without their addresses in what
        others have watched."""
        if not self.salt:
            return rows
        self.require_secret(pii)
        emails = [column for column in endpoint.columns if column.personal == "email"]
        kept: list[Row] = []
        for row in rows:
            visitor_key = as_text(row.get("visitor_key")) or ""
            mode = self.mode_of(visitor_key, (value_of(column, row) for column in emails), pii)
            if mode == "remove":
                at = time_of(endpoint, row)
                if at and endpoint.tells == "sessions":
                    self.sessions.setdefault(by_date_today(at), set()).add((str(row["event_key"]), visitor_key))
                continue
            if mode == "hash":
                row["visitor_key"] = pii.hashed(visitor_key)
                Pii("hash", pii.secret).treat(endpoint, [row])
            if isinstance(row.get("embed_url"), str):
                row["embed_url"] = self.without_addresses(row["embed_url"], pii)
            kept.append(row)
        return kept

    def without_addresses(self, url: str, pii: Pii) -> str:
        """A page's address without the addresses of forgotten people, however they are encoded."""

        def is_theirs(part: str) -> bool:
            return any(self.mode("email", address, pii) for address in addresses_in(decoded(part)))

        if not AT.search(url):
            return url
        return "".join(GONE if AT.search(part) and is_theirs(part) else part for part in _BETWEEN.split(url))

    def take_found(self, now: datetime) -> list[Row]:
        """Rows of the table for what was found, once."""
        found, self.found = self.found, {}
        return [
            {"kind": "visitor_key", "digest": hashed, "mode": mode, "salt": self.salt, "forgotten_at": now.isoformat()}
            for hashed, mode in found.items()
        ]


def addresses_in(text: str) -> Iterator[str]:
    """What may be an address in a text: the whole, and what is around each @, from each sign on that may begin it."""
    yield normal("email", text)
    before, *others = text.lower().split("@")
    for after in others:
        local = before.split()[-1] if before and not before[-1].isspace() else ""
        found = _DOMAIN.match(after)
        domain = found.group().rstrip(".-") if found else ""
        for start in (0, *(sign.end() for sign in _BREAK.finditer(local))):
            if domain and local[start:]:
                yield f"{local[start:]}@{domain}"
        before = after
