"""Who works on the blocks of a frame: engines that serve one thread at a time, lent to whichever comes.

An engine writes into buffers of its own, and a renderer grows while it works: two threads in one of them
would write into each other's texts. So a call borrows a worker and gives it back, and as many are made as
there are calls at once. The last one that came back goes out first, for its buffers are warm.
"""

from __future__ import annotations

import os
from collections import OrderedDict, deque
from collections.abc import Callable, Hashable, Iterable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from threading import Lock
from typing import Any, TypeVar

from forge_gpu.engine.base import Engine
from forge_gpu.errors import ForgeError
from forge_gpu.plain import frozen

CLOSED = "this engine is closed; open another with forge_gpu.open_engine()"

RETAINED = 16
"""Things of one kind that are retained for the next call: idle workers, and a worker's templates."""

Item = TypeVar("Item")
Made = TypeVar("Made")


class Worker:
    """An engine, and what has been made for it, in the hands of one thread."""

    def __init__(self, engine: Engine) -> None:
        self.engine = engine
        self._made: OrderedDict[Hashable, Any] = OrderedDict()

    def made(self, key: Hashable, make: Callable[[], Made]) -> Made:
        """What `make` gave for this key at first; of more than RETAINED the least used is forgotten."""
        result: Made
        if key in self._made:
            result = self._made[key]
            self._made.move_to_end(key)
            return result
        result = self._made[key] = make()
        if len(self._made) > RETAINED:
            self._made.popitem(last=False)
        return result


@frozen
class Stats:
    """What an engine has done so far. rows, and bytes of their columns (characters of their texts, where they
    were few), that went through it, each as often as it did; peak: the most bytes that its buffers held at
    once (on a GPU, that its pool had); halvings: calls that did not fit into a GPU's memory and were done in
    halves."""

    rows: int
    bytes: int
    peak: int
    halvings: int


class Workers:
    """Makes workers and lends them. threads: blocks of one call that are worked on at once; those of all
    calls share the threads. An object that was forked into a process begins with threads of its own."""

    def __init__(self, make: Callable[[], Engine], threads: int) -> None:
        self.threads = threads
        self._make = make
        self._closed = False
        self.rows = self.bytes = self.peak = 0
        self._begin()

    def _begin(self) -> None:
        self._process = os.getpid()
        self._lock = Lock()
        self._idle: list[Worker] = []
        self._held: dict[Worker, int] = {}
        self._executor: ThreadPoolExecutor | None = None

    @contextmanager
    def borrow(self) -> Iterator[Worker]:
        """A worker that nobody else has. Raises ForgeError once closed.

        One whose work ended in an error is not lent again: nobody knows what it was in the middle of.
        """
        if self._process != os.getpid():
            self._begin()
        with self._lock:
            if self._closed:
                raise ForgeError(CLOSED)
            worker = self._idle.pop() if self._idle else None
        worker = worker or Worker(self._make())
        is_whole = False
        try:
            yield worker
            is_whole = True
        finally:
            with self._lock:
                if is_whole and not self._closed and len(self._idle) < RETAINED:
                    self._idle.append(worker)
                else:
                    self._held.pop(worker, None)

    def count(self, worker: Worker, rows: int, size: int) -> None:
        """Note a block that a worker is done with."""
        held = worker.engine.memory()
        with self._lock:
            self.rows += rows
            self.bytes += size
            self._held[worker] = held
            self.peak = max(self.peak, sum(self._held.values()))

    def map(self, work: Callable[[Worker, Item], Iterable[Made]], items: Sequence[Item]) -> Iterator[Made]:
        """All that `work` makes of each item, in their order; at most threads + 1 of them are ahead.

        In one thread, what was made may still point into its worker: take it before the next one.
        """
        if self.threads == 1 or len(items) < 2:
            with self.borrow() as worker:
                for item in items:
                    yield from work(worker, item)
            return

        def one(item: Item) -> list[Made]:
            with self.borrow() as worker:
                return list(work(worker, item))

        executor = self._threads()
        ahead: deque[Future[list[Made]]] = deque()
        try:
            for item in items:
                ahead.append(executor.submit(one, item))
                if len(ahead) > self.threads:
                    yield from ahead.popleft().result()
            while ahead:
                yield from ahead.popleft().result()
        finally:
            for future in ahead:
                future.cancel()

    def _threads(self) -> ThreadPoolExecutor:
        with self.borrow(), self._lock:
            if self._executor is None:
                self._executor = ThreadPoolExecutor(self.threads, "forge-frames")
            return self._executor

    def close(self) -> None:
        """Give up the workers, those that are lent as they come back. A second call does nothing."""
        with self._lock:
            self._closed = True
            self._idle.clear()
            self._held.clear()
            executor, self._executor = self._executor, None
        if executor is not None:
            executor.shutdown()
