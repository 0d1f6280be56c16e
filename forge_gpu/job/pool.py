"""Ranges through threads: bounded, in order, each with a workspace of its own."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Generator, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Generic, Protocol, TypeVar

Workspace = TypeVar("Workspace")
Result = TypeVar("Result")
Given = TypeVar("Given", covariant=True)


class Executor(Protocol[Given]):
    """What runs tasks, wherever that is: few at once, results in the order of the tasks.

    threads: how many tasks are in flight; where it is 1, they run in the caller's own thread. first: a
    workspace of this process. A task is a `functools.partial` of a step, with an `item`: its range.
    """

    @property
    def threads(self) -> int: ...

    @property
    def first(self) -> Given: ...

    def map(self, tasks: Iterable[Callable[[Given], Result]]) -> Generator[Result, None, None]:
        """Run every task with a workspace. An exception of a task is raised in its place."""

    def close(self) -> None: ...


class OrderedPool(Generic[Workspace]):
    """Runs tasks on `threads` threads and gives their results in the order of the tasks.

    There are `threads + 1` workspaces (one, and no thread, where `threads` is 1): so many ranges are in
    flight and no more, which is what bounds memory; fewer while `is_memory_short`. A result may point into
    its workspace, which is handed on only when the caller asks for the next result.
    """

    def __init__(
        self,
        threads: int,
        make_workspace: Callable[[], Workspace],
        is_memory_short: Callable[[], bool] = lambda: False,
    ) -> None:
        self.threads = threads
        self._is_memory_short = is_memory_short
        self._free = deque(make_workspace() for _ in range(threads + 1 if threads > 1 else 1))
        self.first = self._free[0]

    def map(self, tasks: Iterable[Callable[[Workspace], Result]]) -> Generator[Result, None, None]:
        """Run every task with a free workspace. An exception of a task is raised in its place."""
        if self.threads == 1:
            for task in tasks:
                yield task(self._free[0])
            return
        executor = ThreadPoolExecutor(self.threads, "forge")
        waiting: deque[tuple[Workspace, Future[Result]]] = deque()
        try:
            for task in tasks:
                workspace = self._free.popleft()
                waiting.append((workspace, executor.submit(task, workspace)))
                while waiting and (not self._free or self._is_memory_short()):
                    yield from self._take(waiting)
            while waiting:
                yield from self._take(waiting)
        finally:
            executor.shutdown(wait=True, cancel_futures=True)
            self._free.extend(workspace for workspace, _ in waiting)

    def close(self) -> None:
        """Nothing is held between two calls of `map`."""

    def _take(self, waiting: deque[tuple[Workspace, Future[Result]]]) -> Iterator[Result]:
        workspace, future = waiting[0]
        yield future.result()
        waiting.popleft()
        self._free.append(workspace)
