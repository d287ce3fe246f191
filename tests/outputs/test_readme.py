"""The README names every table, setting and option, and its commands are the ones that are tested."""

from __future__ import annotations

import ast
import inspect
import re
import shlex
import tomllib
from pathlib import Path

import click
import pytest
import yaml
from wistia_pipeline.cli import main
from wistia_pipeline.warehouses.run_log import LOG_TABLES

from wistia_source.endpoints import COMPANIONS, ENDPOINTS, Endpoint
from wistia_source.source import wistia

ROOT = Path(__file__).parents[2]
README = (ROOT / "README.md").read_text(encoding="utf-8")
LINES = README.splitlines()


def _table_row(first_cell: str) -> str:
    return next((line for line in LINES if line.startswith(f"| `{first_cell}`")), "")


@pytest.mark.parametrize("endpoint", [*ENDPOINTS, *COMPANIONS, *LOG_TABLES], ids=lambda endpoint: endpoint.name)
def test_every_table_is_listed_with_its_grain_and_key(endpoint: Endpoint) -> None:
    row = _table_row(endpoint.name)
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
    section = README.split(f"| option of `{command}` |")[1].split("\n\n")[0]
    assert f"`{option}" in section


@pytest.mark.parametrize("command", list(main.commands))
def test_every_command_is_named(command: str) -> None:
    assert f"`wistia-pipeline {command}`" in README


def _settings() -> list[str]:
    return [name for name in inspect.signature(wistia).parameters if name != "now"]


@pytest.mark.parametrize("setting", _settings())
def test_every_setting_is_named(setting: str) -> None:
    section = README.split("| setting |")[1].split("\n\n")[0]
    assert f"`{setting}`" in section


def test_config_toml_holds_the_defaults_of_the_source() -> None:
    config = tomllib.loads((ROOT / ".dlt" / "config.toml").read_text(encoding="utf-8"))
    parameters = inspect.signature(wistia).parameters
    for name, value in config["sources"]["wistia"].items():
        assert parameters[name].default == value, name


def test_every_setting_of_the_command_line_is_named_with_its_default() -> None:
    config = tomllib.loads((ROOT / ".dlt" / "config.toml").read_text(encoding="utf-8"))
    rows = README.split("| setting of the command line |")[1].split("\n\n")[0].splitlines()
    assert config["wistia_pipeline"].pop("models") == {"timezone": "UTC"}
    for name, value in config["wistia_pipeline"].items():
        assert any(f"`{name}`" in row and str(value) in row for row in rows), name


def test_every_var_of_the_models_is_named_with_its_default() -> None:
    project = yaml.safe_load((ROOT / "sql" / "dbt_project.yml").read_text(encoding="utf-8"))
    section = README.split("| setting of the models |")[1].split("\n\n")[0]
    for name, value in project["vars"]["wistia"].items():
        if name == "wistia_schema":
            continue
        row = next(row for row in section.splitlines() if f"`{name.removeprefix('wistia_')}`" in row)
        assert str(value) in row.split("|")[2].replace(",", " ").split()


def test_ci_runs_the_test_command_of_the_readme() -> None:
    ci = (ROOT / ".ci" / "run").read_text(encoding="utf-8")
    assert "uv run pytest -n auto" in README
    assert "uv run pytest -n auto" in ci.splitlines()


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


_MESSAGES = re.findall(r"^\| `([^`]+)`", README.split("| it says |")[1].split("\n\n")[0], re.MULTILINE)


@pytest.mark.parametrize("message", _MESSAGES)
def test_messages_are_those_that_are_said(message: str, sentences: list[str]) -> None:
    assert any(message in sentence for sentence in sentences)


@pytest.mark.parametrize("link", re.findall(r"\]\(([^)]+)\)", README))
def test_links_into_the_project_lead_somewhere(link: str) -> None:
    if link.startswith("#"):
        headings = {
            re.sub(r"[^\w -]", "", line.lstrip("# ").lower()).replace(" ", "-") for line in LINES if line[:1] == "#"
        }
        assert link[1:] in headings
    elif not link.startswith("https://"):
        assert (ROOT / link).exists()


def _commands() -> list[str]:
    return re.findall(r"wistia-pipeline [a-z][^`\n|]*", README.split("## I want to")[1].split("\n\n")[1])


@pytest.mark.parametrize("command", _commands())
def test_commands_that_are_offered_can_be_parsed(command: str) -> None:
    _, name, *arguments = shlex.split(command)
    context = main.commands[name].make_context(name, arguments)
    assert context.info_name == name
