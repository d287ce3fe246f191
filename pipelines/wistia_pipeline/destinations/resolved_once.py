"""A destination whose settings are looked up once: dlt does so for each of its clients, some eighty in an hourly run.

With the connections that each client would then open for itself, that would be a third of a small run.
"""

from __future__ import annotations

from copy import copy
from dataclasses import fields
from functools import cached_property
from typing import Any

from dlt.common.destination import Destination


class ResolvedOnce(Destination[Any, Any]):
    """Its clients share their connections; settings that change while it lives are not seen."""

    @cached_property
    def _resolved(self) -> dict[tuple[Any, ...], Any]:
        """By what dlt begins with: the pipeline and its dataset among others."""
        return {}

    def configuration(self, initial_config: Any, accept_partial: bool = False) -> Any:
        """The settings, looked up at the first call of this kind."""
        initial = initial_config or self.spec()
        given = [repr(getattr(initial, field.name)) for field in fields(initial) if field.name != "credentials"]
        kind = (*given, initial.credentials is None, accept_partial)
        if kind not in self._resolved:
            self._resolved[kind] = super().configuration(initial, accept_partial)
        return copy(self._resolved[kind])

    def look_up_again(self) -> None:
        """Later clients have settings, and connections, of their own."""
        self._resolved.clear()
