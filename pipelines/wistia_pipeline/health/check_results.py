"""Collects what `check` finds about each thing that a sync needs."""

from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Literal

from wistia_source.endpoints import BY_NAME, READ_MEDIA, READ_STATS

from ..warehouses.failures import explain

Status = Literal["ok", "warning", "failed", "skipped"]

PERMISSIONS = {READ_STATS: "permission_stats", READ_MEDIA: "permission_media"}
OF_THE_ACCOUNT = (*PERMISSIONS.values(), "plan", *BY_NAME)
"""The checks that need an account that answers."""
ORDER = (
    *("settings", "start_date", "requests_per_minute", "reachability", "token", "api_version", "clock"),
    *OF_THE_ACCOUNT,
    *("destination", "models"),
)
"""All of them, as they are shown."""


@dataclass(frozen=True)
class Check:
    """One thing that a sync needs."""

    name: str
    status: Status
    detail: str
    advice: str | None = None
    """What to do about it."""


@dataclass
class Checks:
    """All of them."""

    checks: list[Check] = field(default_factory=list)
    requests: int = 0
    """Made for them."""
    worded: Callable[[str], str] = field(default=str, repr=False)
    """How what was found is put."""

    @property
    def ok(self) -> bool:
        """Whether nothing will fail."""
        return all(check.status != "failed" for check in self.checks)

    def add(self, name: str, status: Status, sentence: str) -> None:
        """Notes a result: what is the case and, behind a semicolon, what to do about it."""
        text = self.worded(sentence).removesuffix(".")
        detail, _, advice = text.rpartition("; ") if status in ("warning", "failed") else (text, "", "")
        self.checks.append(Check(name, status, detail or text, (detail and advice) or None))
        self.checks.sort(key=lambda check: ORDER.index(check.name))

    def warn(self, name: str, sentence: str) -> None:
        """Notes what may go wrong."""
        self.add(name, "warning", sentence)

    def fail(self, name: str, error: BaseException) -> None:
        """Notes an error."""
        self.add(name, "failed", explain(error))

    def skip(self, names: Iterable[str], reason: str) -> None:
        """Notes what was not tried."""
        for name in names:
            self.add(name, "skipped", f"not tried: {reason}")

    @contextmanager
    def failing(self, name: str) -> Iterator[None]:
        """What is raised inside is what the check came to."""
        try:
            yield
        except Exception as error:
            self.fail(name, error)
