"""What the tests share: a local Wistia API over real HTTP, a real DuckDB, a real Postgres."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import hypothesis
import pytest
from wistia_pipeline.runtime.settings import use_defaults
from wistia_pipeline.sandbox import Account, Sandbox

from tests.support import shared
from tests.support.postgres import database, installations, server
from tests.support.sandbox import NOW, TOKEN, files_with_token
from tests.support.warehouse import Warehouse, in_duckdb, in_postgres

# how long an example takes says nothing: the machine may be busy with other tests
hypothesis.settings.register_profile("suite", deadline=None, derandomize=True, max_examples=30)
hypothesis.settings.register_profile("deep", deadline=None, max_examples=500)
hypothesis.settings.load_profile("suite")

SETTINGS = (
    "SOURCES__",
    "DESTINATION__",
    "WISTIA_PIPELINE__",
    "EXTRACT__",
    "NORMALIZE__",
    "LOAD__",
    "RUNTIME__",
    "DBT_",
)
"""How variables of the environment begin that a user may have set, for this project or for others of dlt and dbt."""


def pytest_configure(config: pytest.Config) -> None:
    """Makes what all workers share, unless they have it from the process that started them."""
    if shared.FOLDER not in os.environ:
        shared.begin()
        config.add_cleanup(shared.end)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """What may take longest, more than five minutes, begins first: at the end, one core would wait for the other.

    The export's tests begin with what those of the marts make, the report's with what the export's make: beside them
    they would wait for it.
    """

    def place(item: pytest.Item) -> tuple[float, str]:
        most: float = max((mark.args[0] for mark in item.iter_markers("timeout")), default=0)
        path = str(item.path).replace("/outputs/test_report", "/source/~").replace("/outputs/", "/runs/~")
        return -most if most > 300 else 0, path

    items.sort(key=place)


@pytest.fixture(autouse=True)
def _own_folders(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """No test sees another's state, or the settings of the machine; and none leaves the access token in its folder."""
    for name in [name for name in os.environ if name.startswith(SETTINGS)]:
        monkeypatch.delenv(name)
    monkeypatch.setenv("DLT_DATA_DIR", str(tmp_path / "dlt"))
    monkeypatch.chdir(tmp_path)
    use_defaults()
    yield
    assert {path.name for path in files_with_token(tmp_path)} <= {"secrets.toml"}


@pytest.fixture(scope="session")
def account() -> Account:
    """More than 100 medias, every quirk, and few enough rows to compare them all."""
    return Account(seed=7, start=NOW, medias=130, projects=8, visitors=700, events=3_000, days=400)


@pytest.fixture
def sandbox(account: Account) -> Iterator[Sandbox]:
    """The account over HTTP, its clock at NOW. Tests that change the account make their own."""
    with Sandbox(account, now=lambda: NOW, rate_limit=None, token=TOKEN) as server:
        yield server


@pytest.fixture
def living(request: pytest.FixtureRequest) -> Iterator[Sandbox]:
    """The small account that the module calls ACCOUNT, new for each test, which may change it."""
    with Sandbox(Account(start=NOW, **request.module.ACCOUNT), rate_limit=None, token=TOKEN) as server:
        yield server


@pytest.fixture(scope="session")
def postgres_url() -> str:
    """A Postgres server that all workers share: WISTIA_TEST_POSTGRES_URL, or one of our own."""
    return os.environ.get("WISTIA_TEST_POSTGRES_URL") or shared.postgres()


@pytest.fixture
def duckdb_warehouse(tmp_path: Path) -> Warehouse:
    """An empty DuckDB file."""
    return in_duckdb(tmp_path / "warehouse.duckdb")


@pytest.fixture
def postgres_warehouse(postgres_url: str) -> Iterator[Warehouse]:
    """An empty Postgres database."""
    with database(postgres_url) as url:
        yield in_postgres(url)


@pytest.fixture(params=installations()[1:], ids=lambda folder: folder.parent.name)
def other_postgres_warehouse(request: pytest.FixtureRequest) -> Iterator[Warehouse]:
    """An empty database in each further release of Postgres at hand."""
    with server(request.param) as url:
        yield in_postgres(url)


@pytest.fixture(params=["duckdb", pytest.param("postgres", marks=pytest.mark.slow)])
def warehouse(request: pytest.FixtureRequest) -> Warehouse:
    """Each test that uses it runs on both destinations; on Postgres with the slow ones, unless it is `IN_BOTH`."""
    chosen: Warehouse = request.getfixturevalue(f"{request.param}_warehouse")
    return chosen
