"""Takes forgotten people out of what the warehouse holds: tables, marts, and what loads and logs have left there.

Whom to look for is in the table `forgotten` alone, so that what was begun can be ended by any later run.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from itertools import islice
from typing import Any

import dlt
from dlt.destinations.exceptions import DatabaseUndefinedRelation
from dlt.destinations.sql_client import SqlClientBase

from wistia_source.endpoints import ACCOUNT_ID, EVENTS, FORGOTTEN, VISITORS, Endpoint
from wistia_source.forgotten import GONE, STRENGTH, Forgotten, Mode
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

    def __bool__(self) -> bool:
        return bool(self.pages or any(self.rows.values()))


def erase_forgotten(pipeline: dlt.Pipeline, pii: Pii) -> Erased:
    """Takes out whom the table `forgotten` calls unsettled, in one transaction. Raises `SettingInvalid`."""
    erased = Erased()
    if not destination_of(pipeline).is_database:
        return erased
    with connected(pipeline) as client:
        if not _is_unsettled(client):
            return erased
        with client.begin_transaction():
            accounts: set[str] = set()
            for table in (VISITORS, EVENTS):
                if columns_of(client, client.dataset_name, table.name):
                    name = client.make_qualified_table_name(table.name)
                    accounts.update(account for (account,) in rows(client, f"select distinct account_id from {name}"))  # noqa: S608
            for account in sorted(accounts):
                _Erasure(client, pii, erased, account, _forgotten_by(client, account)).run()
            _clear_logs(client, pii)
            _drop_staging(client)
            if erased:
                _outdate_models(client)
                table_name = client.make_qualified_table_name(FORGOTTEN.name)
                client.execute_sql(
                    f"update {table_name} set removed_at = %s where settled_at is null",  # noqa: S608
                    datetime.now(UTC),
                )
    return erased


def end_erasure(pipeline: dlt.Pipeline) -> bool:
    """Makes the bytes of what was taken out unreadable, and notes that all is done; whether there was anything.

    After the models were built: they leave bytes behind, too. Raises `NotCompacted`.
    """
    if not destination_of(pipeline).is_database:
        return False
    with connected(pipeline) as client:
        if not _is_unsettled(client):
            return False
        name = client.make_qualified_table_name(FORGOTTEN.name)
        removed = rows(client, f"select 1 from {name} where settled_at is null and removed_at is not null limit 1")  # noqa: S608
        touched = _tables_with_people(client)
    if removed:
        destination_of(pipeline).compact(touched)
    with connected(pipeline) as client:
        client.execute_sql(
            f"update {name} set settled_at = %s where settled_at is null",  # noqa: S608
            datetime.now(UTC),
        )
    return bool(removed)


class _Erasure:
    """What one account holds of the people that it forgets."""

    def __init__(
        self, client: SqlClientBase[Any], pii: Pii, erased: Erased, account: str, forgotten: Forgotten
    ) -> None:
        forgotten.require_secret(pii)
        self._client, self._pii, self._erased, self._account, self._forgotten = client, pii, erased, account, forgotten
        self._tables = {
            table.name: columns
            for table in (VISITORS, EVENTS)
            if (columns := columns_of(client, client.dataset_name, table.name))
        }

    def run(self) -> None:
        """Takes all of it out."""
        keys, nameless = self._people()
        self._erased.visitors += len(keys)
        for table in (VISITORS, EVENTS):
            if table.name in self._tables:
                self._take_out(table, keys)
        self._take_out_nameless(nameless)
        pages = self._clear_pages() if EVENTS.name in self._tables else []
        self._clear_marts([*keys, *nameless], pages)
        note_forgotten(self._client, self._account, self._forgotten.take_found(datetime.now(UTC)))

    def _people(self) -> tuple[dict[str, Mode], dict[str, Mode]]:
        """Visitor keys, and event keys of sessions without a visitor key, that are somebody's who is forgotten."""
        keys: set[str] = set()
        nameless: dict[str, Mode] = {}
        for table in (VISITORS, EVENTS):
            if table.name not in self._tables:
                continue
            emails = [column.name for column in table.columns if column.personal == "email"]
            known = " or ".join(f"{name} <> ''" for name in emails)
            columns = ", ".join([table.primary_key[0], "visitor_key", *emails])
            for own_key, visitor_key, *texts in self._select(table, columns, f"and ({known})"):
                mode = self._forgotten.mode_of(visitor_key, texts, self._pii)
                if mode and not visitor_key:
                    nameless[own_key] = mode
            keys.update(key for (key,) in self._select(table, "distinct visitor_key"))
        modes = {key: self._forgotten.mode("visitor_key", key, self._pii) for key in keys}
        return {key: mode for key, mode in modes.items() if mode}, nameless

    def _take_out(self, table: Endpoint, keys: dict[str, Mode]) -> None:
        name = self._client.make_qualified_table_name(table.name)
        of_mode = {mode: [key for key, own in keys.items() if own == mode] for mode in STRENGTH if mode}
        for some in _batches(of_mode["remove"]):
            self._remove(table.name, f"from {name} where account_id = %s and visitor_key in ({_marks(some)})", some)
        for some in _batches(of_mode["hash"]):
            self._hash(table, f"and visitor_key in ({_marks(some)})", *some)

    def _take_out_nameless(self, nameless: dict[str, Mode]) -> None:
        name = self._client.make_qualified_table_name(EVENTS.name)
        for event_key, mode in nameless.items():
            if mode == "hash":
                self._hash(EVENTS, "and visitor_key = '' and event_key = %s", event_key)
            else:
                where = f"from {name} where account_id = %s and visitor_key = '' and event_key = %s"
                self._remove(EVENTS.name, where, [event_key])

    def _remove(self, table: str, which: str, values: Sequence[Any]) -> None:
        """Removes rows, and counts them."""
        ((count,),) = rows(self._client, f"select count(*) {which}", self._account, *values)
        self._client.execute_sql(f"delete {which}", self._account, *values)
        self._erased.rows[table] = self._erased.rows.get(table, 0) + count

    def _hash(self, table: Endpoint, where: str, *values: Any) -> None:
        """Makes rows nobody's; without a hash of their own, so that they are written again when they are read again."""
        pii, names = Pii("hash", self._pii.secret), self._tables[table.name]
        kinds = {column.name: column.personal for column in table.columns if column.personal}
        declared = {column.name for column in all_columns(table)} | {LOAD_ID}
        kinds |= dict.fromkeys(set(names) - declared, "identifier")
        qualified = self._client.make_qualified_table_name(table.name)
        quoted = [self._client.escape_column_name(name) for name in names]
        for row in list(self._select(table, ", ".join(quoted), where, *values)):
            old = dict(zip(names, row, strict=True))
            new = {name: pii.value(kind, old[name]) for name, kind in kinds.items() if name in old}
            new["visitor_key"] = pii.hashed(old["visitor_key"])
            changed = {name: value for name, value in new.items() if value != old[name]}
            if not changed:
                continue
            sets = ", ".join(f"{self._client.escape_column_name(name)} = %s" for name in changed)
            key = {name: old[name] for name in table.primary_key}
            self._client.execute_sql(
                f"update {qualified} set {sets}, {ROW_HASH.name} = null where account_id = %s "  # noqa: S608
                f"and {' and '.join(f'{name} = %s' for name in key)}",
                *(*changed.values(), self._account, *key.values()),
            )
            self._erased.rows[table.name] = self._erased.rows.get(table.name, 0) + 1

    def _clear_pages(self) -> list[tuple[str, str]]:
        """Takes addresses out of the pages of other people's sessions: each such page, before and after."""
        name = self._client.make_qualified_table_name(EVENTS.name)
        found = self._select(
            EVENTS, "embed_url, count(*)", "and (embed_url like %s or embed_url like %s) group by 1", "%@%", "%40%"
        )
        pages = []
        for url, count in list(found):
            if (cleared := self._forgotten.without_addresses(url, self._pii)) != url:
                self._client.execute_sql(
                    f"update {name} set embed_url = %s, {ROW_HASH.name} = null "  # noqa: S608
                    "where account_id = %s and embed_url = %s",
                    *(cleared, self._account, url),
                )
                self._erased.pages += count
                pages.append((url, cleared))
        return pages

    def _clear_marts(self, keys: Sequence[str], pages: Sequence[tuple[str, str]]) -> None:
        """Takes them out of the tables of the models at once, should these never be built again; sums come with a
        build."""
        for schema, table, columns in _mart_tables(self._client):
            with self._client.with_alternative_dataset_name(schema):
                name = self._client.make_qualified_table_name(table)
            for column in set(_KEYS).intersection(columns):
                for some in _batches(keys):
                    self._client.execute_sql(
                        f"delete from {name} where account_id = %s and {column} in ({_marks(some)})",  # noqa: S608
                        *(self._account, *some),
                    )
            if "embed_url" in columns:
                for url, cleared in pages:
                    self._client.execute_sql(
                        f"update {name} set embed_url = %s where account_id = %s and embed_url = %s",  # noqa: S608
                        *(cleared, self._account, url),
                    )

    def _select(self, table: Endpoint, columns: str, where: str = "", *values: Any) -> Iterator[Sequence[Any]]:
        name = self._client.make_qualified_table_name(table.name)
        query = f"select {columns} from {name} where account_id = %s {where}"  # noqa: S608
        with self._client.execute_query(query, self._account, *values) as cursor:
            while fetched := cursor.fetchmany(10_000):
                yield from fetched


def note_forgotten(client: SqlClientBase[Any], account: str, people: Iterable[dict[str, Any]]) -> None:
    """Puts rows into the table; nobody who is to be removed is hashed instead."""
    name = client.make_qualified_table_name(FORGOTTEN.name)
    columns = [ACCOUNT_ID.name, "kind", "digest", "mode", "salt", "forgotten_at", LOAD_ID]
    for row in people:
        key = (account, row["kind"], row["digest"])
        known = rows(client, f"select mode from {name} where account_id = %s and kind = %s and digest = %s", *key)  # noqa: S608
        mode = max(row["mode"], *(mode for (mode,) in known), key=STRENGTH.__getitem__) if known else row["mode"]
        client.execute_sql(f"delete from {name} where account_id = %s and kind = %s and digest = %s", *key)  # noqa: S608
        client.execute_sql(
            f"insert into {name} ({', '.join(columns)}) values ({_marks(columns)})",  # noqa: S608
            *(*key, mode, row["salt"], row["forgotten_at"], ""),
        )


def _is_unsettled(client: SqlClientBase[Any]) -> bool:
    name = client.make_qualified_table_name(FORGOTTEN.name)
    try:
        return bool(rows(client, f"select 1 from {name} where settled_at is null limit 1"))  # noqa: S608
    except DatabaseUndefinedRelation:
        # of an older release, or nothing is loaded yet
        return False


def _forgotten_by(client: SqlClientBase[Any], account: str) -> Forgotten:
    name = client.make_qualified_table_name(FORGOTTEN.name)
    query = f"select kind, digest, mode, salt from {name} where account_id in (%s, '')"  # noqa: S608
    return Forgotten.of(rows(client, query, account))


def _clear_logs(client: SqlClientBase[Any], pii: Pii) -> None:
    """Takes visitor keys out of errors, which name the row that they are about."""
    name = client.make_qualified_table_name(FORGOTTEN.name)
    forgotten = Forgotten.of(rows(client, f"select kind, digest, mode, salt from {name}"))  # noqa: S608

    def cleared(found: re.Match[str]) -> str:
        return f"'{GONE}'" if forgotten.mode("visitor_key", found.group(1), pii) else found.group()

    for table in LOG_TABLES:
        if not columns_of(client, client.dataset_name, table.name):
            continue
        log = client.make_qualified_table_name(table.name)
        for (error,) in rows(client, f"select distinct error from {log} where error is not null"):  # noqa: S608
            if (new := _QUOTED.sub(cleared, error)) != error:
                client.execute_sql(f"update {log} set error = %s where error = %s", new, error)  # noqa: S608


def _drop_staging(client: SqlClientBase[Any]) -> None:
    """dlt leaves the rows of the last load where it had merged them from; Postgres would keep values of an empty table
    in its statistics. The next load makes the schema anew."""
    with client.with_staging_dataset():
        if client.has_dataset():
            client.drop_dataset()


def _outdate_models(client: SqlClientBase[Any]) -> None:
    """Makes the next build one of everything, whoever starts it."""
    if columns_of(client, client.dataset_name, BUILT_FROM):
        client.execute_sql(f"update {client.make_qualified_table_name(BUILT_FROM)} set fingerprint = ''")  # noqa: S608


def _mart_tables(client: SqlClientBase[Any]) -> Iterator[tuple[str, str, list[str]]]:
    for schema in model_schemas(client.dataset_name):
        for table in base_tables(client, schema):
            yield schema, table, columns_of(client, schema, table)


def _tables_with_people(client: SqlClientBase[Any]) -> list[tuple[str, str]]:
    """The tables out of which rows are taken, with their schemas."""
    raw = [(client.dataset_name, name) for name in base_tables(client, client.dataset_name)]
    named = {VISITORS.name, EVENTS.name, *(table.name for table in LOG_TABLES)}
    marts = [
        (schema, table)
        for schema, table, columns in _mart_tables(client)
        if {*_KEYS, "embed_url"}.intersection(columns)
    ]
    return [*(table for table in raw if table[1] in named), *marts]


def _batches(keys: Iterable[str]) -> Iterator[list[str]]:
    rest = iter(keys)
    while some := list(islice(rest, KEYS_AT_ONCE)):
        yield some


def _marks(values: Iterable[Any]) -> str:
    return ", ".join("%s" for _ in values)
