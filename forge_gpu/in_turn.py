"""The same work on many things, by threads: few at once, and their results in the order of the things."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from typing import TypeVar

Item = TypeVar("Item")
Result = TypeVar("Result")


def in_turn(
    submit: Callable[[Item], Future[Result]], items: Iterable[Item], most: Callable[[], int]
) -> Iterator[Result]:
    """The results of items that are submitted one after the other. most: how many may wait to be given while
    the next item is asked for. Once the iterator is closed what has not begun never does."""
    waiting: deque[Future[Result]] = deque()
    try:
        for item in items:
            waiting.append(submit(item))
            while len(waiting) > most():
                yield waiting.popleft().result()
        while waiting:
            yield waiting.popleft().result()
    finally:
        for future in waiting:
            future.cancel()


def by_threads(work: Callable[[Item], Result], items: Iterable[Item], threads: int) -> Iterator[Result]:
    """What `work` makes of each of the items, in their order. Where `threads` is 1 the caller's own does it.
    Once the iterator is closed no thread works."""
    if threads == 1:
        yield from map(work, items)
        return
    with ThreadPoolExecutor(threads, "forge-beside") as pool:
        yield from in_turn(lambda item: pool.submit(work, item), items, lambda: threads)
