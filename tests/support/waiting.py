"""A sandbox that keeps some requests waiting until something has happened."""

from __future__ import annotations

import re
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

from wistia_pipeline.sandbox import Sandbox
from wistia_pipeline.sandbox.server import Reply

from tests.support.http import until


class Waiting(Sandbox):
    """Answers requests for some paths only when a condition holds, and knows when requests have come."""

    def __init__(self, *arguments: Any, **settings: Any) -> None:
        super().__init__(*arguments, **settings)
        self.conditions: dict[str, Callable[[], bool]] = {}
        """By a regular expression that is searched in the path."""
        self.arrived: dict[str, datetime] = {}
        """The last request for each path, by the machine's clock."""

    def __enter__(self) -> Waiting:
        super().__enter__()
        return self

    def answer(self, path: str, query: dict[str, list[str]], authorization: str | None, release: str | None) -> Reply:
        self.arrived[path] = datetime.now(UTC)
        for pattern, holds in list(self.conditions.items()):
            if re.search(pattern, path):
                until(holds)
        return super().answer(path, query, authorization, release)

    def has_answered(self, pattern: str) -> bool:
        """Whether a request for the path has been answered."""
        return any(re.search(pattern, call.path) for call in list(self.log))
