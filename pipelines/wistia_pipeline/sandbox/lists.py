"""Holds lists whose rows are made when they are read."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, overload

Row = dict[str, Any]


class Rows(Sequence[Row]):
    """Rows of these numbers, the last number first, made when they are read."""

    def __init__(self, numbers: Sequence[int], make: Callable[[int], Row]) -> None:
        self._numbers = numbers
        self._make = make

    def __len__(self) -> int:
        return len(self._numbers)

    @overload
    def __getitem__(self, index: int) -> Row: ...
    @overload
    def __getitem__(self, index: slice) -> list[Row]: ...
    def __getitem__(self, index: int | slice) -> Row | list[Row]:
        count = len(self._numbers)
        if isinstance(index, slice):
            return [self[place] for place in range(*index.indices(count))]
        if not -count <= index < count:
            raise IndexError(index)
        return self._make(self._numbers[-1 - index % count])
