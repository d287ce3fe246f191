"""Progress on standard error: bars on a terminal, plain lines when piped."""

from __future__ import annotations

import threading
from collections.abc import Callable
from time import monotonic
from types import TracebackType
from typing import Any

from dlt.common.runtime.collector_base import Collector
from dlt.extract import DltSource
from rich.console import Console
from rich.progress import BarColumn, SpinnerColumn, TaskID, TextColumn, TimeElapsedColumn
from rich.progress import Progress as Bars

from wistia_source.endpoints import BY_NAME

LINE_SECONDS = 10.0


class Progress:
    """Watches the counts that the resources keep, and the steps that dlt announces to its `collector`.

    A context manager around one or more runs.
    """

    def __init__(self, console: Console | None = None) -> None:
        self.collector: Collector = _Steps(self.say)
        self._console = console or Console(stderr=True)
        self._bars = Bars(
            SpinnerColumn(finished_text="[green]✓"),
            TextColumn("{task.description:<22}"),
            BarColumn(bar_width=24),
            TextColumn("{task.fields[rows]:>9,} rows {task.fields[requests]:>6,} requests"),
            TimeElapsedColumn(),
            console=self._console,
        )
        self._tasks: dict[str, TaskID] = {}
        self._source: DltSource | None = None
        self._stop_asked = threading.Event()
        self._thread = threading.Thread(target=self._tick, name="progress", daemon=True)
        self._said: set[str] = set()
        self._next_line = monotonic() + LINE_SECONDS

    def __enter__(self) -> Progress:
        if self._console.is_terminal:
            self._bars.start()
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._stop_asked.set()
        self._thread.join()
        self._show()
        if self._console.is_terminal:
            self._bars.stop()

    def watch(self, source: DltSource) -> None:
        """Shows the resources of this source from now on."""
        self._source, self._tasks, self._said = source, {}, set()
        if self._console.is_terminal:
            for task in self._bars.task_ids:
                self._bars.remove_task(task)
            for name in BY_NAME:
                if name in source.resources.selected:
                    self._tasks[name] = self._bars.add_task(name, total=None, rows=0, requests=0)

    def say(self, text: str) -> None:
        """One line, where lines are shown."""
        if not self._console.is_terminal:
            self._console.print(text, highlight=False, soft_wrap=True)

    def _tick(self) -> None:
        while not self._stop_asked.wait(0.2):
            self._show()

    def _show(self) -> None:
        if self._source is None:
            return
        metrics = {
            name: self._source.resources[name].custom_metrics
            for name in BY_NAME
            if name in self._source.resources.selected
        }
        for name, figures in metrics.items():
            if name in self._tasks:
                self._update_bar(self._tasks[name], figures)
            elif "seconds" in figures and name not in self._said:
                self._said.add(name)
                self.say(f"{name}: {figures.get('rows', 0):,} rows, {figures.get('requests', 0):,} requests")
        if monotonic() > self._next_line:
            self._next_line = monotonic() + LINE_SECONDS
            rows, requests = (
                sum(figures.get(what, 0) for figures in metrics.values()) for what in ("rows", "requests")
            )
            self.say(f"so far {rows:,} rows, {requests:,} requests")

    def _update_bar(self, task: TaskID, figures: dict[str, Any]) -> None:
        done = "seconds" in figures
        # an endpoint asked once for each parent knows how many requests it will take
        total = figures.get("asked") or (1 if done else None)
        self._bars.update(
            task,
            total=total,
            completed=total if done and total else figures.get("requests", 0),
            rows=figures.get("rows", 0),
            requests=figures.get("requests", 0),
        )


class _Steps(Collector):
    """Hears from dlt which step begins; its counters are left alone, since the resources' own say more."""

    def __init__(self, say: Callable[[str], None]) -> None:
        super().__init__()
        self._say = say

    def update(
        self,
        name: str,
        inc: int = 1,
        total: int | None = None,
        inc_total: int | None = None,
        message: str | None = None,
        label: str | None = None,
    ) -> None: ...

    def _start(self, step: str) -> None:
        if step.startswith("Load"):
            self._say("loading into the warehouse")

    def _stop(self) -> None: ...
