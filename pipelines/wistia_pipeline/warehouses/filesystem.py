"""Files in a folder or an object storage."""

from contextlib import AbstractContextManager
from pathlib import Path

from .base import Destination
from .locks import Hold, file_held


class Files(Destination):
    """Files to which every load adds some of its own, so that different accounts can be loaded side by side."""

    def held(self, by: str | None = None) -> AbstractContextManager[Hold]:
        return file_held(Path(self.pipeline.pipelines_dir) / f"{by or self.pipeline.pipeline_name}.lock")
