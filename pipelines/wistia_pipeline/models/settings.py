"""Reads the settings of the models: the vars of the dbt project, and a fingerprint of all that they are made from."""

import json
from hashlib import sha256
from typing import Any
from zoneinfo import available_timezones

import dlt
import yaml

from wistia_source.errors import WistiaError

from ..runtime.settings import packaged

_SETTINGS = "wistia_pipeline.models"


class ModelsFailed(WistiaError):
    """The models cannot be built."""


def model_var(name: str) -> Any:
    """The value of a var of the dbt project, named without its prefix. Raises `ModelsFailed` where they are wrong."""
    return model_vars().get(f"wistia_{name}", _defaults()[name])


def model_vars() -> dict[str, Any]:
    """The vars of the dbt project that are set under `[wistia_pipeline.models]`. Raises `ModelsFailed`."""
    defaults = _defaults()
    if unknown := sorted((dlt.config.get(_SETTINGS, dict) or {}).keys() - defaults.keys()):
        there_are = ", ".join(defaults)
        raise ModelsFailed(f"The models have no setting {', '.join(unknown)}; they have {there_are}.")
    chosen = {name: dlt.config.get(f"{_SETTINGS}.{name}", type(default)) for name, default in defaults.items()}
    if (zone := chosen["timezone"] or "UTC") not in available_timezones():
        raise ModelsFailed(f"The models' timezone is {zone!r}, which is none; set one such as 'Europe/Berlin'.")
    return {f"wistia_{name}": value for name, value in chosen.items() if value is not None}


def _defaults() -> dict[str, Any]:
    """The vars that a user may set, without their common prefix."""
    project = yaml.safe_load((packaged("sql") / "dbt_project.yml").read_text("utf-8"))
    defaults = {name.removeprefix("wistia_"): value for name, value in project["vars"]["wistia"].items()}
    del defaults["schema"]
    return defaults


def fingerprint() -> str:
    """What the models are made from: a change of it makes what they have built outdated."""
    sql = packaged("sql")
    files = sorted(path for path in sql.rglob("*.sql") if path.relative_to(sql).parts[0] in ("models", "macros"))
    texts = [path.read_bytes() for path in (*files, sql / "dbt_project.yml")]
    return sha256(b"".join([*texts, json.dumps(model_vars(), sort_keys=True).encode()])).hexdigest()


def model_names() -> set[str]:
    """The names of all models."""
    return {path.stem for path in (packaged("sql") / "models").rglob("*.sql")}
