"""The documentation names every table, setting and option, and its commands run."""

from __future__ import annotations

import ast
import inspect
import os
import re
import shlex
import subprocess
import sys
import tomllib
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

import click
import pytest
import yaml
from wistia_pipeline.cli import main
from wistia_pipeline.sandbox import Account, Sandbox
from wistia_pipeline.warehouses.run_log import LOG_TABLES

from tests.support.folder import COMMAND, Folder, empty_folder
from tests.support.pages import PAGES, ROOT, Block, anchors, blocks, table
from tests.support.sandbox import TOKEN
from wistia_source.endpoints import COMPANIONS, ENDPOINTS, Endpoint
from wistia_source.source import wistia

README = PAGES["README.md"]


@pytest.mark.parametrize("endpoint", [*ENDPOINTS, *COMPANIONS, *LOG_TABLES], ids=lambda endpoint: endpoint.name)
def test_every_table_is_listed_with_its_grain_and_key(endpoint: Endpoint) -> None:
    rows = table("docs/tables.md", "table | grain | key, after account_id").splitlines()
    (row,) = [row for row in rows if row.startswith(f"| `{endpoint.name}`")]
    assert endpoint.grain in row
    assert row.rstrip(" |").endswith(", ".join(endpoint.primary_key))


def _options() -> list[tuple[str, str]]:
    return [
        (name, option)
        for name, command in main.commands.items()
        for parameter in command.params
        if isinstance(parameter, click.Option)
        for option in parameter.opts
    ]


@pytest.mark.parametrize(("command", "option"), _options())
def test_every_option_is_named(command: str, option: str) -> None:
    assert f"`{option}" in table("docs/commands.md", f"option of `{command}` | meaning")


@pytest.mark.parametrize("command", list(main.commands))
def test_every_command_is_named(command: str) -> None:
    assert f"`wistia-pipeline {command}" in README
    assert command in anchors("docs/commands.md")


def _settings() -> list[str]:
    return [name for name in inspect.signature(wistia).parameters if name != "now"]


@pytest.mark.parametrize("setting", _settings())
def test_every_setting_is_named(setting: str) -> None:
    assert f"`{setting}`" in table("docs/settings.md", "setting | default | meaning")


def test_config_toml_holds_the_defaults_of_the_source() -> None:
    config = tomllib.loads((ROOT / ".dlt" / "config.toml").read_text(encoding="utf-8"))
    parameters = inspect.signature(wistia).parameters
    for name, value in config["sources"]["wistia"].items():
        assert parameters[name].default == value, name


def test_every_setting_of_the_command_line_is_named_with_its_default() -> None:
    config = tomllib.loads((ROOT / ".dlt" / "config.toml").read_text(encoding="utf-8"))
    rows = table("docs/settings.md", "setting of the command line | default | meaning").splitlines()
    assert config["wistia_pipeline"].pop("models") == {"timezone": "UTC"}
    for name, value in config["wistia_pipeline"].items():
        assert any(f"`{name}`" in row and str(value) in row for row in rows), name


def test_every_var_of_the_models_is_named_with_its_default() -> None:
    project = yaml.safe_load((ROOT / "sql" / "dbt_project.yml").read_text(encoding="utf-8"))
    rows = table("docs/settings.md", "setting of the models | default | meaning").splitlines()
    for name, value in project["vars"]["wistia"].items():
        if name == "wistia_schema":
            continue
        row = next(row for row in rows if f"`{name.removeprefix('wistia_')}`" in row)
        assert str(value) in row.split("|")[2].replace(",", " ").split()


def test_ci_runs_the_test_command_of_the_readme() -> None:
    ci = (ROOT / ".ci" / "run").read_text(encoding="utf-8")
    assert "uv run pytest -n auto" in README
    assert "uv run pytest -n auto" in ci.splitlines()


def test_the_readme_and_the_pages_stay_short() -> None:
    assert len(README.splitlines()) <= 200
    assert len(README.split()) <= 2_000
    assert [name for name, text in PAGES.items() if len(text.splitlines()) > 300] == []


def _sentences() -> list[str]:
    """Every text of the sources; what is filled in is three dots."""
    files = [*(ROOT / "wistia_source").rglob("*.py"), *(ROOT / "pipelines").rglob("*.py")]
    found = []
    for node in (node for file in files for node in ast.walk(ast.parse(file.read_text(encoding="utf-8")))):
        if isinstance(node, ast.JoinedStr):
            parts = [part.value if isinstance(part, ast.Constant) else "..." for part in node.values]
            found.append("".join(map(str, parts)))
        elif isinstance(node, ast.Constant) and isinstance(node.value, str):
            found.append(node.value)
    return found


@pytest.fixture(scope="module")
def sentences() -> list[str]:
    return _sentences()


_MESSAGES = re.findall(r"^\| `([^`]+)`", table("docs/operations.md", "it says | what to do"), re.MULTILINE)


@pytest.mark.parametrize("message", _MESSAGES)
def test_messages_are_those_that_are_said(message: str, sentences: list[str]) -> None:
    assert any(message in sentence for sentence in sentences)


def _links() -> list[tuple[str, str]]:
    return [(page, link) for page, text in PAGES.items() for link in re.findall(r"\]\(([^)]+)\)", text)]


@pytest.mark.parametrize(("page", "link"), _links())
def test_links_into_the_project_lead_somewhere(page: str, link: str) -> None:
    if link.startswith("https://"):
        return
    name, _, anchor = link.partition("#")
    place = (ROOT / page).parent / name if name else ROOT / page
    assert place.exists()
    if anchor:
        assert anchor in anchors(str(place.resolve().relative_to(ROOT)))


def _commands() -> list[str]:
    offered = re.findall(r"wistia-pipeline [a-z][^`\n|]*", README.split("## I want to")[1].split("\n\n")[1])
    written = [line for block in blocks("sh") for line in block.text.splitlines()]
    return offered + [
        line[line.index("wistia-pipeline ") :].split(" | ")[0] for line in written if "wistia-pipeline " in line
    ]


@pytest.mark.parametrize("command", _commands())
def test_commands_that_are_offered_can_be_parsed(command: str) -> None:
    _, name, *arguments = shlex.split(command)
    context = main.commands[name].make_context(name, arguments)
    assert context.info_name == name


def test_the_line_of_cron_in_the_readme_is_the_one_that_is_tested() -> None:
    (line,) = blocks("crontab", "README.md")
    assert line.text in PAGES["docs/scheduling.md"]


@pytest.fixture
def user(tmp_path: Path) -> Iterator[Folder]:
    """A folder into which a small account has been loaded, at the time of the clock."""
    account = Account(seed=9, start=datetime.now(UTC), medias=3, projects=1, visitors=5, events=20, days=10)
    with Sandbox(account, rate_limit=None, token=TOKEN) as sandbox:
        folder = empty_folder(tmp_path / "user", sandbox, datetime.now(UTC))
        # of each account, by whatever name
        folder.env |= {name.replace("__WISTIA__", "__"): value for name, value in folder.env.items()}
        # where dlt keeps it for anybody but root
        folder.env["DLT_DATA_DIR"] = f"{folder.env['HOME']}/.dlt"
        assert folder.run("sync").returncode == 0
        yield folder


def _run(user: Folder, program: list[str], text: str) -> None:
    done = subprocess.run(
        program,
        input=text,
        cwd=user.work,
        env=user.environment(),
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )
    assert done.returncode == 0, done.stderr


def _pages_with(language: str) -> list[str]:
    return sorted({block.page for block in blocks(language) if block.page != "CONTRIBUTING.md" and not block.why_not})


def _in_order(page: str, language: str) -> list[Block]:
    return [block for block in blocks(language, page) if not block.why_not]


@pytest.mark.slow
@pytest.mark.parametrize("page", _pages_with("sh"))
def test_the_commands_of_a_page_run_one_after_the_other(user: Folder, postgres_url: str, page: str) -> None:
    # the wheel's tests install it
    begin = f'set -eu\npip() {{ :; }}\npython() {{ {shlex.quote(sys.executable)} "$@"; }}\n'
    user.env["PATH"] = f"{Path(COMMAND).parent}{os.pathsep}{user.env['PATH']}"
    user.env["DESTINATION__POSTGRES__CREDENTIALS"] = postgres_url
    for block in _in_order(page, "sh"):
        text = block.text.replace("postgresql://user:password@host:5432/database", postgres_url)
        _run(user, ["bash"], begin + text.replace("=...", f"={TOKEN}"))


@pytest.mark.slow
@pytest.mark.parametrize("page", ["docs/python.md"])
def test_the_python_of_a_page_runs(user: Folder, page: str) -> None:
    for block in _in_order(page, "python"):
        _run(user, [sys.executable], block.text)
