"""Lists whose rows are made when asked for."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Any, overload

Row = dict[str, Any]


class Rows(Sequence[Row]):
    """A list whose rows are made when asked for."""

    def __init__(self, numbers: Sequence[int], make: Callable[[int], Row], newest_first: bool = True) -> None:
        self._numbers = numbers
        self._make = make
        self._backwards = newest_first

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
        place = index % count
        return self._make(self._numbers[count - 1 - place if self._backwards else place])

    def __iter__(self) -> Iterator[Row]:
        return (self[place] for place in range(len(self)))
