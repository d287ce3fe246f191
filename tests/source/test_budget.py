"""The request budget: never over the limit as the server counts, never idle below it, and never a wait for ever.

Most tests move the budget's clock themselves. Those with threads only say what may not happen before its time.
"""

from __future__ import annotations

import random
import threading
import time
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import dataclass, field
from heapq import heappop, heappush

import pytest

from wistia_source.budget import BudgetClosed, RequestBudget

WINDOW = 60.0
LONG = 60.0
"""Seconds after which a thread that should have ended has failed its test."""


@dataclass
class Clock:
    """A clock that stands still until it is moved."""

    now: float = 1000.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


def budget_of(limit: int, clock: Clock) -> RequestBudget:
    """A budget that goes by this clock."""
    return RequestBudget(limit, WINDOW, clock)


@dataclass
class Simulation:
    """Many clients of one budget, all in a hurry: when each request was begun, counted by the server and answered."""

    budget: RequestBudget
    clock: Clock
    begun: list[float] = field(default_factory=list)
    counted: list[float] = field(default_factory=list)
    answered: list[float] = field(default_factory=list)

    def run(self, total: int, clients: int, seconds: Callable[[], float]) -> None:
        """Makes so many requests; the way there and the way back each take `seconds()`."""
        under_way: list[tuple[float, int, ExitStack]] = []
        while len(self.answered) < total:
            is_free = self.budget.seconds_until_free() == 0
            if is_free and len(under_way) < clients and len(self.begun) < total:
                permit = ExitStack()
                assert permit.enter_context(self.budget.permit()) == 0
                self.begun.append(self.clock.now)
                self.counted.append(self.clock.now + seconds())
                heappush(under_way, (self.counted[-1] + seconds(), len(self.begun), permit))
                continue
            wait = self.budget.seconds_until_free() or WINDOW
            next_answer = under_way[0][0] if under_way else float("inf")
            if next_answer <= self.clock.now + wait:
                self.clock.now, _, permit = heappop(under_way)
                permit.close()
                self.answered.append(self.clock.now)
            else:
                self.clock.now += wait


@pytest.mark.parametrize(
    ("limit", "clients", "total", "slowest"),
    [(1, 4, 12, 4.0), (7, 20, 200, 0.0), (10, 30, 500, 10.0), (10, 40, 500, 90.0), (540, 600, 3000, 20.0)],
)
def test_no_window_holds_more_than_the_limit_and_no_permit_lies_idle(
    clock: Clock, limit: int, clients: int, total: int, slowest: float
) -> None:
    draw = random.Random(limit)
    simulation = Simulation(budget_of(limit, clock), clock)
    simulation.run(total, clients, lambda: draw.uniform(0, slowest))
    counted = sorted(simulation.counted)
    assert all(later - earlier >= WINDOW - 1e-6 for earlier, later in zip(counted, counted[limit:], strict=False))
    # all of the quota goes out at once, and each permit again as soon as it is free
    assert simulation.begun[:limit] == [simulation.begun[0]] * limit
    for freed, taken in zip(simulation.answered, simulation.begun[limit:], strict=False):
        assert taken == pytest.approx(freed + WINDOW)


def test_a_request_that_raises_gives_its_permit_back(clock: Clock) -> None:
    budget = budget_of(1, clock)

    def fail() -> None:
        with budget.permit():
            raise ConnectionError

    with pytest.raises(ConnectionError):
        fail()
    # the server may have counted it
    assert budget.seconds_until_free() == WINDOW


def test_who_comes_late_waits_only_for_what_is_left_of_the_window(clock: Clock) -> None:
    budget = budget_of(1, clock)
    with budget.permit():
        clock.now += 7
    clock.now += 50
    assert budget.seconds_until_free() == WINDOW - 50


def test_a_permit_stays_taken_while_the_answer_takes_longer_than_the_window(clock: Clock) -> None:
    budget = budget_of(1, clock)
    with budget.permit():
        clock.now += 1.5 * WINDOW
        assert budget.seconds_until_free() == WINDOW
    assert budget.seconds_until_free() == WINDOW


def test_a_hold_stops_everybody_until_it_is_over(clock: Clock) -> None:
    budget = budget_of(1000, clock)
    budget.hold(5)
    # a shorter one does not shorten it
    budget.hold(1)
    assert budget.seconds_until_free() == 5
    clock.now += 5
    assert budget.seconds_until_free() == 0


def together(threads: int, work: Callable[[], None]) -> list[threading.Thread]:
    """Starts the same work in several threads."""
    started = [threading.Thread(target=work, daemon=True) for _ in range(threads)]
    for thread in started:
        thread.start()
    return started


def assert_finished(threads: list[threading.Thread]) -> None:
    """All of them end."""
    for thread in threads:
        thread.join(LONG)
        assert not thread.is_alive()


def test_threads_share_one_quota() -> None:
    limit, window = 8, 0.2
    budget = RequestBudget(limit, window)
    counted: list[float] = []

    def work() -> None:
        for _ in range(3):
            with budget.permit():
                counted.append(time.monotonic())

    assert_finished(together(8, work))
    counted.sort()
    assert len(counted) == 24
    assert all(later - earlier >= window for earlier, later in zip(counted, counted[limit:], strict=False))


def test_a_hold_reaches_those_who_wait_already() -> None:
    budget = RequestBudget(1, 0.2)
    with budget.permit():
        pass
    begun: list[float] = []

    def work() -> None:
        with budget.permit():
            begun.append(time.monotonic())

    threads = together(1, work)
    held_at = time.monotonic()
    budget.hold(0.5)
    assert_finished(threads)
    assert begun[0] - held_at >= 0.5


@pytest.mark.parametrize("reason", ["in flight", "window", "hold"])
def test_closing_frees_all_who_wait(reason: str) -> None:
    budget = RequestBudget(1, 3600)
    freed: list[int] = []

    def ask() -> None:
        with pytest.raises(BudgetClosed), budget.permit():
            pass
        freed.append(1)

    with ExitStack() as stack:
        if reason == "hold":
            budget.hold(3600)
        else:
            stack.enter_context(budget.permit())
        if reason == "window":
            stack.pop_all().close()
        threads = together(20, ask)
        # nobody can have got through, however much time there was
        time.sleep(0.1)
        assert not freed
        budget.close()
        assert_finished(threads)
    assert len(freed) == 20
    with pytest.raises(BudgetClosed), budget.permit():
        pass
