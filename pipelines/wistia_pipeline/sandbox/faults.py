"""Makes what the next matching requests suffer: faults on demand."""

import re
import threading
from collections import Counter
from dataclasses import dataclass
from typing import Literal


@dataclass(frozen=True)
class Fault:
    """What befalls requests whose path matches `path` (a regular expression, searched).

    `after` matches pass unharmed, then `times` suffer (None: all of them, for ever).
    """

    path: str
    kind: Literal["status", "reset", "truncated", "html", "hang", "malformed"] = "status"
    status: int = 500
    times: int | None = 1
    after: int = 0
    retry_after: str | None = None
    seconds: float = 30
    body: str | None = None


class Faults:
    """The faults in force, in the order in which they were added."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._faults: list[Fault] = []
        self._matches: Counter[int] = Counter()

    def add(self, fault: Fault) -> None:
        self._faults.append(fault)

    def clear(self) -> None:
        with self._lock:
            self._faults.clear()
            self._matches.clear()

    def claim(self, path: str) -> Fault | None:
        """The fault that a request for this path suffers, counted as used; None if it goes unharmed."""
        with self._lock:
            suffered: Fault | None = None
            for index, fault in enumerate(self._faults):
                seen = self._matches[index]
                due = seen >= fault.after
                spent = fault.times is not None and seen >= fault.after + fault.times
                if spent or (due and suffered) or not re.search(fault.path, path):
                    continue
                self._matches[index] += 1
                if due:
                    suffered = fault
            return suffered

    def __len__(self) -> int:
        return len(self._faults)
