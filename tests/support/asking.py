"""Asks a sandbox over plain HTTP."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import requests
from wistia_pipeline.sandbox import Account, Sandbox

Row = dict[str, Any]

START = datetime(2025, 3, 1, 14, 30, tzinfo=UTC)
LIFE = {"start_date": "2020-01-01", "end_date": "2025-03-01"}


class Client:
    """Asks one sandbox, over one connection."""

    def __init__(self, sandbox: Sandbox) -> None:
        self.sandbox = sandbox
        self.session = requests.Session()
        self.session.headers["Authorization"] = f"Bearer {sandbox.token}"

    def ask(self, path: str, *, release: str | None = None, **params: Any) -> requests.Response:
        headers = {"X-Wistia-API-Version": release} if release else {}
        return self.session.get(self.sandbox.url + path, params=params, headers=headers, timeout=10)

    def get(self, path: str, **params: Any) -> Any:
        response = self.ask(path, **params)
        assert response.status_code == 200, f"{path}: {response.status_code} {response.text[:200]}"
        return response.json()

    def pages(self, path: str, **params: Any) -> list[Row]:
        rows: list[Row] = []
        for page in range(1, 10_000):
            found = self.get(path, page=page, per_page=self.sandbox.page_cap, **params)
            if not found:
                break
            rows += found
        return rows


class Clock:
    """A clock that stands still until told."""

    def __init__(self, moment: datetime) -> None:
        self.moment = moment

    def __call__(self) -> datetime:
        return self.moment


def small(**changes: Any) -> Account:
    """An account that is made in no time."""
    arguments: dict[str, Any] = {"medias": 20, "projects": 3, "visitors": 100, "events": 600, "days": 60}
    return Account(start=START, **{**arguments, **changes})
