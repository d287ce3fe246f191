"""Who may load a warehouse that several machines reach: one run of an account, and one load of all of them."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from contextlib import closing
from functools import partial
from typing import Any

import psycopg2
import pytest
from wistia_pipeline.warehouses.failures import explain
from wistia_pipeline.warehouses.locks import EVERYTHING, LockLost, OthersStillLoad, WarehouseBusy, advisory_held

from tests.support.postgres import database

ONE, TWO = "wistia_one", "wistia_two"
LOCKS = (
    "from pg_locks join pg_database as own on own.oid = pg_locks.database "
    "where locktype = 'advisory' and datname = current_database()"
)
"""Those of this database: other tests share the server."""


@pytest.fixture
def url(postgres_url: str) -> Iterator[str]:
    """A database whose locks are nobody else's."""
    with database(postgres_url) as made:
        yield made


@pytest.fixture
def held(url: str) -> Any:
    """A warehouse, held by whoever is named."""
    return partial(advisory_held, partial(psycopg2.connect, url), "wistia_raw")


def asked(url: str, query: str) -> Any:
    """The one value of an answer."""
    with closing(psycopg2.connect(url)) as connection, connection.cursor() as cursor:
        cursor.execute(query)
        return cursor.fetchall()[0][0]


@pytest.mark.parametrize(("first", "second"), [(ONE, ONE), (ONE, EVERYTHING), (EVERYTHING, ONE)])
def test_a_run_keeps_out_another_of_its_name_and_one_of_everything_any(held: Any, first: str, second: str) -> None:
    with held(first):
        for _ in range(2):
            with pytest.raises(WarehouseBusy), held(second):
                pass
    with held(second):
        pass


def test_a_load_waits_for_that_of_another_account(held: Any, url: str) -> None:
    order: list[str] = []

    def load() -> None:
        with held(TWO) as hold, hold.alone(), hold.alone():
            order.append(TWO)

    other = threading.Thread(target=load)
    with held(ONE) as hold:
        with hold.alone():
            other.start()
            while not asked(url, f"select count(*) {LOCKS} and not granted"):
                assert other.is_alive()
                time.sleep(0.01)
            order.append(ONE)
        # between its loads there is room for others
        other.join(30)
    assert order == [ONE, TWO]


def test_who_waits_too_long_and_whose_connection_is_gone_hear_of_it(held: Any, url: str) -> None:
    with held(ONE) as first, held(TWO, 0.05) as second:
        with first.alone(), pytest.raises(OthersStillLoad) as waited, second.alone():
            pass
        assert "run again, and let them begin at other times" in explain(waited.value)
        # the run may go on
        with second.alone():
            pass
        asked(url, f"select count(pg_terminate_backend(pid)) {LOCKS}")
        with pytest.raises(LockLost) as lost, second.alone():
            pass
        assert "see that the server does not end idle sessions" in explain(lost.value)
