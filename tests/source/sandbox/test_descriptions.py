"""Every path of the sandbox answers as Wistia describes it."""

from __future__ import annotations

import json
import os
import re
from pathlib import Path
from typing import Any

import pytest
from wistia_pipeline.sandbox import Account

from tests.support.asking import START, Client, Row

RELEASES = {"v1": None, "2026-03": "2026-03", "edge": None}
WINTER = {"start_date": "2024-12-15", "end_date": "2025-03-01"}

# where recordings and old documentation differ from the descriptions, so does the sandbox
DEVIATIONS = {
    "/stats/events": {
        "ip: None is not of type 'string'",  # privacy mode
        "lat: None is not of type 'number'",
        "lon: None is not of type 'number'",
        "visitor_key: None is not of type 'string'",
        "conversion_data: '' is not of type 'object'",  # rows of years ago
    }
}


@pytest.fixture(scope="module", params=list(RELEASES))
def described(request: pytest.FixtureRequest) -> tuple[str, dict[str, Any]]:
    folder = os.environ.get("WISTIA_OPENAPI_DIR")
    if not folder:
        pytest.skip("WISTIA_OPENAPI_DIR names no folder with Wistia's descriptions")
    name = str(request.param)
    return name, json.loads(Path(folder, f"wistia_subset_{name}.json").read_text(encoding="utf-8"))["paths"]


def shape(value: Any, key: str = "") -> Any:
    """Names and types of an object: rows of one shape are valid or invalid together."""
    if isinstance(value, dict):
        return tuple((name, shape(inner, name)) for name, inner in value.items())
    if isinstance(value, list):
        return tuple(sorted({repr(shape(inner)) for inner in value}))
    return value if key in ("type", "status", "kind") else type(value).__name__


@pytest.mark.slow
def test_every_path_answers_as_described(
    client: Client, account: Account, events: list[Row], described: tuple[str, dict[str, Any]]
) -> None:
    jsonschema = pytest.importorskip("jsonschema")
    name, paths = described
    base = "/v1" if name == "v1" else "/modern"
    view = account.at(START)
    ids = {
        "medias": [media["hashed_id"] for media in view.medias()[::4]],
        "projects": [project["hashedId"] for project in view.projects()],
        "folders": [project["hashedId"] for project in view.projects()],
        "visitors": [visitor["visitor_key"] for visitor in view.visitors()[:20]],
        "events": [event["event_key"] for event in events[:20]],
    }
    client.sandbox.page_cap = 1_000_000
    problems = set()
    for path, methods in paths.items():
        if path.startswith("/analytics"):
            continue
        schema = methods["get"]["responses"]["200"]["content"]["application/json"]["schema"]
        is_list = schema.get("type") == "array"
        validator = jsonschema.Draft202012Validator(schema, format_checker=jsonschema.FormatChecker())
        kind = next((part for part in path.split("/") if part in ids), "")
        seen: set[str] = set()
        for key in ids[kind] if "{" in path else [""]:
            params = {"per_page": 1_000_000, **(WINTER if "by_date" in path else {})}
            found = client.get(base + re.sub(r"\{\w+\}", key, path), release=RELEASES[name], **params)
            if path == "/medias":
                found += client.get(base + path, release=RELEASES[name], archived="true", **params)
            for row in found if is_list else [found]:
                if (form := repr(shape(row))) not in seen:
                    seen.add(form)
                    for error in validator.iter_errors([row] if is_list else row):
                        place = ".".join(str(part) for part in list(error.absolute_path)[is_list:])
                        problem = f"{place}: {error.message}"
                        if problem not in DEVIATIONS.get(path.split("/{")[0], ()):
                            problems.add(f"{path} {problem}")
        assert seen, f"{path} was never seen with a row"
    client.sandbox.page_cap = 100
    assert not problems
