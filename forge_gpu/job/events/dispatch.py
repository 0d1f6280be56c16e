"""From the threads of a job to those who listen.

A job's threads only leave their events here. Each listener is called from one thread of its own, with one
event at a time, in order, so that a slow one holds up neither the job nor the others.
"""

from __future__ import annotations

import os
import threading
import time
import traceback
from collections import deque
from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from pathlib import Path
from types import TracebackType

from forge_gpu.errors import ForgeError, exit_code_of
from forge_gpu.io.faults import first_line
from forge_gpu.job.events.encode import Entry, EntryListener
from forge_gpu.job.events.events import (
    ChunkDone,
    Event,
    JobEnded,
    JobFailed,
    JobStarted,
    Listener,
    Progressed,
    Sampled,
    StageStarted,
    Warned,
)
from forge_gpu.job.events.sampled import Sampler
from forge_gpu.job.events.totals import Totals

PATIENCE = 10.0
"""Seconds after which a listener that has taken no event is given up."""

SAMPLE_EVERY = 1.0

WAITING = 1024
"""Events that wait for a listener; beyond them one of progress takes the place of the one before."""

PACE = 0.1
"""Seconds between two events of progress for a listener that writes each of them down, as its `pace` says."""


class GiveUp(Exception):
    """Raised by a listener that can take no more events, and that the job can do without. Says why."""


class Dispatcher:
    """Gives the events of one run to listeners: a context in which it is itself the job's listener.

    At its end all listeners have had all events, and where an exception ends it JobFailed is the last.
    What a listener raises, GiveUp apart, ends the job: it is raised at the job's next event or at the end.
    run: an id of this run. lost: a line for each listener that was given up. sampler: makes Sampled.
    relays: the job runs elsewhere, so that its events come counted, and its samples with them.
    """

    def __init__(self, listeners: Sequence[EntryListener], sampler: Sampler | None = None) -> None:
        self.run = os.urandom(8).hex()
        self.lost: list[str] = []
        self.sampler = sampler or Sampler()
        self.relays = False
        self._feeds = [_Feed(listener, self.run, self._give_up_the_lost) for listener in listeners]
        self._lock = threading.Lock()
        self._stage = "plan"
        self._job: str | None = None
        self._totals: dict[str, Totals] = {}
        self._over = False
        self._closing = threading.Event()
        self._clock = threading.Thread(target=self._watch, name="forge-events", daemon=True)

    def __enter__(self) -> Dispatcher:
        if self._feeds:
            self._clock.start()
        for feed in self._feeds:
            feed.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if not self._feeds:
            return
        if error is not None and not isinstance(error, GeneratorExit):
            self._put(JobFailed(self._stage, public_text(error), exit_code_of(error)))
        self._close()
        if error is None:
            self._raise_fault()

    def __call__(self, event: Event) -> None:
        """Leave an event for all listeners. Raises what one of them has raised."""
        if self._feeds:
            self._raise_fault()
            self._put(event)

    def _put(self, event: Event) -> None:
        with self._lock:
            if self._over and isinstance(event, Sampled):
                return  # a sample that was being taken when the job ended tells of no stage
            if isinstance(event, JobEnded | JobFailed):
                self._over = True
            elif isinstance(event, JobStarted):
                self._over = False
                self._job, self._stage = event.job, event.stage
            elif isinstance(event, StageStarted):
                self._stage = event.stage
                self._totals[event.stage] = Totals()
            elif isinstance(event, ChunkDone) and not self.relays:
                event = self._totals.setdefault(event.stage, Totals()).with_totals(event)
            now = datetime.now(UTC)
            now = now.replace(microsecond=now.microsecond // 1000 * 1000)
            for feed in self._feeds:
                feed.put(_Waiting(self._job, now, event))

    def _raise_fault(self) -> None:
        for feed in self._feeds:
            if feed.fault is not None:
                fault, feed.fault = feed.fault, None
                raise fault

    def _watch(self) -> None:
        """Sample once a second, and give up listeners that take nothing."""
        while not self._closing.wait(SAMPLE_EVERY):
            if not self.relays:
                self._put(self.sampler(self._stage, max(feed.waiting for feed in self._feeds)))
            self._give_up_the_lost()

    def _give_up_the_lost(self) -> None:
        for feed in self._feeds:
            why = feed.give_up()
            if why is not None:
                warning = f"{feed.name} gets no more events, and the job goes on: {why}"
                self.lost.append(warning)
                self._put(Warned(self._stage, warning))

    def _close(self) -> None:
        """Wait until all events are taken, of no listener longer than it has patience with."""
        self._closing.set()
        self._clock.join()
        while any(not feed.is_idle(0.05) for feed in self._feeds):
            self._give_up_the_lost()
        for feed in sorted(self._feeds, key=lambda feed: not feed.is_gone):  # whose loss the others hear of
            feed.stop()


class _Waiting:
    """An event with its moment, before it has a number."""

    __slots__ = ("event", "job", "time")

    def __init__(self, job: str | None, time: datetime, event: Event) -> None:
        self.job, self.time, self.event = job, time, event


class _Feed:
    """One listener, its thread, and the events that wait for it. fault: what it raised."""

    def __init__(self, listener: EntryListener, run: str, on_lost: Callable[[], None]) -> None:
        self.name = str(getattr(listener, "name", "a listener"))
        self._pace = float(getattr(listener, "pace", 0))
        self._next = 0.0  # when an event of progress may be taken
        self.fault: BaseException | None = None
        self._listener, self._run, self._on_lost = listener, run, on_lost
        self._changed = threading.Condition()
        self._queue: deque[_Waiting] = deque()
        self._busy = self._gone = self._ending = False
        self._since = 0.0  # when it last took an event, or got the first that waits
        self._why: str | None = None
        self._thread = threading.Thread(target=self._take_all, name=f"forge-events-{self.name}", daemon=True)

    @property
    def is_gone(self) -> bool:
        """Whether it takes no more events."""
        return self._gone

    @property
    def waiting(self) -> int:
        return len(self._queue)

    def start(self) -> None:
        self._thread.start()

    def put(self, item: _Waiting) -> None:
        with self._changed:
            if self._gone:
                return
            if not self._queue and not self._busy:
                self._since = time.monotonic()
            if self._queue and _is_covered(self._queue[-1].event, item.event):
                if self._pace:
                    self._queue[-1] = item
                    return
                if len(self._queue) >= WAITING:
                    self._queue.pop()
            self._queue.append(item)
            self._changed.notify_all()

    def is_idle(self, seconds: float) -> bool:
        """Whether it has taken all there was, waiting for that at most so long."""
        with self._changed:
            return self._changed.wait_for(lambda: self._gone or not (self._busy or self._queue), seconds)

    def give_up(self) -> str | None:
        """Why it is given up now: it said so itself, or took nothing for too long. None if it is not."""
        with self._changed:
            late = (self._busy or self._queue) and time.monotonic() - self._since > PATIENCE
            if late and not self._gone:
                self._leave(f"it took none for {PATIENCE:.0f} s")
            why, self._why = self._why, None
            return why

    def stop(self) -> None:
        """End its thread; one that is stuck in the listener is left there."""
        with self._changed:
            self._ending = True
            self._changed.notify_all()
        self._thread.join(0 if self._gone and self._busy else PATIENCE)

    def _leave(self, why: str | None) -> None:
        self._gone, self._why = True, why
        self._queue.clear()
        self._changed.notify_all()

    def _pause(self) -> float | None:
        """Seconds until it takes the next event; None while there is none."""
        if not self._queue:
            return None
        is_last = len(self._queue) == 1 and isinstance(self._queue[0].event, ChunkDone | Progressed)
        return max(0.0, self._next - time.monotonic()) if is_last else 0.0

    def _take_all(self) -> None:
        number = 0
        while True:
            with self._changed:
                while not (self._gone or self._ending) and (pause := self._pause()) != 0:
                    self._changed.wait(pause)
                if not self._queue:
                    return
                item = self._queue.popleft()
                self._busy = True
                if self._pace and isinstance(item.event, ChunkDone | Progressed):
                    self._next = time.monotonic() + self._pace
            why: str | None = None
            fault: BaseException | None = None
            try:
                self._listener(Entry(item.job, self._run, number, item.time, item.event))
                number += 1
            except GiveUp as reason:
                why = str(reason)
            except BaseException as raised:
                fault = raised
            with self._changed:
                self._busy = False
                self._since = time.monotonic()
                if self._gone:
                    return
                if why is not None or fault is not None:
                    self.fault = fault
                    self._leave(why)
                self._changed.notify_all()
            if why is not None:
                self._on_lost()


def _is_covered(before: Event, event: Event) -> bool:
    """Whether all that an event says stands in the one after it as well."""
    may_lack = isinstance(before, ChunkDone | Progressed)
    return may_lack and type(before) is type(event) and before.stage == event.stage


def of_events(listener: Listener, name: str, pace: float = 0.0) -> EntryListener:
    """A listener that asks for the events alone. pace: seconds between two events of progress."""

    def listen(entry: Entry) -> None:
        listener(entry.event)

    listen.name, listen.pace = name, pace  # type: ignore[attr-defined]
    return listen


def public_text(error: BaseException) -> str:
    """One line for an error, which quotes no row. What nobody foresaw is told by its kind and its place: its
    own words may hold anything."""
    if isinstance(error, ForgeError):
        return " ".join(error.public.split())
    if isinstance(error, OSError) and error.strerror:
        return first_line(error)
    frames = traceback.extract_tb(error.__traceback__)
    place = f" at {Path(frames[-1].filename).name}:{frames[-1].lineno}" if frames else ""
    return f"{type(error).__name__}{place}"
