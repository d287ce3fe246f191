"""The request budget: never over the limit as the server counts, never idle below it, and never a wait for ever."""

from __future__ import annotations

import random
import threading
import time
from collections.abc import Callable
from contextlib import ExitStack
from itertools import count

import pytest

from wistia_source.budget import BudgetClosed, RequestBudget

WINDOW = 0.3


@pytest.fixture(autouse=True)
def _short_window(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("wistia_source.budget.WINDOW_SECONDS", WINDOW)


def together(threads: int, work: Callable[[], None]) -> list[threading.Thread]:
    """Starts the same work in several threads."""
    started = [threading.Thread(target=work, daemon=True) for _ in range(threads)]
    for thread in started:
        thread.start()
    return started


def finished(threads: list[threading.Thread], within: float) -> bool:
    """Whether all of them end in time."""
    until = time.monotonic() + within
    for thread in threads:
        thread.join(max(0.0, until - time.monotonic()))
    return not any(thread.is_alive() for thread in threads)


class Requests:
    """Requests that take their time on the way there and back, and when each was begun, counted and answered."""

    def __init__(self, budget: RequestBudget, total: int, seconds: Callable[[], float]) -> None:
        self.budget = budget
        self.begun: list[float] = []
        self.counted: list[float] = []
        self.answered: list[float] = []
        self.waited: list[float] = []
        self._numbers = count()
        self._total = total
        self._seconds = seconds

    def work(self) -> None:
        while next(self._numbers) < self._total:
            with self.budget.permit() as waited:
                self.waited.append(waited)
                self.begun.append(time.monotonic())
                time.sleep(self._seconds())
                self.counted.append(time.monotonic())
                time.sleep(self._seconds())
            self.answered.append(time.monotonic())


@pytest.mark.parametrize(
    ("limit", "threads", "total", "slowest"),
    [(1, 4, 3, 0.02), (7, 20, 24, 0.0), (10, 30, 25, 0.05), (10, 40, 25, 0.15)],
)
def test_no_window_holds_more_than_the_limit_and_no_permit_lies_idle(
    limit: int, threads: int, total: int, slowest: float
) -> None:
    draw = random.Random(limit)
    requests = Requests(RequestBudget(limit), total, lambda: draw.uniform(0, slowest))
    assert finished(together(threads, requests.work), within=20)
    counted = sorted(requests.counted)
    assert len(counted) == total
    for earlier, later in zip(counted, counted[limit:], strict=False):
        assert later - earlier >= WINDOW
    # each permit goes out again as soon as it is free; threads take a moment to wake
    begun, answered = sorted(requests.begun), sorted(requests.answered)
    assert begun[limit - 1] - begun[0] < 0.2
    for freed, taken in zip(answered, begun[limit:], strict=False):
        assert taken - (freed + WINDOW) < 0.2


def test_a_burst_is_not_spread_out() -> None:
    requests = Requests(RequestBudget(200), 200, lambda: 0.05)
    started = time.monotonic()
    assert finished(together(50, requests.work), within=5)
    assert time.monotonic() - started < WINDOW + 0.4
    assert sum(requests.waited) < 1


def test_a_request_that_raises_gives_its_permit_back() -> None:
    budget = RequestBudget(1)

    def fail() -> None:
        with budget.permit():
            raise ConnectionError

    with pytest.raises(ConnectionError):
        fail()
    # the server may have counted it
    started = time.monotonic()
    with budget.permit() as waited:
        assert WINDOW - 0.05 < time.monotonic() - started < WINDOW + 0.3
        assert waited == pytest.approx(WINDOW, abs=0.3)


def test_who_comes_late_waits_only_for_what_is_left_of_the_window(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("wistia_source.budget.WINDOW_SECONDS", 0.8)
    budget = RequestBudget(1)
    with budget.permit():
        pass
    answered = time.monotonic()
    time.sleep(0.6)
    with budget.permit():
        assert 0.75 < time.monotonic() - answered < 1.2


def test_a_permit_stays_taken_while_the_answer_takes_longer_than_the_window() -> None:
    budget = RequestBudget(1)
    answered: list[float] = []

    def slow() -> None:
        with budget.permit():
            time.sleep(WINDOW * 1.5)
        answered.append(time.monotonic())

    threads = together(1, slow)
    time.sleep(0.1)
    with budget.permit():
        begun = time.monotonic()
    assert finished(threads, within=5)
    assert begun - answered[0] >= WINDOW - 0.05


def test_a_hold_stops_everybody_until_it_is_over() -> None:
    requests = Requests(RequestBudget(1000), 20, lambda: 0.0)
    requests.budget.hold(0.5)
    # a shorter one does not shorten it
    requests.budget.hold(0.1)
    started = time.monotonic()
    assert finished(together(10, requests.work), within=5)
    assert min(requests.begun) - started > 0.45
    assert max(requests.begun) - started < 0.9


def test_a_hold_reaches_those_who_wait_already() -> None:
    budget = RequestBudget(1)
    with budget.permit():
        pass
    requests = Requests(budget, 1, lambda: 0.0)
    threads = together(1, requests.work)
    time.sleep(0.1)
    started = time.monotonic()
    budget.hold(WINDOW + 0.3)
    assert finished(threads, within=5)
    assert requests.begun[0] - started >= WINDOW + 0.25


@pytest.mark.parametrize("reason", ["in flight", "window", "hold"])
def test_closing_frees_all_who_wait(reason: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("wistia_source.budget.WINDOW_SECONDS", 600)
    budget = RequestBudget(1)
    freed: list[float] = []

    def ask() -> None:
        with pytest.raises(BudgetClosed), budget.permit():
            pass
        freed.append(time.monotonic())

    with ExitStack() as stack:
        if reason == "hold":
            budget.hold(600)
        else:
            stack.enter_context(budget.permit())
        if reason == "window":
            stack.pop_all().close()
        threads = together(20, ask)
        time.sleep(0.2)
        assert not freed
        budget.close()
        assert finished(threads, within=2)
    assert len(freed) == 20
    with pytest.raises(BudgetClosed), budget.permit():
        pass


def test_the_clock_is_an_argument() -> None:
    now = [1000.0]
    budget = RequestBudget(2, clock=lambda: now[0])
    for _ in range(3):
        with budget.permit() as first, budget.permit() as second:
            now[0] += 5
            assert first == second == 0
        now[0] += WINDOW
