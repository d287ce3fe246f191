"""The tables of the warehouse and their columns."""

from __future__ import annotations

from pathlib import Path

from wistia_pipeline.sandbox import Sandbox

from tests.support.loaded import load_once
from tests.support.runs import SMALL
from tests.support.warehouse import Warehouse

ACCOUNT = SMALL
SCHEMA = Path(__file__).with_name("schema.txt")
TYPES = {
    "varchar": "text",
    "character varying": "text",
    "double precision": "double",
    "boolean": "bool",
    "timestamp with time zone": "timestamp",
    "jsonb": "json",
}
"""What the warehouses call the types that `Column` names."""


def test_tables_and_columns_are_those_of_the_committed_file(
    warehouse: Warehouse, living: Sandbox, tmp_path: Path
) -> None:
    """A change of the schema is a change of `schema.txt`: on purpose, and seen by whoever reviews it."""
    load_once(warehouse, living)
    lines: list[str] = []
    with warehouse.cursor() as cursor:
        for table in sorted(warehouse.tables()):
            cursor.execute(
                "select column_name, lower(data_type), is_nullable from information_schema.columns "
                f"where table_schema = '{warehouse.dataset}' and table_name = '{table}' order by ordinal_position"
            )
            lines.append(table)
            for column, data_type, nullable in cursor.fetchall():
                lines.append(f"  {column} {TYPES.get(data_type, data_type)}{'' if nullable == 'YES' else ' not null'}")
    found = tmp_path / SCHEMA.name
    found.write_text("\n".join([*lines, ""]), encoding="utf-8")
    assert lines == SCHEMA.read_text(encoding="utf-8").splitlines(), f"what was found is in {found}"
