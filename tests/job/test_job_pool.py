"""The pool: results in order, bounded, and fewer in flight while memory is short."""

from __future__ import annotations

import threading
import time
from functools import partial

import pytest

from forge_gpu.job.pool import OrderedPool


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
    assert list(pool.map(tasks)) == list(range(40))
    assert max(most) <= threads
    assert list(pool.map(lambda workspace, n=n: n for n in range(5))) == list(range(5))


def test_one_at_a_time_while_memory_is_short() -> None:
    running: list[int] = []
    most: list[int] = []
    lock = threading.Lock()
    pool = OrderedPool(4, Workspace, is_memory_short=lambda: True)
    tasks = (partial(work, number=number, running=running, most=most, lock=lock) for number in range(20))
    assert list(pool.map(tasks)) == list(range(20))
    assert max(most) == 1


def test_a_failing_task_raises_in_its_place_and_the_pool_goes_on_to_be_usable() -> None:
    def fail(workspace: Workspace) -> int:
        raise ValueError("task 2")

    def number(workspace: Workspace, n: int) -> int:
        return n

    pool = OrderedPool(2, Workspace)
    seen = []
    with pytest.raises(ValueError, match="task 2"):
        for result in pool.map([partial(number, n=0), partial(number, n=1), fail, partial(number, n=3)]):
            seen.append(result)
    assert seen == [0, 1]
    assert list(pool.map(partial(number, n=n) for n in range(10))) == list(range(10))
