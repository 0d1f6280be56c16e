"""Chunks of a range, read on after a fault that passes."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from typing import TypeVar

from forge_gpu.io import faults
from forge_gpu.io.faults import ATTEMPTS, OnRetry, first_line, is_passing
from forge_gpu.job.events.events import Listener, Retried

Item = TypeVar("Item")


def retrying(
    make: Callable[[int], Iterator[Item]],
    stage: str,
    what: str,
    listener: Listener,
    sleep: Callable[[float], None] = time.sleep,
) -> Iterator[Item]:
    """The items of an iterator that is made anew after a passing fault, and goes on where it broke off.

    `make` is told how many items were given, and gives those behind them. After ATTEMPTS tries in a row
    without a new item the error is raised. Each retry is an event.
    """
    given = failures = 0
    while True:
        try:
            for item in make(given):
                given, failures = given + 1, 0
                yield item
            return
        except Exception as error:
            failures += 1
            if failures >= ATTEMPTS or not is_passing(error):
                raise
            listener(Retried(stage, what, failures, first_line(error)))
            faults.pause(failures, sleep)


def telling(stage: str, listener: Listener) -> OnRetry:
    """What tells `listener` of the retries of a stage."""

    def tell(what: str, attempt: int, fault: str) -> None:
        listener(Retried(stage, what, attempt, fault))

    return tell
