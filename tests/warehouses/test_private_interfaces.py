"""What the project relies on that is private in dlt, dbt, DuckLake or Spark, or that it overrides there.

A release that changes any of it fails here, by name and with the modules that use it, before it fails in a run.
`pyproject.toml` allows the releases of dlt on which this and the rest of the suite were run.
"""

from __future__ import annotations

import ast
import importlib
import inspect
import pkgutil
import sys
from collections.abc import Iterator
from contextlib import closing
from datetime import timedelta
from functools import cache
from pathlib import Path
from types import ModuleType
from typing import Any

import duckdb
import pytest
import wistia_pipeline
from wistia_pipeline.warehouses.ducklake.files import forget_deleted_rows, stray_files, tidy

import wistia_source

FOREIGN = ("dbt", "dlt", "py4j", "pyspark")
PRIVATE = (
    "dlt.destinations.impl.",
    "dlt.destinations.job_client_impl",
    "dlt.destinations.sql_",
    "dlt.load.",
    "pyspark.",
)
"""Modules that no documentation describes."""
CLASS, PROPERTY, PARAMETER = "a class", "a property", "a parameter"
ATTRIBUTE = "an attribute"
"""The module assigns it, to an object or in a class."""

EXPECTED = {
    "dbt.adapters.duckdb.connections": {"DuckDBConnectionManager.close_all_connections": "()"},
    "dbt.adapters.duckdb.plugins": {"BasePlugin.configure_connection": "(self, conn)"},
    "dlt": {"sources.incremental.advance": "(self, last_value)"},
    "dlt.common.configuration.container": {"Container": CLASS},
    "dlt.common.configuration.inject": {"get_fun_spec": "(f)"},
    "dlt.common.configuration.specs": {"ConfigSectionContext": CLASS},
    "dlt.common.destination.client": {
        "JobClientBase.update_stored_schema": "(self, only_tables=None, expected_update=None, force=False)",
    },
    "dlt.common.destination.reference": {
        "Destination.client_class": PROPERTY,
        "Destination.configuration": "(self, initial_config, accept_partial=False)",
        "Destination.spec": PROPERTY,
    },
    "dlt.common.destination.utils": {"resolve_merge_strategy": "(tables, table, destination_capabilities=Ellipsis)"},
    "dlt.common.runtime.collector": {
        "NullCollector.__init__": "(self, /, *args, **kwargs)",
        "NullCollector._start": "(self, step)",
    },
    "dlt.common.runtime.telemetry": {"stop_telemetry": "()"},
    "dlt.common.storages.configuration": {"WithLocalFiles.make_default_location": "(self, default_location_pat)"},
    "dlt.destinations.impl.duckdb.configuration": {"DuckDbClientConfiguration": CLASS},
    "dlt.destinations.impl.duckdb.duck": {"DuckDbClient": CLASS},
    "dlt.destinations.impl.duckdb.exceptions": {"InvalidInMemoryDuckdbCredentials": CLASS},
    "dlt.destinations.impl.duckdb.sql_client": {
        "._conn": ATTRIBUTE,
        "DuckDbSqlClient.close_connection": "(self)",
    },
    "dlt.destinations.impl.ducklake.configuration": {
        "DuckLakeClientConfiguration.credentials": ATTRIBUTE,
        "DuckLakeCredentials._conn_str": "(self)",
        "DuckLakeCredentials.catalog_location": "(self)",
        "DuckLakeCredentials.storage_url": PROPERTY,
    },
    "dlt.destinations.impl.ducklake.ducklake": {"DuckLakeClient.__init__": "(self, schema, config, capabilities)"},
    "dlt.destinations.impl.ducklake.factory": {"ducklake.adjust_capabilities": "(caps, config, naming)"},
    "dlt.destinations.impl.ducklake.sql_client": {
        "DuckLakeSqlClient.__init__": "(self, dataset_name, staging_dataset_name, credentials, capabilities, "
        "override_data_path=False, automatic_migration=False)",
        "DuckLakeSqlClient.attach_statements": "(self, *, alias, tables=None)",
        "DuckLakeSqlClient.close_connection": "(self)",
        "DuckLakeSqlClient.open_connection": "(self)",
    },
    "dlt.destinations.impl.filesystem.filesystem": {
        ".bucket_path": ATTRIBUTE,
        ".fs_client": ATTRIBUTE,
        ".pathlib": ATTRIBUTE,
        "FilesystemClient.get_table_dir": "(self, table_name, remote=False, schema_name=None)",
        "FilesystemClient.list_table_files": "(self, table_name, schema_name=None)",
        "FilesystemClient.make_remote_url": "(self, remote_path)",
    },
    "dlt.destinations.job_client_impl": {
        "SqlJobClientBase._create_merge_followup_jobs": "(self, table_chain)",
        "SqlJobClientBase.get_storage_tables": "(self, table_names)",
    },
    "dlt.destinations.sql_client": {
        "SqlClientBase.execute_query": "(self, query, *args, **kwargs)",
        "SqlClientBase.execute_sql": "(self, sql, *args, **kwargs)",
        "SqlClientBase.make_qualified_table_name": "(self, table_name, quote=True, casefold=True)",
        "SqlClientBase.with_alternative_dataset_name": "(self, dataset_name)",
        "SqlClientBase.with_staging_dataset": "(self)",
    },
    "dlt.destinations.sql_jobs": {
        "SqlMergeFollowupJob.from_table_chain": "(table_chain, sql_client)",
        "SqlMergeFollowupJob.gen_key_table_clauses": "(root_table_name, staging_root_table_name, primary_keys, "
        "merge_keys, for_delete, source_filter=None)",
        "SqlMergeFollowupJob.gen_select_from_dedup_sql": "(table_name, primary_keys, columns, dedup_sort=None, "
        "condition=None, condition_columns=None, skip_dedup=False)",
    },
    "dlt.extract.resource": {"DltResource.compute_table_schema": "(self, item=None, meta=None)"},
    "dlt.load.exceptions": {"LoadClientJobException": CLASS},
    "dlt.pipeline.pipeline": {
        "Pipeline.destination_client": "(self, schema_name=None)",
        "Pipeline.managed_state": "(self, *, extract_state=False)",
        "Pipeline.sync_destination": "(self, destination=None, staging=None, dataset_name=None)",
    },
    "pyspark.core.context": {"._gateway": ATTRIBUTE, "._jvm": ATTRIBUTE, "SparkContext(gateway)": PARAMETER},
    "pyspark.errors": {"PySparkException": CLASS},
    "pyspark.java_gateway": {".proc": ATTRIBUTE, "launch_gateway": "(conf=None, popen_kwargs=None)"},
    "pyspark.sql": {"SparkSession": CLASS},
}
"""By module and name: the signature without types, or what else it is."""

LAKE_TABLES = {
    "ducklake_column": {"column_id", "column_type", "table_id"},
    "ducklake_metadata": {"key"},
    "ducklake_table_column_stats": {"column_id", "max_value", "min_value", "table_id"},
}
"""Tables of a lake's catalog, and the columns of which we know."""
LAKE_CALLS = {
    "ducklake_flush_inlined_data('lake')": ["schema_name", "table_name", "rows_flushed"],
    "ducklake_merge_adjacent_files('lake')": ["schema_name", "table_name", "files_processed", "files_created"],
    "ducklake_rewrite_data_files('lake', delete_threshold => 0.0)": [
        "schema_name",
        "table_name",
        "files_processed",
        "files_created",
    ],
    "ducklake_delete_orphaned_files('lake', dry_run => true, cleanup_all => true)": ["path"],
}
"""Functions of the extension, and what they answer with, which is read by position."""


def described(module: str, name: str) -> str:
    """What has this name now, in the words of `EXPECTED`."""
    found: Any = importlib.import_module(module)
    if name.startswith("."):
        return ATTRIBUTE if name[1:] in assigned(module) else "gone"
    name, _, parameter = name.removesuffix(")").partition("(")
    for part in name.split("."):
        if not hasattr(found, part):
            return "gone"
        found = getattr(found, part)
    if parameter:
        return PARAMETER if parameter in inspect.signature(found).parameters else "gone"
    if isinstance(found, property):
        return PROPERTY
    if inspect.isclass(found):
        return CLASS
    return bare(inspect.signature(found)) if callable(found) else ATTRIBUTE


def bare(signature: inspect.Signature) -> str:
    """A signature without types, and with simple defaults alone."""
    parameters = [
        each.replace(annotation=each.empty, default=each.default if _is_simple(each.default) else ...)
        for each in signature.parameters.values()
    ]
    return str(signature.replace(parameters=parameters, return_annotation=inspect.Signature.empty))


def _is_simple(default: Any) -> bool:
    return default is None or default is inspect.Parameter.empty or isinstance(default, bool | int | str)


@cache
def nodes(module: str) -> list[ast.AST]:
    """The syntax of a module."""
    return list(ast.walk(ast.parse(inspect.getsource(importlib.import_module(module)))))


def assigned(module: str) -> set[str]:
    """Attributes that a module assigns."""
    return {node.attr for node in nodes(module) if isinstance(node, ast.Attribute) and isinstance(node.ctx, ast.Store)}


@cache
def product() -> dict[str, ModuleType]:
    """All modules of the project, by name."""
    packages = (wistia_pipeline, wistia_source)
    found = (found for package in packages for found in pkgutil.walk_packages(package.__path__, f"{package.__name__}."))
    return {module.name: importlib.import_module(module.name) for module in found}


def users(name: str) -> list[str]:
    """The modules of the project that name it."""
    word = name.removesuffix(".__init__").removesuffix(")").replace("(", ".").rpartition(".")[2]
    return [module for module in product() if any(word == _word(node) for node in nodes(module))]


def _word(node: ast.AST) -> str | None:
    match node:
        case ast.Attribute(attr=word) | ast.FunctionDef(name=word) | ast.alias(name=word) | ast.keyword(arg=word):
            return word
        case ast.Constant(value=str(word)):
            # looked up by name
            return word
    return None


def is_listed(module: str, name: str) -> bool:
    """Whether a name is in `EXPECTED`, or something in it is."""
    return any(listed.startswith((f"{name}.", f"{name}(")) or listed == name for listed in EXPECTED.get(module, ()))


@pytest.mark.parametrize("module", EXPECTED)
def test_what_we_rely_on_is_as_it_was(module: str) -> None:
    found = {name: described(module, name) for name in EXPECTED[module]}
    changed = [
        f"{module}: {name} was {was}, is {found[name]}; used in {', '.join(users(name))}"
        for name, was in EXPECTED[module].items()
        if found[name] != was
    ]
    assert not changed, "\n".join(changed)


def test_nothing_is_listed_that_is_used_no_more() -> None:
    unused = [f"{module}: {name}" for module, names in EXPECTED.items() for name in names if not users(name)]
    assert unused == []


def test_every_override_is_listed() -> None:
    missing = {
        line
        for name, module in product().items()
        for ours in vars(module).values()
        if inspect.isclass(ours) and ours.__module__ == name
        for line in _overrides(ours)
    }
    assert missing == set()


def _overrides(ours: type) -> Iterator[str]:
    """What the class has in the place of something foreign, and is not listed."""
    foreign = [base for base in ours.__mro__ if base.__module__.partition(".")[0] in FOREIGN]
    for name in _in_class(ours):
        theirs = next((base for base in foreign if name in vars(base)), None)
        if theirs and not any(is_listed(base.__module__, f"{base.__qualname__}.{name}") for base in foreign):
            yield f"{ours.__module__}: {ours.__qualname__}.{name} is in {theirs.__module__}"


def _in_class(ours: type) -> Iterator[str]:
    """The names that its body defines; Python makes more."""
    classes = (node for node in nodes(ours.__module__) if isinstance(node, ast.ClassDef) and node.name == ours.__name__)
    for node in (each for found in classes for each in found.body):
        match node:
            case ast.FunctionDef(name=name) | ast.AnnAssign(target=ast.Name(id=name)):
                yield name
            case ast.Assign(targets=[ast.Name(id=name)]):
                yield name


def test_every_private_import_is_listed() -> None:
    missing = [
        f"{module}: {node.module}.{alias.name}"
        for module in product()
        for node in nodes(module)
        if isinstance(node, ast.ImportFrom) and node.level == 0 and node.module
        for alias in node.names
        if node.module.startswith(PRIVATE) or (alias.name[0] == "_" and node.module.partition(".")[0] in FOREIGN)
        if not is_listed(node.module, alias.name)
    ]
    assert missing == []


def test_every_private_attribute_is_listed() -> None:
    """Of others is what nothing of ours defines: no function, class, field, or assignment in an `__init__`."""
    own = {word for module in product() for word in _defined(module)}
    listed = {name.rpartition(".")[2] for names in EXPECTED.values() for name in names}
    missing = [
        f"{module}: {ast.unparse(node)}"
        for module in product()
        for node in nodes(module)
        if isinstance(node, ast.Attribute) and node.attr.startswith("_") and not node.attr.startswith("__")
        if not (isinstance(node.value, ast.Name) and node.value.id in sys.stdlib_module_names)
        if node.attr not in own | listed
    ]
    assert missing == []


def _defined(module: str) -> Iterator[str]:
    for node in nodes(module):
        if isinstance(node, ast.FunctionDef | ast.ClassDef):
            yield node.name
        if isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store):
            yield node.id
        if isinstance(node, ast.FunctionDef) and node.name in ("__init__", "__post_init__"):
            stored = (each for each in ast.walk(node) if isinstance(each, ast.Attribute))
            yield from (each.attr for each in stored if isinstance(each.ctx, ast.Store))


def test_a_lake_and_its_functions_are_as_they_were(tmp_path: Path) -> None:
    with closing(duckdb.connect()) as connection:
        importlib.import_module("duckdb_extensions").import_extension("ducklake")
        catalog = tmp_path / "catalog.duckdb"
        connection.execute(f"attach 'ducklake:{catalog}' as lake (data_path '{tmp_path / 'files'}')")
        for call, answer in LAKE_CALLS.items():
            found = [column[0] for column in connection.execute(f"call {call}").description or ()]
            assert found == answer, f"{call} is used in warehouses.ducklake.files"
        tidy(connection, "lake", timedelta(days=1))
        forget_deleted_rows(connection, "lake")
        assert stray_files(connection, "lake", ["main"]) == []
    with closing(duckdb.connect(str(catalog))) as connection:
        columns = connection.execute("select table_name, column_name from duckdb_columns()").fetchall()
    for table, names in LAKE_TABLES.items():
        assert names <= {column for name, column in columns if name == table}, (
            f"{table} is used in warehouses.ducklake.lake"
        )
