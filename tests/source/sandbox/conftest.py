"""The default account of the sandbox, and sandboxes of a test's own."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import pytest
from wistia_pipeline.sandbox import Account, Sandbox

from tests.support.asking import START, Client, Row, small


@pytest.fixture(scope="package")
def account() -> Account:
    """The default account; tests only look at it."""
    return Account(start=START)


@pytest.fixture(scope="module")
def client(account: Account) -> Iterator[Client]:
    with Sandbox(account, now=lambda: START, rate_limit=None) as sandbox:
        yield Client(sandbox)


@pytest.fixture(scope="package")
def events(account: Account) -> list[Row]:
    return account.at(START).events()


@pytest.fixture
def serve() -> Iterator[Callable[..., Client]]:
    """Starts sandboxes that stop with the test."""
    running: list[Sandbox] = []

    def start(account: Account | None = None, **arguments: Any) -> Client:
        arguments.setdefault("now", lambda: START)
        sandbox = Sandbox(account or small(), **arguments).__enter__()
        running.append(sandbox)
        return Client(sandbox)

    yield start
    for sandbox in running:
        sandbox.__exit__(None, None, None)
