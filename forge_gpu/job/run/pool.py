"""Ranges through threads: bounded, in order, each thread with a workspace of its own."""

from __future__ import annotations

import math
import threading
from collections import deque
from collections.abc import Callable, Generator, Iterable
from concurrent.futures import CancelledError, ThreadPoolExecutor
from typing import Any, Generic, Protocol, TypeVar

from forge_gpu.in_turn import in_turn

Workspace = TypeVar("Workspace")
Made = TypeVar("Made")
Result = TypeVar("Result")
Given = TypeVar("Given", covariant=True)
Hold = Callable[[Any, Any], Any]


def is_complete(result: object) -> None:
    """Where nothing is left to do once a result is taken."""


class Executor(Protocol[Given]):
    """What runs tasks, wherever that is: few at once, results in the order of the tasks.

    threads: how many tasks are in flight; where it is 1, they run in the caller's own thread. first: a
    workspace of this process. A task is a `functools.partial` of a step, with an `item`: its range.
    """

    @property
    def threads(self) -> int: ...

    @property
    def first(self) -> Given: ...

    def map(
        self,
        tasks: Iterable[Callable[[Given], Made]],
        take: Callable[[Made], Result],
        hold: Hold | None = None,
        complete: Callable[[Result], None] = is_complete,
    ) -> Generator[Result, None, None]:
        """Run every task with a workspace, and give what `take` makes of each of their results.

        hold: where tasks make iterators. What one gives is taken before the next is asked for, or, by a task
        whose turn has not come, `hold(workspace, item)` gives the same as lasts until the task's end.

        `take` is called in this process with one result at a time, in the order of the tasks, while the
        workspace that the result may point into is still the task's. `complete` is called with what it made
        before that is given, by several threads in no order, while the workspace is still the task's as well.
        An exception of any of the three is raised in its place. Once the generator is closed nothing runs any
        more: `take` was called for some of the first tasks and for no other.
        """

    def close(self) -> None: ...


def as_it_is(made: Made) -> Made:
    """To take results that point into no workspace."""
    return made


class OrderedPool(Generic[Workspace]):
    """Runs tasks on `threads` threads (on none where that is 1), each with a workspace of its own.

    A thread takes what it made as soon as its turn has come, from caches that are still warm. At most
    threads + 1 tasks are begun and not yet given; one alone while `is_memory_short`.
    """

    def __init__(
        self,
        threads: int,
        make_workspace: Callable[[], Workspace],
        is_memory_short: Callable[[], bool] = lambda: False,
    ) -> None:
        self.threads = threads
        self._is_memory_short = is_memory_short
        self._workspaces = [make_workspace() for _ in range(threads)]
        self.first = self._workspaces[0]

    def map(
        self,
        tasks: Iterable[Callable[[Workspace], Made]],
        take: Callable[[Made], Result],
        hold: Hold | None = None,
        complete: Callable[[Result], None] = is_complete,
    ) -> Generator[Result, None, None]:
        """See Executor."""
        if self.threads == 1:
            for task in tasks:
                result = take(task(self.first))
                complete(result)
                yield result
            return
        turns = _Turns()
        own = threading.local()
        unclaimed = deque(self._workspaces)

        def claim() -> None:
            own.workspace = unclaimed.popleft()

        def run(number: int, task: Callable[[Workspace], Made]) -> Result:
            try:
                made: Any = task(own.workspace)
                if hold is not None:
                    made = [hold(own.workspace, item) for item in made]
                turns.wait_for(number)
                result = take(made)
                turns.end(number)
                complete(result)
            except BaseException:
                turns.fail(number)
                raise
            return result

        executor = ThreadPoolExecutor(self.threads, "forge", claim)
        try:
            yield from in_turn(
                lambda numbered: executor.submit(run, *numbered),
                enumerate(tasks),
                lambda: 0 if self._is_memory_short() else self.threads,
            )
        finally:
            executor.shutdown(wait=True, cancel_futures=True)

    def close(self) -> None:
        """Nothing is held between two calls of `map`."""


class _Turns:
    """A turn for each task, in the order of their numbers; none for those behind one that failed."""

    def __init__(self) -> None:
        self._changed = threading.Condition()
        self._next = 0
        self._failed = math.inf  # the number of the first that did

    def wait_for(self, number: int) -> None:
        """Return when it is the task's turn. Raises CancelledError where it never will be."""
        with self._changed:
            self._changed.wait_for(lambda: self._next == number or self._failed < number)
            if self._next != number:
                raise CancelledError

    def end(self, number: int) -> None:
        """The turn goes to the next task."""
        with self._changed:
            self._next = number + 1
            self._changed.notify_all()

    def fail(self, number: int) -> None:
        """The task has failed."""
        with self._changed:
            self._failed = min(self._failed, number)
            self._changed.notify_all()
