"""A small account over HTTP, and clients in a hurry."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from wistia_pipeline.sandbox import Account, Sandbox

from tests.support.http import (
    START,
    TOKEN,
    Connect,
    Connection,
    small,
)
from wistia_source.budget import RequestBudget
from wistia_source.retry import Patience
from wistia_source.walks import ACTIVE_WALKS


@pytest.fixture(scope="module")
def account() -> Account:
    return small()


@pytest.fixture
def sandbox(account: Account) -> Iterator[Sandbox]:
    with Sandbox(account, now=lambda: START, rate_limit=None, token=TOKEN) as server:
        yield server


@pytest.fixture
def connect() -> Iterator[Connect]:
    """Makes clients in a hurry, closed with the test."""
    clients: list[Connection] = []

    def made(
        base_url: str,
        token: str = TOKEN,
        version: str = "v1",
        per_minute: int = 100_000,
        window_seconds: float = 60.0,
        active_walks: int = ACTIVE_WALKS,
        **patience: Any,
    ) -> Connection:
        budget = RequestBudget(per_minute, window_seconds)
        clients.append(
            Connection(
                token,
                base_url,
                version,
                budget,
                Patience(**{"backoff": 0.001} | patience),
                active_walks=active_walks,
            )
        )
        return clients[-1]

    yield made
    for client in clients:
        client.close()


@pytest.fixture
def client(sandbox: Sandbox, connect: Connect) -> Connection:
    return connect(sandbox.url)
