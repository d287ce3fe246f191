"""Takes forgotten people out of what the warehouse holds: tables, marts, and what loads and logs have left there.

Whom to look for is in the table `forgotten` alone, so that what was begun can be ended by any later run.
"""

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from itertools import islice
from typing import Any

import dlt
from dlt.destinations.exceptions import DatabaseUndefinedRelation
from dlt.destinations.sql_client import SqlClientBase

from wistia_source.endpoints import ACCOUNT_ID, EVENTS, FORGOTTEN, VISITORS, Endpoint
from wistia_source.forgotten import GONE, Forgotten, Mode, strongest
from wistia_source.pii import Pii
from wistia_source.rows import LOAD_ID, ROW_HASH, all_columns
from wistia_source.warehouse import connected

from ..models.build import BUILT_FROM
from ..warehouses.catalog import base_tables, columns_of, rows
from ..warehouses.kinds import destination_of
from ..warehouses.run_log import LOG_TABLES
from ..warehouses.schemas import model_schemas

KEYS_AT_ONCE = 500
_QUOTED = re.compile(r"'([^']+)'")
_KEYS = ("viewer_key", "visitor_key")


@dataclass
class Erased:
    """What was taken out."""

    rows: dict[str, int] = field(default_factory=dict)
    """By table: rows removed, or hashed."""
    visitors: int = 0
    """Visitor keys that are forgotten now, and had rows."""
    pages: int = 0
    """Rows of others out of whose page the address was taken."""

    def count(self, table: Endpoint, rows: int) -> None:
        """Adds to the rows of a table."""
        self.rows[table.name] = self.rows.get(table.name, 0) + rows


def erase_forgotten(pipeline: dlt.Pipeline, pii: Pii) -> Erased:
    """Takes out whom the table `forgotten` calls unsettled, in one transaction. Raises `SettingInvalid`."""
    erased = Erased()
    if not destination_of(pipeline).is_database:
        return erased
    with connected(pipeline) as client:
        if not _unsettled(client):
            return erased
        with client.begin_transaction():
            columns = {table: columns_of(client, client.dataset_name, table.name) for table in (VISITORS, EVENTS)}
            tables = {table: names for table, names in columns.items() if names}
            marts = {name: names for *_, name, names in _mart_tables(client)}
            accounts: set[str] = set()
            for table in tables:
                name = client.make_qualified_table_name(table.name)
                accounts.update(account for (account,) in rows(client, f"select distinct account_id from {name}"))  # noqa: S608
            for account in sorted(accounts):
                forgotten = _forgotten(client, "where account_id in (%s, '')", account)
                forgotten.require_secret(pii)
                _Erasure(client, pii, account, forgotten, tables, marts, erased).run()
            _clear_logs(client, pii)
            _drop_staging(client)
            if erased.pages or any(erased.rows.values()):
                _outdate_models(client)
                _note_now(client, "removed_at")
    return erased


def end_erasure(pipeline: dlt.Pipeline) -> None:
    """Makes the bytes of what was taken out unreadable, and notes that all is done.

    After the models were built: they leave bytes behind, too. Raises `NotCompacted`.
    """
    if not destination_of(pipeline).is_database:
        return
    with connected(pipeline) as client:
        unsettled = _unsettled(client)
        touched = _tables_with_people(client) if unsettled else []
    if any(removed_at for (removed_at,) in unsettled):
        destination_of(pipeline).compact(touched)
    if unsettled:
        with connected(pipeline) as client:
            _note_now(client, "settled_at")


@dataclass
class _Erasure:
    """What one account holds of the people that it forgets."""

    client: SqlClientBase[Any]
    pii: Pii
    account: str
    forgotten: Forgotten
    tables: Mapping[Endpoint, list[str]]
    """Those of visitors and sessions that are there, with their columns."""
    marts: Mapping[str, list[str]]
    """By qualified name: the columns of the models' tables that name people."""
    erased: Erased

    def run(self) -> None:
        """Takes all of it out."""
        keys, nameless = self._people()
        self.erased.visitors += len(keys)
        for table in self.tables:
            for mode in ("remove", "hash"):
                for some in _batches(key for key, own in keys.items() if own == mode):
                    self._take_out(table, mode, f"visitor_key in ({_marks(some)})", *some)
        for event_key, mode in nameless.items():
            self._take_out(EVENTS, mode, "visitor_key = '' and event_key = %s", event_key)
        self._clear_marts([*keys, *nameless])
        if EVENTS in self.tables:
            self._clear_pages()
        note_forgotten(self.client, self.account, self.forgotten.take_found(datetime.now(UTC)))

    def _people(self) -> tuple[dict[str, Mode], dict[str, Mode]]:
        """Visitor keys, and event keys of sessions without a visitor key, that are somebody's who is forgotten."""
        keys: set[str] = set()
        nameless: dict[str, Mode] = {}
        for table in self.tables:
            emails = [column.name for column in table.columns if column.personal == "email"]
            known = " or ".join(f"{name} <> ''" for name in emails)
            columns = ", ".join([table.primary_key[0], "visitor_key", *emails])
            for own_key, visitor_key, *texts in self._select(table, columns, f"({known})"):
                mode = self.forgotten.mode_of(visitor_key, texts, self.pii)
                if mode and not visitor_key:
                    nameless[own_key] = mode
            keys.update(key for (key,) in self._select(table, "distinct visitor_key"))
        modes = {key: self.forgotten.mode("visitor_key", key, self.pii) for key in keys}
        return {key: mode for key, mode in modes.items() if mode}, nameless

    def _take_out(self, table: Endpoint, mode: str, where: str, *values: Any) -> None:
        if mode == "hash":
            self._hash(table, where, *values)
            return
        which = f"from {self._name(table)} where account_id = %s and {where}"
        ((count,),) = rows(self.client, f"select count(*) {which}", self.account, *values)
        self.client.execute_sql(f"delete {which}", self.account, *values)
        self.erased.count(table, count)

    def _hash(self, table: Endpoint, where: str, *values: Any) -> None:
        """Makes rows nobody's; without a hash of their own, so that they are written again when they are read again."""
        pii, names = Pii("hash", self.pii.secret), self.tables[table]
        kinds = {column.name: column.personal for column in table.columns if column.personal}
        declared = {column.name for column in all_columns(table)} | {LOAD_ID}
        kinds |= dict.fromkeys(set(names) - declared, "identifier")
        quoted = {name: self.client.escape_column_name(name) for name in names}
        same_key = " and ".join(f"{name} = %s" for name in table.primary_key)
        for row in list(self._select(table, ", ".join(quoted.values()), where, *values)):
            old = dict(zip(names, row, strict=True))
            new = {name: pii.value(kind, old[name]) for name, kind in kinds.items() if name in old}
            new["visitor_key"] = pii.hashed(old["visitor_key"])
            if any(value != old[name] for name, value in new.items()):
                sets = ", ".join(f"{quoted[name]} = %s" for name in new)
                self.client.execute_sql(
                    f"update {self._name(table)} set {sets}, {ROW_HASH.name} = null "  # noqa: S608
                    f"where account_id = %s and {same_key}",
                    *(*new.values(), self.account, *(old[name] for name in table.primary_key)),
                )
                self.erased.count(table, 1)

    def _clear_marts(self, keys: Sequence[str]) -> None:
        """Takes people out of the tables of the models at once, should these never be built again; sums come with a
        build."""
        for name, columns in self.marts.items():
            for column in set(_KEYS).intersection(columns):
                for some in _batches(keys):
                    self.client.execute_sql(
                        f"delete from {name} where account_id = %s and {column} in ({_marks(some)})",  # noqa: S608
                        *(self.account, *some),
                    )

    def _clear_pages(self) -> None:
        """Takes addresses out of the pages of other people's sessions, there and in the tables of the models."""
        sets = {name: "embed_url = %s" for name, columns in self.marts.items() if "embed_url" in columns}
        sets[self._name(EVENTS)] = f"embed_url = %s, {ROW_HASH.name} = null"
        where = "(embed_url like %s or embed_url like %s) group by 1"
        for url, count in list(self._select(EVENTS, "embed_url, count(*)", where, "%@%", "%40%")):
            if (cleared := self.forgotten.without_addresses(url, self.pii)) != url:
                for name, changes in sets.items():
                    self.client.execute_sql(
                        f"update {name} set {changes} where account_id = %s and embed_url = %s",  # noqa: S608
                        *(cleared, self.account, url),
                    )
                self.erased.pages += count

    def _select(self, table: Endpoint, columns: str, where: str = "true", *values: Any) -> Iterator[Sequence[Any]]:
        query = f"select {columns} from {self._name(table)} where account_id = %s and {where}"  # noqa: S608
        with self.client.execute_query(query, self.account, *values) as cursor:
            while fetched := cursor.fetchmany(10_000):
                yield from fetched

    def _name(self, table: Endpoint) -> str:
        return self.client.make_qualified_table_name(table.name)


def note_forgotten(client: SqlClientBase[Any], account: str, people: Iterable[Mapping[str, Any]]) -> None:
    """Puts rows into the table; nobody who is to be removed is hashed instead."""
    name = client.make_qualified_table_name(FORGOTTEN.name)
    columns = [ACCOUNT_ID.name, "kind", "digest", "mode", "salt", "forgotten_at", LOAD_ID]
    for row in people:
        key = (account, row["kind"], row["digest"])
        which = f"from {name} where account_id = %s and kind = %s and digest = %s"
        mode = strongest(row["mode"], *(known for (known,) in rows(client, f"select mode {which}", *key)))
        client.execute_sql(f"delete {which}", *key)
        client.execute_sql(
            f"insert into {name} ({', '.join(columns)}) values ({_marks(columns)})",  # noqa: S608
            *(*key, mode, row["salt"], datetime.now(UTC), ""),
        )


def _unsettled(client: SqlClientBase[Any]) -> list[Sequence[Any]]:
    """When rows of people who are not settled yet were removed; nothing where all are settled."""
    name = client.make_qualified_table_name(FORGOTTEN.name)
    try:
        return rows(client, f"select distinct removed_at from {name} where settled_at is null")  # noqa: S608
    except DatabaseUndefinedRelation:
        # of an older release, or nothing is loaded yet
        return []


def _note_now(client: SqlClientBase[Any], column: str) -> None:
    """Notes the time for whom is not settled yet."""
    name = client.make_qualified_table_name(FORGOTTEN.name)
    client.execute_sql(f"update {name} set {column} = %s where settled_at is null", datetime.now(UTC))  # noqa: S608


def _forgotten(client: SqlClientBase[Any], where: str = "", *values: Any) -> Forgotten:
    name = client.make_qualified_table_name(FORGOTTEN.name)
    return Forgotten.of(rows(client, f"select kind, digest, mode, salt from {name} {where}", *values))  # noqa: S608


def _clear_logs(client: SqlClientBase[Any], pii: Pii) -> None:
    """Takes visitor keys out of errors, which name the row that they are about."""
    forgotten = _forgotten(client)

    def cleared(found: re.Match[str]) -> str:
        return f"'{GONE}'" if forgotten.mode("visitor_key", found.group(1), pii) else found.group()

    for table in LOG_TABLES:
        log = client.make_qualified_table_name(table.name)
        for (error,) in rows(client, f"select distinct error from {log} where error is not null"):  # noqa: S608
            if (new := _QUOTED.sub(cleared, error)) != error:
                client.execute_sql(f"update {log} set error = %s where error = %s", new, error)  # noqa: S608


def _drop_staging(client: SqlClientBase[Any]) -> None:
    """dlt leaves the rows of the last load where it had merged them from; Postgres would keep values of an empty table
    in its statistics. The next load makes the schema again."""
    with client.with_staging_dataset():
        if client.has_dataset():
            client.drop_dataset()


def _outdate_models(client: SqlClientBase[Any]) -> None:
    """Makes the next build one of everything, whoever starts it."""
    if columns_of(client, client.dataset_name, BUILT_FROM):
        client.execute_sql(f"update {client.make_qualified_table_name(BUILT_FROM)} set fingerprint = ''")  # noqa: S608


def _mart_tables(client: SqlClientBase[Any]) -> Iterator[tuple[str, str, str, list[str]]]:
    """The tables of the models that name people: their schema, name, qualified name and columns."""
    for schema in model_schemas(client.dataset_name):
        for table in base_tables(client, schema):
            columns = columns_of(client, schema, table)
            if {*_KEYS, "embed_url"}.intersection(columns):
                with client.with_alternative_dataset_name(schema):
                    name = client.make_qualified_table_name(table)
                yield schema, table, name, columns


def _tables_with_people(client: SqlClientBase[Any]) -> list[tuple[str, str]]:
    """The tables out of which rows are taken, with their schemas."""
    named = {table.name for table in (VISITORS, EVENTS, *LOG_TABLES)}
    raw = [(client.dataset_name, name) for name in base_tables(client, client.dataset_name) if name in named]
    return [*raw, *((schema, table) for schema, table, *_ in _mart_tables(client))]


def _batches(keys: Iterable[str]) -> Iterator[list[str]]:
    rest = iter(keys)
    while some := list(islice(rest, KEYS_AT_ONCE)):
        yield some


def _marks(values: Iterable[Any]) -> str:
    return ", ".join("%s" for _ in values)
