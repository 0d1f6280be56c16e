"""Stages of a job, told to the listener."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from forge_gpu.job.events.events import Listener, StageDone, StageStarted


@contextmanager
def stage(name: str, listener: Listener, total_bytes: int | None = None) -> Iterator[Callable[[int], None]]:
    """Tell of a stage's start and end; the block calls what it is given with the rows it worked on."""
    began = time.monotonic()
    rows = 0

    def done(count: int) -> None:
        nonlocal rows
        rows = count

    listener(StageStarted(name, total_bytes))
    yield done
    listener(StageDone(name, rows, time.monotonic() - began))
