"""Stages of a job, told to the listener."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from forge_gpu.job.events.events import Listener, Progressed, StageDone, StageStarted


@contextmanager
def stage(
    name: str, listener: Listener, total_bytes: int | None = None, done_bytes: int = 0
) -> Iterator[Callable[[int], None]]:
    """Tell of a stage's start and end; the block calls what it is given with the rows it worked on.

    done_bytes: of the total, what an earlier run has done.
    """
    began = time.monotonic()
    rows = 0

    def done(count: int) -> None:
        nonlocal rows
        rows = count

    listener(StageStarted(name, total_bytes, done_bytes=done_bytes))
    yield done
    listener(StageDone(name, rows, time.monotonic() - began))


OnProgress = Callable[[int, int], None]
"""Hears what is done, of how much; it may raise to stop."""


def ignore_progress(done: int, total: int) -> None:
    """Nobody asks how far it is."""


TELL_EVERY = 0.1
"""Seconds between two tellings of how far a stage is."""


def telling_how_far(
    stage: str, listener: Listener, check_stop: Callable[[], None]
) -> Callable[[str, int, int], None]:
    """A function that is called with what a stage is at, what is done of that, and of how much: it tells of
    it, of one thing only now and then, and asks whether to stop."""
    at, last_time = "", 0.0

    def on_progress(what: str, done: int, total: int) -> None:
        nonlocal at, last_time
        now = time.monotonic()
        if what != at or now - last_time >= TELL_EVERY:
            at, last_time = what, now
            listener(Progressed(stage, what, done, total))
        check_stop()

    return on_progress
