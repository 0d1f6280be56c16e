"""Threads that render with Jinja at once: one holds the interpreter's lock, so each other lets a process of
its own do it.

Which of them does is chance. What is rendered is not: both give the same texts.
"""

from __future__ import annotations

import time
from types import TracebackType

ROWS, SECONDS_A_ROW = 256, 150e-6
"""Processes are for templates that have rendered so many rows, and taken so long for each: asking one takes
a third of that, and starting it as long as some hundred rows."""

_within: set[int] = set()


class Crowd:
    """One template of one thread, as a context: is it alone in rendering here? may_leave: whether another
    process can take its rows."""

    def __init__(self, may_leave: bool) -> None:
        self._may_leave = may_leave
        self._rows = 0
        self._seconds = 0.0
        self._began: list[float] = []

    def __enter__(self) -> bool:
        if _within and id(self) not in _within and self._pays:
            self._began.append(-1.0)
            return False
        _within.add(id(self))
        self._began.append(time.thread_time())
        return True

    @property
    def _pays(self) -> bool:
        return self._may_leave and self._rows >= ROWS and self._seconds > SECONDS_A_ROW * self._rows

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        began = self._began.pop()
        if began >= 0:
            _within.discard(id(self))
            self._rows += 1
            self._seconds += time.thread_time() - began
