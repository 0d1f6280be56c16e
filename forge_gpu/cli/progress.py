"""Progress on stderr: a bar on a terminal, plain lines in a pipe. Reads the event stream, nothing else."""

from __future__ import annotations

import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

from forge_gpu.errors import printable
from forge_gpu.job.events.events import (
    ChunkDone,
    Event,
    FellBack,
    Halved,
    Listener,
    Progressed,
    Retried,
    StageDone,
    StageStarted,
    Warned,
)

if TYPE_CHECKING:
    from rich.progress import Progress, TaskID

PLAIN_EVERY = 5.0
"""Seconds between two lines of one stage in a pipe."""

WIDE = 72
"""Columns of a terminal that has room for rate and memory beside the bar."""


@contextmanager
def progress(quiet: bool, verbose: bool = False) -> Iterator[Listener]:
    """A listener that shows progress the way stderr can. verbose: a line for each stage that is done."""
    if quiet:
        yield _warnings_only
    elif sys.stderr.isatty():
        with _bar() as listener:
            yield listener
    else:
        yield PlainLines(verbose)


def _say(line: str) -> None:
    print(printable(line), file=sys.stderr, flush=True)


def _remark(event: Event) -> str | None:
    """Events that are worth a line of their own, whatever shows the progress."""
    match event:
        case Warned(message=message):
            return f"warning: {message}"
        case Retried(what=what, attempt=attempt, error=error):
            return f"retry {attempt} of {what}: {error}"
        case Halved(rows=rows):
            return f"a chunk of {rows} rows did not fit in memory: halved"
        case FellBack(stage="container", reason=reason):
            return f"no container: {reason}"
        case FellBack(reason=reason):
            return f"going on with the CPU engine: {reason}"
    return None


def _warnings_only(event: Event) -> None:
    line = _remark(event)
    if line:
        _say(line)


class PlainLines:
    """A line every few seconds, and where it is asked for one at the end of each stage."""

    def __init__(self, verbose: bool) -> None:
        self._verbose = verbose
        self._total: int | None = None
        self._before = 0
        self._started = self._said = time.monotonic()

    def __call__(self, event: Event) -> None:
        line = _remark(event)
        if line:
            _say(line)
        elif isinstance(event, StageStarted):
            self._total, self._before = event.total_bytes, event.done_bytes
            self._started = self._said = time.monotonic()
        elif isinstance(event, StageDone):
            if self._verbose:
                _say(f"{event.stage}: {event.rows:,} rows in {event.seconds:.1f} s")
        elif isinstance(event, ChunkDone | Progressed):
            now = time.monotonic()
            if now - self._said >= PLAIN_EVERY:
                self._said = now
                if isinstance(event, Progressed):
                    _say(f"{event.stage}: {at(event)}")
                else:
                    _say(self._line(event, now - self._started))

    def _line(self, event: ChunkDone, seconds: float) -> str:
        done = self._before + event.bytes_so_far
        rate = event.bytes_so_far / max(seconds, 1e-9)
        parts = [f"{event.stage}: {event.rows_so_far:,} rows, {done / 1e6:,.0f} MB"]
        if self._total:
            left = max(self._total - done, 0) / max(rate, 1e-9)
            parts.append(f"{100 * done / self._total:.0f}%, {left:.0f} s left")
        parts.append(f"{rate / 1e6:,.0f} MB/s, {event.peak_memory / 2**20:,.0f} MiB")
        return ", ".join(parts)


@contextmanager
def _bar() -> Iterator[Listener]:
    from rich.console import Console
    from rich.progress import BarColumn, Progress, TextColumn
    from rich.table import Column

    def text(template: str) -> TextColumn:
        return TextColumn(template, table_column=Column(no_wrap=True))

    console = Console(stderr=True)
    wide = [text("{task.fields[rate]}"), text("{task.fields[memory]}")] if console.width >= WIDE else []
    bar = Progress(
        text("{task.description:9}"),
        BarColumn(bar_width=None if console.width < WIDE else 30),
        text("{task.fields[amount]}"),
        text("{task.fields[left]}"),
        *wide,
        console=console,
    )
    with bar:
        yield BarListener(bar)


class BarListener:
    """A line of a bar for each stage, from where an earlier run left it."""

    def __init__(self, bar: Progress) -> None:
        self._bar = bar
        self._task: TaskID | None = None
        self._before = 0

    def __call__(self, event: Event) -> None:
        line = _remark(event)
        if line:
            self._bar.console.print(printable(line), markup=False, highlight=False)
            return
        if isinstance(event, StageStarted):
            self._begin(event)
        elif self._task is None:
            return
        elif isinstance(event, ChunkDone):
            self._advance(self._task, event)
        elif isinstance(event, Progressed):
            if event.stage == self._stage and self._bar.tasks[self._task].fields["counts_bytes"] is False:
                self._bar.update(self._task, completed=event.done, total=event.total, amount=at(event))
        elif isinstance(event, StageDone):
            self._end(self._task, event)

    def _begin(self, event: StageStarted) -> None:
        self._before, self._stage = event.done_bytes, event.stage
        self._task = self._bar.add_task(
            event.stage,
            total=event.total_bytes,
            completed=event.done_bytes,
            counts_bytes=event.total_bytes is not None,
            amount="",
            left="",
            rate="",
            memory="",
        )

    def _advance(self, number: TaskID, event: ChunkDone) -> None:
        task = self._bar.tasks[number]
        done = self._before + event.bytes_so_far
        rate = event.bytes_so_far / max(task.elapsed or 0, 1e-9)
        amount = f"{done / 1e6:,.0f} MB"
        left = ""
        if task.fields["counts_bytes"] and task.total is not None:
            amount = f"{done / 1e6:,.0f}/{task.total / 1e6:,.0f} MB"
            left = time_left((task.total - done) / max(rate, 1))
            self._bar.update(number, completed=done)
        self._bar.update(
            number,
            amount=amount,
            left=left,
            rate=f"{rate / 1e6:,.0f} MB/s",
            memory=f"mem {event.peak_memory / 2**20:,.0f} MiB",
        )

    def _end(self, number: TaskID, event: StageDone) -> None:
        task = self._bar.tasks[number]
        counts_bytes = task.fields["counts_bytes"]
        total = task.total if counts_bytes and task.total else 1
        amount = task.fields["amount"] if counts_bytes else f"{event.rows:,} rows"
        left = f"{event.seconds:.1f} s"
        self._bar.update(number, completed=total, total=total, amount=amount, left=left, rate="")


def at(event: Progressed) -> str:
    """What a stage is at that reads no input."""
    return f"{event.what}, {100 * event.done / max(event.total, 1):.0f}%"


def time_left(seconds: float) -> str:
    minutes, rest = divmod(round(max(seconds, 0)), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{rest:02} left" if hours else f"{minutes}:{rest:02} left"
