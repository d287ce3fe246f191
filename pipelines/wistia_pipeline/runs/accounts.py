"""Which of several Wistia accounts a command is about: where its settings are, and what its pipeline is called."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from dlt.common.configuration import resolve_configuration
from dlt.common.configuration.inject import get_fun_spec
from dlt.extract import DltSource

from wistia_source import wistia
from wistia_source.errors import SettingInvalid
from wistia_source.request import RunRequest

ONLY = "wistia"
"""What the account is called where there is one."""
_NAME = re.compile(r"[a-z][a-z0-9_]*")


@dataclass(frozen=True)
class WistiaAccount:
    """A Wistia account as it is called here. Raises `SettingInvalid` for a name that dlt could not use."""

    name: str = ONLY
    given: Mapping[str, Any] = field(default_factory=dict, compare=False, repr=False)
    """Settings in place of those that dlt finds."""

    def __post_init__(self) -> None:
        if not _NAME.fullmatch(self.name):
            raise SettingInvalid(
                f"An account cannot be called {self.name!r}; choose small letters, digits and underscores, such as "
                "acme."
            )

    @classmethod
    def of_pipeline(cls, name: str) -> WistiaAccount:
        """The one whose pipeline is called that."""
        return cls(name if name == ONLY else name.removeprefix(f"{ONLY}_"))

    @property
    def pipeline_name(self) -> str:
        """dlt keeps a state for each."""
        return self.name if self.name == ONLY else f"{ONLY}_{self.name}"

    @property
    def section(self) -> tuple[str, str]:
        """Where its settings are; what all accounts share may be under `sources` itself."""
        return ("sources", self.name)

    def worded(self, sentence: str) -> str:
        """A sentence of ours, which names the settings of the only account, with those of this one."""
        return sentence.replace(f"SOURCES__{ONLY.upper()}__", f"SOURCES__{self.name.upper()}__").replace(
            f"[sources.{ONLY}]", f"[sources.{self.name}]"
        )

    def source(self, request: RunRequest, **arguments: Any) -> DltSource:
        """The source with the account's settings, and these in their place."""
        # its schema is called as the pipeline is, so that each account has its own
        declared = wistia if self.name == ONLY else wistia.with_args(name=self.pipeline_name, section=self.name)
        return declared(request=request, **{**arguments, **self.given})

    def settings(self, *, accept_partial: bool = False) -> dict[str, Any]:
        """The source's settings as it would get them. Raises what dlt says of one that is missing or no good."""
        spec = get_fun_spec(wistia)
        assert spec is not None
        found = resolve_configuration(spec(), sections=self.section, accept_partial=accept_partial)
        return {**found, **self.given}
