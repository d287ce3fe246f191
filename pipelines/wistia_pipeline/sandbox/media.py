"""Invents the medias and projects of an account, as they are before any time has passed."""

from __future__ import annotations

from array import array
from dataclasses import dataclass, field
from random import Random

from .clock import DAY
from .seeded import draw, hashed_id
from .vocabulary import DESCRIPTIONS, FORMATS, PROJECT_NAMES, SUBJECTS

NEVER = 1 << 40
"""A second that no sandbox lives to see."""

# ids that a spreadsheet or a type guesser would take for numbers
NUMBER_LIKE = {3: "482e619377", 7: "0071938264", 12: "9103847265"}


@dataclass
class Project:
    """A project (a folder, in the modern versions)."""

    number: int
    id: int
    hashed_id: str
    name: str
    created: int
    updated: int


@dataclass
class Media:
    """A media; `weight` is its share of the plays, `retired` when it was deleted.

    `sessions` are its rows in order of arrival, `ambient` its loads without a play, day by day.
    """

    number: int
    id: int
    hashed_id: str
    name: str
    type: str
    duration: float | None
    description: str
    archived: bool
    project: Project | None
    created: int
    updated: int
    weight: float
    retired: int = NEVER
    gone: bool = False
    sessions: array[int] = field(default_factory=lambda: array("q"))
    ambient: array[int] = field(default_factory=lambda: array("q"))

    @property
    def has_time(self) -> bool:
        """Whether its duration is one, and not a count of pages."""
        return self.type in ("Video", "Audio")

    def listed(self, at: int) -> bool:
        """Whether the account shows it at that moment."""
        return self.plays_at(at) and not self.gone

    def plays_at(self, at: int) -> bool:
        """Whether sessions can start; deletions asked for by a test leave what was to happen as it was."""
        return self.created <= at < self.retired


def make_projects(seed: int, count: int, start: int, days: int) -> list[Project]:
    """The projects of an account, all older than its history."""
    projects = []
    for number in range(count):
        created = start - days * DAY - 400 * DAY + number * 11 * DAY
        suffix = f" {number // len(PROJECT_NAMES) + 1}" if number >= len(PROJECT_NAMES) else ""
        projects.append(
            Project(
                number=number,
                id=7_310_000 + number * 131,
                hashed_id="51e8830274" if number == 1 else hashed_id(seed, "project", number),
                name=PROJECT_NAMES[number % len(PROJECT_NAMES)] + suffix,
                created=created,
                updated=created + 37 * DAY + number * 3601,
            )
        )
    return projects


def make_media(seed: int, number: int, created: int, projects: list[Project], popularity: float) -> Media:
    """One media; its oddities follow from its number, so that every account of some size has each."""
    rng = Random(f"{seed}:media:{number}")
    kind, duration = _kind_and_duration(number, rng)
    project = projects[int(rng.random() ** 1.4 * len(projects))] if projects and number % 60 != 31 else None
    subject = SUBJECTS[rng.randrange(len(SUBJECTS))]
    return Media(
        number=number,
        id=61_000_000 + number * 37,
        hashed_id=NUMBER_LIKE.get(number) or hashed_id(seed, "media", number),
        name=subject + FORMATS[rng.randrange(len(FORMATS))],
        type=kind,
        duration=duration,
        description=DESCRIPTIONS[number % len(DESCRIPTIONS)],
        archived=number % 20 == 9,
        project=project,
        created=created,
        updated=created + draw(seed, "updated", number)[0] * 3000 + 40,
        weight=0.0 if number % 30 == 11 else rng.paretovariate(popularity) * (0.2 if number % 20 == 9 else 1.0),
    )


def _kind_and_duration(number: int, rng: Random) -> tuple[str, float | None]:
    if number % 25 == 13:
        return "Image", None
    if number % 25 == 19:
        return "PdfDocument", rng.randrange(2, 60)
    length = rng.uniform(1050, 5400) if number % 20 == 5 else min(990.0, 25 + rng.expovariate(1 / 160))
    return "Audio" if number % 25 == 7 else "Video", int(length) if number % 4 == 0 else round(length, 3)
