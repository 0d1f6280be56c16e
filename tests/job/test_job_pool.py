"""The pool: results in order, bounded, and fewer in flight while memory is short."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from functools import partial

import pytest

from forge_gpu.job.run.pool import OrderedPool, as_it_is


class Workspace:
    def __init__(self) -> None:
        self.user: int | None = None


def work(workspace: Workspace, number: int, running: list[int], most: list[int], lock: threading.Lock) -> int:
    with lock:
        assert workspace.user is None, "a workspace was given to two tasks"
        workspace.user = number
        running.append(number)
        most.append(len(running))
    time.sleep(0.002 * (number % 3))
    with lock:
        workspace.user = None
        running.remove(number)
    return number


@pytest.mark.parametrize("threads", [1, 2, 4])
def test_results_come_in_order_and_few_are_in_flight(threads: int) -> None:
    running: list[int] = []
    most: list[int] = []
    lock = threading.Lock()
    pool = OrderedPool(threads, Workspace)
    tasks = (partial(work, number=number, running=running, most=most, lock=lock) for number in range(40))
    assert list(pool.map(tasks, as_it_is)) == list(range(40))
    assert max(most) <= threads
    again = (partial(work, number=n, running=running, most=most, lock=lock) for n in range(5))
    assert list(pool.map(again, as_it_is)) == list(range(5))


def test_one_at_a_time_while_memory_is_short() -> None:
    running: list[int] = []
    most: list[int] = []
    lock = threading.Lock()
    pool = OrderedPool(4, Workspace, is_memory_short=lambda: True)
    tasks = (partial(work, number=number, running=running, most=most, lock=lock) for number in range(20))
    assert list(pool.map(tasks, as_it_is)) == list(range(20))
    assert max(most) == 1


def test_a_failing_task_raises_in_its_place_and_the_pool_goes_on_to_be_usable() -> None:
    def fail(workspace: Workspace) -> int:
        raise ValueError("task 2")

    def number(workspace: Workspace, n: int) -> int:
        return n

    pool = OrderedPool(2, Workspace)
    seen = []
    with pytest.raises(ValueError, match="task 2"):
        tasks: list[Callable[[Workspace], int]] = [
            partial(number, n=0),
            partial(number, n=1),
            fail,
            partial(number, n=3),
        ]
        for result in pool.map(tasks, as_it_is):
            seen.append(result)
    assert seen == [0, 1]
    assert list(pool.map((partial(number, n=n) for n in range(10)), as_it_is)) == list(range(10))


@pytest.mark.parametrize("threads", [1, 2, 4])
def test_results_are_taken_in_order_one_at_a_time_while_the_workspace_is_the_task_s(threads: int) -> None:
    taken: list[int] = []
    taking = threading.Lock()

    def make(workspace: Workspace, number: int) -> tuple[Workspace, int]:
        workspace.user = number
        time.sleep(0.002 * (number % 3))
        return workspace, number

    def take(made: tuple[Workspace, int]) -> int:
        workspace, number = made
        assert taking.acquire(blocking=False), "two results are taken at once"
        assert workspace.user == number
        time.sleep(0.001)
        taken.append(number)
        taking.release()
        return -number

    pool = OrderedPool(threads, Workspace)
    tasks = (partial(make, number=number) for number in range(40))
    assert list(pool.map(tasks, take)) == [-number for number in range(40)]
    assert taken == list(range(40))


@pytest.mark.parametrize("threads", [1, 2, 4])
@pytest.mark.parametrize("where", ["task", "take"])
def test_nothing_behind_a_failure_is_taken(threads: int, where: str) -> None:
    taken: list[int] = []

    def make(workspace: Workspace, number: int) -> int:
        time.sleep(0.003 * (number == 4))  # the one before the failure is the last to be made
        if where == "task" and number == 5:
            raise ValueError("five")
        return number

    def take(number: int) -> None:
        if where == "take" and number == 5:
            raise ValueError("five")
        taken.append(number)

    pool = OrderedPool(threads, Workspace)
    with pytest.raises(ValueError, match="five"):
        list(pool.map((partial(make, number=number) for number in range(20)), take))
    assert taken == [0, 1, 2, 3, 4]


@pytest.mark.parametrize("threads", [1, 2, 4])
def test_a_pool_that_is_left_early_has_taken_some_of_the_first_and_is_at_rest(threads: int) -> None:
    taken: list[int] = []

    def make(workspace: Workspace, number: int) -> int:
        time.sleep(0.002)
        return number

    pool = OrderedPool(threads, Workspace)
    results = pool.map((partial(make, number=number) for number in range(40)), taken.append)
    for _ in range(3):
        next(results)
    results.close()
    at_rest = list(taken)
    time.sleep(0.02)
    assert taken == at_rest == list(range(len(taken)))
    assert 3 <= len(taken) < 40


@pytest.mark.parametrize("threads", [1, 2, 4])
def test_what_is_left_of_a_task_is_done_out_of_turn_and_before_it_is_given(threads: int) -> None:
    both = threading.Barrier(2)
    done: list[int] = []

    def make(workspace: Workspace, number: int) -> tuple[Workspace, int]:
        workspace.user = number
        return workspace, number

    def complete(taken: tuple[Workspace, int]) -> None:
        workspace, number = taken
        if threads == 2:
            both.wait(60)  # two are here at once, so none of them holds a turn
        assert workspace.user == number
        done.append(number)

    pool = OrderedPool(threads, Workspace)
    tasks = (partial(make, number=number) for number in range(40))
    for number, (_, given) in enumerate(pool.map(tasks, as_it_is, None, complete)):
        assert given == number and number in done


@pytest.mark.parametrize("threads", [1, 2, 4])
def test_a_failure_out_of_turn_is_raised_in_its_place_and_ends_the_turns(threads: int) -> None:
    taken: list[int] = []

    def complete(number: int | None) -> None:
        if taken and number == 5:
            raise ValueError("five")

    def take(number: int) -> int:
        taken.append(number)
        return number

    def make(workspace: Workspace, number: int) -> int:
        time.sleep(0.002)
        return number

    given = []
    pool = OrderedPool(threads, Workspace)
    with pytest.raises(ValueError, match="five"):
        for number in pool.map((partial(make, number=n) for n in range(40)), take, None, complete):
            given.append(number)
    assert given == [0, 1, 2, 3, 4]
    assert taken == list(range(len(taken))) and len(taken) <= 6 + threads
