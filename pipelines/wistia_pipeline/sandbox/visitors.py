"""Invents the visitors from their numbers; none of them is real."""

from dataclasses import dataclass
from functools import lru_cache
from typing import Any
from unicodedata import normalize

from . import seeded
from .vocabulary import AGENT, AGENTS, COMPANIES, FIRST_NAMES, LAST_NAMES, NETWORKS, PLACES, TITLES

# the blocks set aside for documentation; no packet ever comes from them
ADDRESSES = ("192.0.2.{}", "198.51.100.{}", "203.0.113.{}", "2001:db8::{:x}")


@dataclass(frozen=True, slots=True)
class Person:
    """A visitor: `name` is "" and `email` None while nobody knows them."""

    name: str
    first_name: str
    last_name: str
    email: str | None
    gated: bool
    company: str | None
    title: str | None
    ip: str
    network: str
    place: tuple[str, str, str, float, float]
    agent: dict[str, Any]


def _luck(salt: bytes) -> int:
    return int.from_bytes(salt[2:4]) % 1000


def is_known(seed: int, number: int) -> bool:
    """Whether a visitor has told a name or an address."""
    luck = _luck(seeded.draw(seed, "person", number))
    return luck < 20 or luck >= 980


@lru_cache(maxsize=20_000)
def person(seed: int, number: int) -> Person:
    salt = seeded.draw(seed, "person", number)
    first, last = FIRST_NAMES[salt[0] % len(FIRST_NAMES)], LAST_NAMES[salt[1] % len(LAST_NAMES)]
    luck = _luck(salt)
    # 1 in 50 left an address, most of them with a name; a few only have a name
    emailed, named = luck < 20, luck < 16 or luck >= 980
    mailbox = normalize("NFKD", f"{first}.{last}").encode("ascii", "ignore").decode().lower().replace("'", "")
    domain = "example.com" if salt[4] % 2 else "example.org"
    employed = named and salt[5] % 2 == 0
    return Person(
        name=f"{first} {last}" if named else "",
        first_name=first if named else "",
        last_name=last if named else "",
        email=f"{mailbox}{number}@{domain}" if emailed else None,
        gated=luck < 12,
        company=COMPANIES[salt[7] % len(COMPANIES)] if employed else None,
        title=TITLES[salt[8] % len(TITLES)] if employed else None,
        ip=ADDRESSES[salt[9] % 4].format(salt[10] % 254 + 1),
        network=NETWORKS[salt[11] % len(NETWORKS)],
        place=PLACES[salt[12] % len(PLACES)],
        agent=dict(zip(AGENT, AGENTS[salt[6] % len(AGENTS)], strict=True)),
    )
