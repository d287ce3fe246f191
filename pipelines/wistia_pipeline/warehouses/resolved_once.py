"""A destination whose settings are looked up once: dlt does so for each of its clients, some eighty in an hourly run.

That would be a fifth of a small run, and with the DuckDB that each client would open for itself a third.
"""

from copy import copy
from dataclasses import fields
from functools import cached_property
from typing import Any

from dlt.common.configuration.container import Container
from dlt.common.configuration.specs import ConfigSectionContext
from dlt.common.destination import Destination


class ResolvedOnce(Destination[Any, Any]):
    """Its clients share what comes with the settings, such as connections to DuckDB; later changes are not seen."""

    @cached_property
    def _resolved(self) -> dict[tuple[Any, ...], Any]:
        """By the pipeline and by what dlt begins with, its dataset among others."""
        return {}

    def configuration(self, initial_config: Any, accept_partial: bool = False) -> Any:
        """The settings, looked up at the first call of this kind."""
        initial = initial_config or self.spec()
        given = [repr(getattr(initial, field.name)) for field in fields(initial) if field.name != "credentials"]
        pipeline = Container()[ConfigSectionContext].pipeline_name
        kind = (pipeline, *given, initial.credentials is None, accept_partial)
        if kind not in self._resolved:
            self._resolved[kind] = super().configuration(initial, accept_partial)
        return copy(self._resolved[kind])

    def __getstate__(self) -> dict[str, Any]:
        """What a copy begins with: it shares nothing, and connections could not be copied."""
        return {name: value for name, value in vars(self).items() if name != "_resolved"}

    def look_up_again(self) -> None:
        """Later clients have settings, and connections, of their own."""
        self._resolved.clear()
