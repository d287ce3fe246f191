"""Exports a mart as a file: a batch at a time, so that its size does not matter, and the same from every warehouse."""

from collections.abc import Iterator, Mapping, Sequence
from datetime import date
from pathlib import Path
from typing import IO

import orjson
import pyarrow as pa
import pyarrow.compute as pc
from pyarrow import csv, parquet

from wistia_source.errors import WistiaError

from ..models.marts import Mart, NotBuilt
from ..warehouses.catalog import quoted
from ..warehouses.reading import Reader

Batches = Iterator[pa.RecordBatch]

_ROW_GROUP_BYTES = 32 * 2**20
_JSON = ("json", "jsonb")
_ISO = "%Y-%m-%dT%H:%M:%SZ"


class NotExported(WistiaError):
    """What was asked for cannot be exported."""


def export(
    reader: Reader,
    mart: Mart,
    file: IO[bytes],
    as_format: str,
    columns: Sequence[str] = (),
    start: date | None = None,
    end: date | None = None,
) -> int:
    """Writes the mart's rows of the days [start, end), ordered by what identifies them; returns how many.

    Columns come in the order of `columns`, or all in the mart's own. Raises `NotBuilt` or `NotExported`.
    """
    types = reader.columns(reader.marts).get(mart.name)
    if not types:
        raise NotBuilt(mart.name)
    chosen = list(columns) or list(types)
    if unknown := [name for name in chosen if name not in types]:
        raise NotExported(f"{mart.name} has no column {', '.join(unknown)}; it has {', '.join(types)}.")
    if twice := [name for name in types if chosen.count(name) > 1]:
        raise NotExported(f"--columns names {', '.join(twice)} more than once; name each column once.")
    json_columns = [name for name in chosen if types[name] in _JSON]
    answer = reader.batches(_query(reader, mart, types, chosen, start, end))
    count = 0

    def batches() -> Batches:
        nonlocal count
        for batch in answer:
            for name in json_columns:
                batch = _in_order_of_keys(batch, name)
            count += batch.num_rows
            yield batch

    FORMATS[as_format](file, answer.schema, batches(), json_columns)
    return count


def format_of(output: Path, named: str | None) -> str:
    """The format to write: the one that was named, or that of the file's ending. Raises `NotExported`."""
    found = named or output.suffix[1:].lower()
    found = {"jsonl": "ndjson"}.get(found, found)
    if found not in FORMATS:
        raise NotExported(
            f"--output {output} has no ending that names a format; choose {', '.join(FORMATS)} with --format."
        )
    return found


def _query(
    reader: Reader, mart: Mart, types: Mapping[str, str], columns: Sequence[str], start: date | None, end: date | None
) -> str:
    # with parameters Postgres would send the answer as a whole
    conditions = []
    if start or end:
        if mart.day is None:
            raise NotExported(f"The rows of {mart.name} are of no day; leave out --start and --end.")
        kind, midnight = ("date", "") if types[mart.day] == "date" else ("timestamptz", " 00:00:00+00")
        for sign, day in ((">=", start), ("<", end)):
            if day:
                conditions.append(f"{quoted(mart.day)} {sign} {kind} '{day.isoformat()}{midnight}'")
    warehouse = reader.destination
    selected = ", ".join(
        f"cast({quoted(name)} as {warehouse.text_type}) as {quoted(name)}" if types[name] in _JSON else quoted(name)
        for name in columns
    )
    order = ", ".join(
        f"of_mart.{quoted(name)}{warehouse.bytewise if types[name] == warehouse.text_type else ''}"
        for name in mart.grain
    )
    where = f"where {' and '.join(conditions)} " if conditions else ""
    return f"select {selected} from {quoted(reader.marts)}.{mart.name} as of_mart {where}order by {order}"  # noqa: S608


def _in_order_of_keys(batch: pa.RecordBatch, name: str) -> pa.RecordBatch:
    """JSON in one form: Postgres orders keys in its own way, and DuckDB leaves them as they came."""
    texts = [
        None if text is None else orjson.dumps(orjson.loads(text), option=orjson.OPT_SORT_KEYS).decode()
        for text in batch.column(name).to_pylist()
    ]
    return batch.set_column(batch.schema.get_field_index(name), name, pa.array(texts, pa.string()))


def _as_csv(file: IO[bytes], schema: pa.Schema, batches: Batches, _: Sequence[str]) -> None:
    """Texts are quoted, and so an empty one differs from null, which is nothing at all."""
    with csv.CSVWriter(file, _readable([], schema).schema) as writer:
        for batch in batches:
            writer.write(_readable([batch], schema))


def _as_ndjson(file: IO[bytes], schema: pa.Schema, batches: Batches, json_columns: Sequence[str]) -> None:
    file.writelines(line + b"\n" for line in _objects(schema, batches, json_columns))


def _as_json(file: IO[bytes], schema: pa.Schema, batches: Batches, json_columns: Sequence[str]) -> None:
    """One array, an object a line."""
    before = b"[\n"
    for line in _objects(schema, batches, json_columns):
        file.write(before + line)
        before = b",\n"
    file.write(b"\n]\n" if before == b",\n" else b"[]\n")


def _as_parquet(file: IO[bytes], schema: pa.Schema, batches: Batches, _: Sequence[str]) -> None:
    gathered: list[pa.RecordBatch] = []
    with parquet.ParquetWriter(file, schema, compression="zstd") as writer:
        for batch in batches:
            gathered.append(batch)
            # each write is a row group, and many small ones read slowly
            if sum(part.nbytes for part in gathered) > _ROW_GROUP_BYTES:
                writer.write_table(pa.Table.from_batches(gathered, schema))
                gathered.clear()
        writer.write_table(pa.Table.from_batches(gathered, schema))


FORMATS = {"csv": _as_csv, "json": _as_json, "ndjson": _as_ndjson, "parquet": _as_parquet}


def _objects(schema: pa.Schema, batches: Batches, json_columns: Sequence[str]) -> Iterator[bytes]:
    """Each row as a JSON object; numbers that JSON lacks, such as NaN, are null."""
    for batch in batches:
        for row in _readable([batch], schema).to_pylist():
            for name in json_columns:
                row[name] = None if row[name] is None else orjson.Fragment(row[name])
            yield orjson.dumps(row)


def _readable(batches: list[pa.RecordBatch], schema: pa.Schema) -> pa.Table:
    """Moments as ISO 8601, with a fraction of the second where there is one."""
    table = pa.Table.from_batches(batches, schema)
    for position, field in enumerate(schema):
        if pa.types.is_timestamp(field.type):
            texts = pc.replace_substring(pc.strftime(table.column(position), _ISO), ".000000Z", "Z")
            table = table.set_column(position, field.name, texts)
    return table
