"""Holds lists whose rows are made when they are read."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

Row = dict[str, Any]


class Rows(Sequence[Row]):
    """Rows of these numbers, the last number first, made when they are read."""

    def __init__(self, numbers: Sequence[int], make: Callable[[int], Row]) -> None:
        self._numbers, self._make = numbers, make

    def __len__(self) -> int:
        return len(self._numbers)

    def __getitem__(self, index: Any) -> Any:
        if isinstance(index, slice):
            return [self[place] for place in range(*index.indices(len(self)))]
        return self._make(self._numbers[-1 - index])
