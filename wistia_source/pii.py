"""Personal data: what the table of endpoints declares as such is kept, hashed or dropped as soon as it is read."""

from __future__ import annotations

import hmac
import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, Literal, get_args
from urllib.parse import unquote

from .endpoints import Endpoint, Personal, Row
from .errors import SettingInvalid
from .rows import Objects, declared_fields
from .values import as_text

Mode = Literal["keep", "hash", "drop"]

SHORTEST_SECRET = 16
PLAIN_QUERY = frozenset(f"utm_{name}" for name in ("source", "medium", "campaign", "term", "content"))
"""What of a page's query is no person's: the values that `wistia__embed_pages` shows, unless one holds an address."""

AT = re.compile(r"(?:@|%(?:25)*40)")
"""The sign in an address of a person, as it is, or however often it was encoded."""
_WITH_ADDRESS = re.compile(rf".+{AT.pattern}.+", re.DOTALL)
_HOST = re.compile(r"((?:[a-zA-Z][a-zA-Z0-9+.-]*:)?//)?([^/]*)(.*)", re.DOTALL)
_DIGEST = re.compile(r"[0-9a-f]{64}")


@dataclass(frozen=True)
class Pii:
    """How personal data is treated. Without a secret only to keep and to drop it."""

    mode: Mode = "keep"
    secret: str = field(default="", repr=False)

    @classmethod
    def of(cls, mode: str, secret: str | None) -> Pii:
        """From the settings. Raises `SettingInvalid`."""
        if mode not in get_args(Mode):
            raise SettingInvalid(f"pii is {mode!r}, but must be keep, hash or drop.")
        if mode == "hash" and not secret:
            raise SettingInvalid(
                "pii is 'hash', which needs a secret; set SOURCES__WISTIA__PII_SECRET, or pii_secret under "
                f"[sources.wistia] in .dlt/secrets.toml, to a random text of at least {SHORTEST_SECRET} characters."
            )
        if secret and len(secret) < SHORTEST_SECRET:
            raise SettingInvalid(
                f"pii_secret has fewer than {SHORTEST_SECRET} characters, which can be guessed; set a longer one."
            )
        return cls(mode, secret or "")  # type: ignore[arg-type]

    def treat(self, endpoint: Endpoint, rows: Sequence[Row]) -> None:
        """Hashes or drops what is personal in the API's rows, in place; what nobody has declared may be personal."""
        kinds = {source: column.personal for column in endpoint.columns for source in column.sources}
        if self.mode == "keep" or not any(kinds.values()):
            return
        objects = Objects(rows)
        for (*parents, name), kind in kinds.items():
            if kind:
                for value in objects[tuple(parents)]:
                    if name in value:
                        value[name] = self.value(kind, value[name])
        for path, declared in declared_fields(endpoint).items():
            for value in objects[path]:
                for name in value.keys() - declared:
                    value[name] = self.value("identifier", value[name])
            for value in objects[path[:-1]] if path else ():
                # a text where an object is meant
                if not isinstance(value.get(path[-1]), dict | None):
                    value[path[-1]] = self.value("identifier", value[path[-1]])

    def value(self, kind: Personal, value: Any) -> Any:
        """One value: null stays null, and "" is still "" where it is hashed."""
        if value is None or kind == "coordinate" or (kind != "url" and self.mode == "drop"):
            # two sessions of one place have the same coordinates: a hash of these would be a name for it
            return None
        text = as_text(value) or ""
        if kind == "url":
            return self.url(text)
        return self.hashed(text.strip().lower() if kind == "email" else text.strip())

    def hashed(self, text: str) -> str:
        """HMAC-SHA256 in hexadecimal digits. What is one already stays, so that hashing twice is hashing once."""
        if not text or _DIGEST.fullmatch(text):
            return text
        return hmac.digest(self.secret.encode(), text.encode(errors="surrogatepass"), "sha256").hex()

    def url(self, text: str) -> str:
        """A page's address without its user, its fragment and its query, but for `PLAIN_QUERY`; a part of its path that
        holds an address of a person is `{email}`, as in the marts. Where it is hashed, values of the query and the
        fragment are hashes.
        """
        page, _, fragment = text.partition("#")
        page, _, query = page.partition("?")
        found = _HOST.fullmatch(page)
        assert found
        scheme, host, path = (part or "" for part in found.groups())
        if scheme:
            host = AT.split(host)[-1]
        else:
            host, path = "", host + path
        parts = ("{email}" if _WITH_ADDRESS.fullmatch(part) else part for part in path.split("/"))
        page = scheme + host + "/".join(parts)
        if pairs := [treated for pair in re.split("[&;]", query) if (treated := self._pair(pair))]:
            page += f"?{'&'.join(pairs)}"
        return f"{page}#{self._decoded_hash(fragment)}" if fragment and self.mode == "hash" else page

    def _pair(self, pair: str) -> str:
        """One pair of a query, "" where nothing of it may stay."""
        name, is_pair, value = pair.partition("=")
        if name in PLAIN_QUERY and not AT.search(value):
            return pair
        if self.mode == "drop":
            return ""
        if not is_pair or AT.search(name):
            return self._decoded_hash(pair)
        return f"{name}={self._decoded_hash(value)}"

    def _decoded_hash(self, text: str) -> str:
        """The hash of what was encoded: of an address the same as in a column of emails."""
        plain = decoded(text).strip()
        return self.hashed(plain.lower() if "@" in plain else plain)


def decoded(text: str) -> str:
    """A part of a URL, however often it was encoded."""
    while (plainer := unquote(text)) != text:
        text = plainer
    return text
