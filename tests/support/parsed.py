"""Keeps what dbt has parsed for other builds of the same models, in whatever folder and process.

dbt keeps it itself, for builds of one folder that reach the warehouse in the same way; each test has a folder and a
warehouse of its own.
"""

from __future__ import annotations

import os
import shutil
from functools import cache
from pathlib import Path
from typing import Any

from tests.support import shared


@cache
def keep_parsed() -> None:
    """From now on, in this process."""
    from dbt.artifacts.resources.base import FileHash
    from dbt.constants import PARTIAL_PARSE_FILE_NAME
    from dbt.parser.manifest import ManifestLoader

    loader: Any = ManifestLoader
    check, read, load = loader.build_manifest_state_check, loader.read_manifest_for_partial_parse, loader.load

    def where(self: Any) -> str:
        """What is in the parsed project of where it is built."""
        credentials = self.root_project.credentials
        return f"{credentials.type} {credentials.database} {credentials.schema}"

    def kept(self: Any) -> Path:
        variables = self.manifest.state_check.vars_hash.checksum[:8]
        return shared.folder() / f"parsed {where(self)} {variables}.msgpack"

    def file(self: Any) -> Path:
        return Path(self.root_project.project_target_path) / PARTIAL_PARSE_FILE_NAME

    def check_what_matters(self: Any) -> Any:
        state = check(self)
        state.profile_hash = FileHash.from_contents(where(self))
        return state

    def read_kept(self: Any) -> Any:
        if kept(self).exists():
            file(self).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(kept(self), file(self))
        return read(self)

    def load_and_keep(self: Any) -> Any:
        manifest = load(self)
        if not kept(self).exists():
            half = kept(self).with_suffix(f".{os.getpid()}")
            shutil.copy(file(self), half)
            half.replace(kept(self))
        return manifest

    loader.build_manifest_state_check = check_what_matters
    loader.read_manifest_for_partial_parse = read_kept
    loader.load = load_and_keep
