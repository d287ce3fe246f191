"""A lake: its catalog in a real Postgres, its files in an S3, several accounts loaded side by side."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import uuid4

import dlt
import duckdb
import psycopg2
import pytest
from dlt.load.load import Load
from wistia_pipeline.maintenance import maintain
from wistia_pipeline.models import build_models
from wistia_pipeline.sandbox import Sandbox

from tests.conftest import NOW, Warehouse, settings_for
from tests.mart_rows import ACCOUNT as ACCOUNT
from tests.mart_rows import GRAINS, assert_right, differences, held, load, marts_of
from tests.object_storage import ObjectStorage, object_storage
from tests.postgres import database

pytestmark = [pytest.mark.slow, pytest.mark.timeout(600)]

HOUR, DAY = timedelta(hours=1), timedelta(days=1)
TODAY = datetime.now(UTC).replace(microsecond=0)
"""The command line has no other clock."""
SECTION = "DESTINATION__DUCKLAKE__CREDENTIALS"


@pytest.fixture(scope="module")
def storage() -> Iterator[ObjectStorage]:
    """One for all."""
    with object_storage() as server:
        yield server


@dataclass(frozen=True)
class Lake:
    """A lake that nobody has loaded yet."""

    catalog: str
    bucket: str
    storage: ObjectStorage

    def settings(self) -> dict[str, str]:
        """How it is set."""
        return {
            f"{SECTION}__CATALOG": self.catalog,
            f"{SECTION}__DUCKLAKE_NAME": "lake",
            f"{SECTION}__STORAGE__BUCKET_URL": f"s3://{self.bucket}/wistia",
            **{f"{SECTION}__STORAGE__CREDENTIALS__{name}": value for name, value in self.storage.settings().items()},
        }

    def files(self) -> dict[str, bytes]:
        """All that is in its storage."""
        return self.storage.objects(self.bucket)

    def catalogued(self, query: str) -> list[tuple[Any, ...]]:
        """What its catalog says."""
        with closing(psycopg2.connect(self.catalog)) as connection, connection.cursor() as cursor:
            cursor.execute(query)
            return list(cursor.fetchall())


@pytest.fixture
def lake(postgres_url: str, storage: ObjectStorage) -> Iterator[Lake]:
    """An empty one."""
    bucket = f"lake-{uuid4().hex[:12]}"
    storage.bucket(bucket)
    with database(postgres_url) as catalog:
        yield Lake(catalog, bucket, storage)


class LakeWarehouse(Warehouse):
    """The same, as the other tests know a warehouse."""

    @contextmanager
    def cursor(self) -> Iterator[Any]:
        """The connection itself: another one of it would not know the lake."""
        with closing(self.connect()) as connection:
            yield connection


@pytest.fixture
def lake_warehouse(lake: Lake, monkeypatch: pytest.MonkeyPatch) -> Warehouse:
    """An empty one, for runs in this process."""
    for name, value in lake.settings().items():
        monkeypatch.setenv(name, value)

    def connect() -> Any:
        connection = duckdb.connect()
        client: Any = made.pipeline().sql_client()
        for statement in client.attach_statements(alias="lake"):
            connection.execute(statement["sql"])
        connection.execute("use lake")
        connection.execute("set timezone = 'UTC'")
        return connection

    made = LakeWarehouse("ducklake", dlt.destinations.ducklake(), connect, "wistia_raw")
    return made


def test_every_mart_holds_what_the_account_shows_and_what_duckdb_holds(
    lake_warehouse: Warehouse, duckdb_warehouse: Warehouse, living: Sandbox
) -> None:
    both = (lake_warehouse, duckdb_warehouse)
    for warehouse in both:
        load(warehouse, living)
    assert_right(lake_warehouse, marts_of(living))
    view = living.account.at(NOW)
    medias, events = view.medias(), view.events()
    living.account.add_late_event(medias[0]["hashed_id"], NOW - 40 * DAY, percent_viewed=0.95)
    living.account.restate_event(events[3]["event_key"], percent_viewed=1.0)
    living.account.restate_event(events[90]["event_key"], percent_viewed=0.05, email="late@example.com")
    for warehouse in both:
        hourly = load(warehouse, living, NOW + HOUR, events_lookback_hours=2400, visitors_lookback_hours=2400)
        assert hourly.built == 8
    assert_right(lake_warehouse, marts_of(living, NOW + HOUR))
    agree(*both)
    maintain(lake_warehouse.pipeline(), timedelta(0))
    assert build_models(lake_warehouse.pipeline(), full_refresh=True).failures == []
    agree(*both)


def test_tables_are_loaded_one_after_the_other(
    lake_warehouse: Warehouse, living: Sandbox, monkeypatch: pytest.MonkeyPatch
) -> None:
    begun: list[int] = []
    ended: list[int] = []
    run_job = Load.w_run_job

    def watched(*arguments: Any, **named: Any) -> Any:
        begun.append(len(ended))
        try:
            return run_job(*arguments, **named)
        finally:
            ended.append(1)

    monkeypatch.setattr(Load, "w_run_job", watched)
    lake_warehouse.sync(settings_for(living), ("medias", "projects"))
    assert begun == list(range(len(begun)))
    assert len(begun) >= 4


def agree(*both: Warehouse) -> None:
    """Two warehouses hold the same marts, row by row."""
    one, other = ({mart: held(warehouse, mart) for mart in GRAINS} for warehouse in both)
    wrong = [line for mart in GRAINS for line in differences(mart, one[mart], other[mart])]
    assert not wrong, "\n".join(wrong)
