"""Threads that render with Jinja at once wait for the interpreter's lock: each lets its own process do it.

When they do is chance. What is rendered is not: both give the same texts.
"""

from __future__ import annotations

import time
from types import TracebackType

ROWS, SECONDS_A_ROW = 256, 150e-6
"""Processes are for templates that have rendered so many rows, and taken so long for each: asking one takes
a third of that, and starting it as long as some hundred rows."""

ROWS_AWAY = 64
"""Rows that a thread lets its process render once it has met another: one that renders here for a moment
would hold the lock while others have answers to fetch."""

_within: set[int] = set()


class Crowd:
    """One template of one thread, as a context: does it render here? may_leave: whether another process can
    take its rows."""

    def __init__(self, may_leave: bool) -> None:
        self._may_leave = may_leave
        self._rows = self._away = 0
        self._seconds = 0.0
        self._began: float | None = None

    def __enter__(self) -> bool:
        if _within and self._pays:
            self._away = ROWS_AWAY
        _within.add(id(self))
        if self._away:
            self._away -= 1
            return False
        self._began = time.thread_time()
        return True

    @property
    def _pays(self) -> bool:
        return self._may_leave and self._rows >= ROWS and self._seconds > SECONDS_A_ROW * self._rows

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        _within.discard(id(self))
        if self._began is not None:
            self._rows += 1
            self._seconds += time.thread_time() - self._began
            self._began = None
