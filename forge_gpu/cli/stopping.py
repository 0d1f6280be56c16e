"""Ctrl-C and SIGTERM in a running job: the first stops between two ranges, the second at once."""

from __future__ import annotations

import os
import signal
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import FrameType

from forge_gpu.errors import Interrupted

PATIENCE = 5.0
"""Seconds that one long call of compiled code may go on after the second signal."""

SIGNALS = (signal.SIGINT, signal.SIGTERM)


@contextmanager
def stopping_at_signals() -> Iterator[Callable[[], None]]:
    """Turn SIGINT and SIGTERM into a stop between two ranges; a second one stops at once.

    Python's handlers wait until the main thread is back in Python. A decision over many rows may be one long
    call of compiled code, so a thread beside it answers the user, and ends a process whose call does not
    return: the next run goes on with what is on the disk, as after SIGKILL.
    """
    received: list[int] = []

    def note(number: int, frame: FrameType | None) -> None:
        received.append(number)
        if len(received) > 1:
            raise Interrupted(number)

    def check() -> None:
        if received:
            raise Interrupted(received[0])

    before = {number: signal.signal(number, note) for number in SIGNALS}
    with _answered():
        try:
            yield check
        finally:
            for number, handler in before.items():
                signal.signal(number, handler)


@contextmanager
def _answered() -> Iterator[None]:
    """Answer signals from a thread, which hears of them by a pipe that the C handler writes to."""
    reader, writer = os.pipe()
    os.set_blocking(writer, False)
    ended = threading.Event()
    before = signal.set_wakeup_fd(writer, warn_on_full_buffer=False)
    thread = threading.Thread(target=_answer, args=(reader, ended), name="forge-signals", daemon=True)
    thread.start()
    try:
        yield
    finally:
        signal.set_wakeup_fd(before)
        ended.set()
        os.close(writer)
        thread.join(1.0)
        os.close(reader)


def _answer(reader: int, ended: threading.Event) -> None:
    asked = 0
    while number := os.read(reader, 1):
        if number[0] not in SIGNALS:
            continue
        asked += 1
        if asked == 1:
            _say("stopping after the range in hand (again to stop at once)")
        elif not ended.wait(PATIENCE):
            _say("stopped; the same command goes on from here")
            os._exit(128 + number[0])


def _say(line: str) -> None:
    try:
        print(line, file=sys.stderr, flush=True)
    except OSError:
        pass  # nobody reads there any more
