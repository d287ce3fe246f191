"""Progress on standard error: bars on a terminal, plain lines when piped."""

from __future__ import annotations

import threading
from collections.abc import Callable
from time import monotonic

from dlt.common.runtime.collector import NullCollector
from dlt.extract import DltSource
from rich.console import Console
from rich.progress import BarColumn, SpinnerColumn, TaskID, TextColumn, TimeElapsedColumn
from rich.progress import Progress as Bars

from wistia_source.endpoints import BY_NAME, VISITORS
from wistia_source.metrics import Metrics

from .results import metrics_of


class Progress:
    """Watches the counts of the resources, and the steps that dlt tells its `collector`, while its context lasts."""

    def __init__(self, console: Console | None = None, line_seconds: float = 10.0) -> None:
        self.collector = _Steps(self._loading)
        self._console = console or Console(stderr=True)
        # FORCE_COLOR, which continuous integration likes to set, makes a pipe look like a terminal to rich
        self._has_bars = self._console.is_interactive and self._console.file.isatty()
        self._bars = Bars(
            SpinnerColumn(finished_text="[green]✓"),
            TextColumn("{task.description:<22}"),
            BarColumn(bar_width=14),
            TextColumn("{task.fields[rows]:>9,} rows {task.fields[requests]:>6,} requests"),
            TimeElapsedColumn(),
            console=self._console,
            # the table of results says the same, to stay
            transient=True,
        )
        self._tasks: dict[str, TaskID] = {}
        self._source: DltSource | None = None
        self._stop_asked = threading.Event()
        self._thread = threading.Thread(target=self._tick, name="progress", daemon=True)
        self._done: set[str] = set()
        self._said: set[str] = set()
        self._line_seconds = line_seconds
        self._next_line = monotonic() + line_seconds
        self._estimated = False

    def __enter__(self) -> Progress:
        if self._has_bars:
            self._bars.start()
        self._thread.start()
        return self

    def __exit__(self, kind: object, error: BaseException | None, trace: object) -> None:
        self._stop_asked.set()
        self._thread.join()
        if error is None:
            self._show(at_once=True)
        if self._has_bars:
            self._bars.stop()

    def watch(self, source: DltSource) -> None:
        """Shows the resources of this source from now on."""
        self._source, self._tasks, self._done, self._said, self._estimated = source, {}, set(), set(), False
        if self._has_bars:
            for task in self._bars.task_ids:
                self._bars.remove_task(task)
            for name in BY_NAME:
                if name in source.resources.selected:
                    self._tasks[name] = self._bars.add_task(name, total=None, rows=0, requests=0)

    def _say(self, text: str) -> None:
        """One line, where lines are shown."""
        if not self._has_bars:
            self._print(text)

    def _print(self, text: str) -> None:
        self._console.print(text, highlight=False, markup=False, soft_wrap=True)

    def building_models(self) -> None:
        """The data is loaded; its models are built now."""
        self._step("models", "building the models")

    def _loading(self) -> None:
        self._show(at_once=True)
        self._step("loading", "loading into the warehouse")

    def _step(self, name: str, text: str) -> None:
        self._say(text)
        if self._has_bars and name not in self._tasks:
            rows, requests = self._sums()
            self._tasks[name] = self._bars.add_task(name, total=None, rows=rows, requests=requests)

    def _tick(self) -> None:
        while not self._stop_asked.wait(0.2):
            self._show()

    def _show(self, *, at_once: bool = False) -> None:
        for name, figures in self._metrics().items():
            if name in self._tasks:
                self._update_bar(self._tasks[name], figures)
            elif self._is_news(name, figures, at_once):
                self._said.add(name)
                self._say(f"{name}: {_figures(figures.rows, figures.requests)}")
        self._show_estimate()
        if self._source is not None and monotonic() > self._next_line:
            self._next_line = monotonic() + self._line_seconds
            self._say(f"so far {_figures(*self._sums())}")

    def _show_estimate(self) -> None:
        """How long it will take, once all is known that can be: of a first run or a backfill, not of an hourly one."""
        metrics = self._metrics()
        # a list without a count of its rows
        counted = [
            own for name, own in metrics.items() if not (BY_NAME[name].listing or BY_NAME[name].has_unknown_length)
        ]
        if self._estimated or not counted or any(own.expected is None for own in counted):
            return
        self._estimated = True
        requests = sum(own.expected or 0 for own in counted)
        minutes = sum(own.expected_minutes for own in counted)
        more = ", and one request for each 100 visitors" if VISITORS.name in metrics else ""
        self._print(f"about {requests:,} requests, {minutes:.1f} minutes at the quota{more}")

    def _is_news(self, name: str, figures: Metrics, at_once: bool) -> bool:
        """Whether to say that it is finished: one look later, since one that failed ends the run meanwhile."""
        if figures.unfinished or name in self._said:
            return False
        seen_before = name in self._done
        self._done.add(name)
        return seen_before or at_once

    def _metrics(self) -> dict[str, Metrics]:
        return {} if self._source is None else metrics_of(self._source)

    def _sums(self) -> tuple[int, int]:
        metrics = self._metrics().values()
        return sum(own.rows for own in metrics), sum(own.requests for own in metrics)

    def _update_bar(self, task: TaskID, figures: Metrics) -> None:
        done = not figures.unfinished
        total = figures.expected or (1 if done else None)
        self._bars.update(
            task,
            total=total,
            completed=total if done and total else figures.requests,
            rows=figures.rows,
            requests=figures.requests,
        )


def _figures(rows: int, requests: int) -> str:
    return f"{rows:,} row{'' if rows == 1 else 's'}, {requests:,} request{'' if requests == 1 else 's'}"


class _Steps(NullCollector):
    """Hears from dlt when loading begins; its counters are left alone, since the resources' own say more."""

    def __init__(self, loading: Callable[[], None]) -> None:
        self._loading = loading

    def _start(self, step: str) -> None:
        if step.startswith("Load"):
            self._loading()
