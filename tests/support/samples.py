"""Sweeps that are sampled: a few of their cases always, all of them with the deep tests."""

from __future__ import annotations

from collections.abc import Sequence
from random import Random
from typing import Any

import pytest


def sampled(cases: Sequence[Any], count: int, *, seed: int) -> list[Any]:
    """The cases as parameters of a test: `count` of them, chosen by the seed, as they are; the others `deep`."""
    chosen = set(Random(seed).sample(range(len(cases)), count))
    return [
        case if number in chosen else pytest.param(*_values(case), marks=pytest.mark.deep)
        for number, case in enumerate(cases)
    ]


def _values(case: Any) -> tuple[Any, ...]:
    return case if isinstance(case, tuple) else (case,)
