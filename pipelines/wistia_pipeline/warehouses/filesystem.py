"""Files in a folder or an object storage."""

from __future__ import annotations

from contextlib import AbstractContextManager

from .base import Destination
from .locks import Hold


class Files(Destination):
    """Files to which every load adds some of its own, so that different accounts can be loaded side by side."""

    def held(self, by: str | None = None) -> AbstractContextManager[Hold]:
        return self._held_by_a_file(by or self.pipeline.pipeline_name)
