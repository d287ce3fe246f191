"""Defaults of every knob, as the last place where dlt looks for configuration."""

import tomllib
from pathlib import Path
from typing import Any

import dlt
from dlt.common.configuration.providers import CustomLoaderDocProvider
from dlt.common.runtime.telemetry import stop_telemetry

from wistia_source.errors import SettingInvalid

_HERE = Path(__file__).parents[1]


def packaged(name: str, in_checkout: str | None = None) -> Path:
    """Data of this package: beside the modules in an installed wheel, at the top of a checkout."""
    installed = _HERE / name
    return installed if installed.exists() else _HERE.parents[1] / (in_checkout or name)


def setting(name: str) -> float:
    """A number from the configuration. Raises `SettingInvalid` where there is none."""
    value: float | None = dlt.config.get(name, float)
    if value is None:
        raise SettingInvalid(f"{name} has no value; set it to a number.")
    return value


def use_defaults() -> None:
    """Makes the committed `.dlt/config.toml` the fallback behind the environment and the user's own files."""
    if "wistia defaults" not in (provider.name for provider in dlt.config.config_providers):
        dlt.config.register_provider(
            # without locations dlt fails while it words what setting is missing
            CustomLoaderDocProvider("wistia defaults", _defaults, locations=())
        )
        # dlt has set up its log and telemetry at import already, without these defaults
        stop_telemetry()
        dlt.current.run_context().initialize_runtime()


def _defaults() -> dict[str, Any]:
    return tomllib.loads(packaged("defaults.toml", ".dlt/config.toml").read_text(encoding="utf-8"))
