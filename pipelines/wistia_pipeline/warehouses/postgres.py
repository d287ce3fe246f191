"""Postgres: many readers and, account by account, many writers."""

from collections.abc import Iterable, Iterator
from contextlib import AbstractContextManager, closing, contextmanager
from datetime import timedelta
from typing import Any

import dlt
import pyarrow as pa
from dlt.common.configuration.exceptions import ConfigFieldMissingException
from dlt.common.configuration.specs.exceptions import InvalidConnectionString

from wistia_source.endpoints import ACCOUNT_ID, EVENTS, TABLES
from wistia_source.rows import LOAD_ID, primary_key
from wistia_source.warehouse import connected

from ..runtime.extras import of_extra
from ..runtime.redaction import first_line, module_of
from .base import Destination, NotTried, Profile, Query, make_and_forget
from .catalog import base_tables
from .locks import Hold, advisory_held
from .resolved_once import ResolvedOnce
from .schemas import model_schemas

FORM = "set DESTINATION__POSTGRES__CREDENTIALS to an address such as postgresql://user:password@host:5432/database"
TESTED = range(14, 19)
OF_THE_URL = ("sslmode", "sslcert", "sslkey", "sslrootcert", "application_name")
"""What a Postgres URL may ask for that dbt knows, too."""
PASSWORD = "DBT_ENV_SECRET_WISTIA_PASSWORD"  # noqa: S105
"""dbt keeps variables of this name out of its logs and errors."""
_ARROW = "adbc_driver_postgresql.dbapi"


class postgres(ResolvedOnce, dlt.destinations.postgres):
    """The destination; dlt calls it by the name of its class."""


class Postgres(Destination):
    """A database of a Postgres server."""

    factory = postgres
    extra = "postgres"
    needs = "postgres|psycopg2|adbc"
    adapter = "postgres"
    is_database = True
    text_type = "text"
    bytewise = ' collate "C"'
    # dlt's default, CSV, would turn "" into NULL
    loader_file_format = "parquet"

    def require_usable(self) -> None:
        of_extra("postgres", "psycopg2")
        # without it dlt would take another format, without a word
        of_extra("postgres", _ARROW)

    def held(self, by: str | None = None) -> AbstractContextManager[Hold]:
        return advisory_held(self._connect, self.pipeline.dataset_name, by or self.pipeline.pipeline_name)

    @property
    def _url(self) -> str:
        return str(self.pipeline.sql_client().credentials.to_native_representation())

    def _connect(self) -> Any:
        return of_extra("postgres", "psycopg2").connect(self._url)

    def index_for_loads(self) -> None:
        """Makes the indexes that tables still lack: of keys, by which rows are merged, and of a feed's times, by which
        what is held is read. dlt makes none for a primary key; DuckDB does both faster without."""
        with connected(self.pipeline) as client:
            made = base_tables(client, self.pipeline.dataset_name)
            for endpoint in TABLES:
                if endpoint.name not in made:
                    continue
                table = client.make_qualified_table_name(endpoint.name)
                key = ", ".join(primary_key(endpoint))
                client.execute_sql(f"create unique index if not exists {endpoint.name}_key on {table} ({key})")
                if endpoint.kind == "feed":
                    columns = f"{ACCOUNT_ID.name}, {endpoint.cursor}"
                    client.execute_sql(f"create index if not exists {endpoint.name}_cursor on {table} ({columns})")

    def index_for_models(self) -> None:
        # new sessions are found by their load; DuckDB keeps what it needs for that by itself
        with connected(self.pipeline) as client:
            events = client.make_qualified_table_name(EVENTS.name)
            client.execute_sql(f"create index if not exists events_by_load on {events} ({LOAD_ID})")

    @contextmanager
    def snapshot(self) -> Iterator[Query]:
        with (
            closing(of_extra("postgres", _ARROW).connect(self._url)) as connection,
            closing(connection.cursor()) as cursor,
        ):
            cursor.execute("set session characteristics as transaction isolation level repeatable read read only")
            cursor.execute("set timezone to 'UTC'")
            connection.commit()
            # of Arrow; by default it is 16 MB
            batch_bytes = of_extra("postgres", "adbc_driver_postgresql").StatementOptions.BATCH_SIZE_HINT_BYTES
            cursor.adbc_statement.set_options(**{batch_bytes.value: str(2**20)})

            def run(query: str, *values: Any) -> pa.RecordBatchReader:
                # a list without values would be a row to bind
                cursor.execute(query, list(values) or None)
                answer: pa.RecordBatchReader = cursor.fetch_record_batch()
                return answer

            yield run

    def profile(self) -> Profile:
        credentials = self.pipeline.sql_client().credentials
        asked = {name: value for name, value in (credentials.query or {}).items() if name in OF_THE_URL}
        output = asked | {
            "type": "postgres",
            "host": credentials.host,
            "port": credentials.port,
            "user": credentials.username,
            "password": f"{{{{ env_var('{PASSWORD}') }}}}",
            "dbname": credentials.database,
            "connect_timeout": credentials.connect_timeout,
            "threads": 4,
        }
        return output, {PASSWORD: credentials.password or ""}

    def try_to_land(self) -> str:
        self.require_usable()
        with self.held(), connected(self.pipeline) as client:
            make_and_forget(self.pipeline, client)
            ((number, text),) = client.execute_sql(
                "select current_setting('server_version_num')::int / 10000, current_setting('server_version')"
            ) or ((0, ""),)
        require_tested(number, text)
        return f"postgres {text}"

    @staticmethod
    def explain(error: BaseException) -> str | None:
        if isinstance(error, ConfigFieldMissingException) and "PostgresCredentials" in str(error):
            # dlt insists on a password even where the server does not
            return f"The Postgres credentials are missing, or lack a part such as the password; {FORM}."
        if isinstance(error, InvalidConnectionString) and "Postgres" in str(error):
            return f"The Postgres credentials cannot be read; {FORM}."
        if isinstance(error, OSError) and "[libpq]" in str(error):
            # so says the Arrow driver while rows come in; after Ctrl-C, too, of which it tells the server
            return f"Postgres has ended the query: {first_line(error).rpartition('ERROR:')[2].strip()}; run again."
        if module_of(error) not in ("psycopg2", "adbc_driver_manager"):
            return None
        reason = first_line(error).rstrip(".")
        if type(error).__name__ == "OperationalError":
            return f"Postgres cannot be reached: {reason}; check the server and DESTINATION__POSTGRES__CREDENTIALS."
        if "invalid dsn" in reason:
            return f"The Postgres credentials cannot be read; {FORM}."
        if type(error).__name__ == "InsufficientPrivilege":
            return f"Postgres refuses: {reason}; grant it to the user of DESTINATION__POSTGRES__CREDENTIALS."
        return None

    def _maintain(self, keep: timedelta) -> dict[str, int]:
        with connected(self.pipeline) as client:
            tables = [
                (schema, name)
                for schema in (self.pipeline.dataset_name, *model_schemas(self.pipeline.dataset_name))
                for name in base_tables(client, schema)
            ]
            for schema, name in tables:
                with client.with_alternative_dataset_name(schema):
                    client.execute_sql(f"vacuum (analyze) {client.make_qualified_table_name(name)}")
        return {"tables vacuumed": len(tables)}

    def compact(self, tables: Iterable[tuple[str, str]]) -> None:
        with connected(self.pipeline) as client:
            for schema, table in tables:
                with client.with_alternative_dataset_name(schema):
                    # a plain one leaves the bytes of dead rows where they are, and values of theirs in statistics
                    client.execute_sql(f"vacuum (full, analyze) {client.make_qualified_table_name(table)}")


def require_tested(release: int, text: str) -> None:
    """Raises `NotTried` for a release of Postgres that is not tested."""
    if release not in TESTED:
        raise NotTried(
            f"Postgres {text} answers, but {TESTED[0]} to {TESTED[-1]} are what is tested; better use one of these."
        )
