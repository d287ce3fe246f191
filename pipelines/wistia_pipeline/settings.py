"""Defaults of every knob, as the last place where dlt looks for configuration."""

from __future__ import annotations

import tomllib
from pathlib import Path

import dlt
from dlt.common.configuration.providers import CustomLoaderDocProvider

_HERE = Path(__file__).parent


def packaged(name: str, in_checkout: str | None = None) -> Path:
    """Data of this package: beside the modules in an installed wheel, at the top of a checkout."""
    installed = _HERE / name
    return installed if installed.exists() else _HERE.parents[1] / (in_checkout or name)


def use_defaults() -> None:
    """Makes the committed `.dlt/config.toml` the fallback behind the environment and the user's own files."""
    text = packaged("defaults.toml", ".dlt/config.toml").read_text(encoding="utf-8")
    if "wistia defaults" not in (provider.name for provider in dlt.config.config_providers):
        dlt.config.register_provider(CustomLoaderDocProvider("wistia defaults", lambda: tomllib.loads(text)))
        # dlt has set up its log and telemetry at import already, without these defaults
        dlt.current.run_context().initialize_runtime()
