"""Progress on stderr: a bar on a terminal, plain lines in a pipe. Reads the event stream, nothing else."""

from __future__ import annotations

import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager

from forge_gpu.errors import printable
from forge_gpu.job.events.events import (
    ChunkDone,
    Event,
    FellBack,
    Halved,
    Listener,
    Retried,
    StageDone,
    StageStarted,
    Warned,
)

PLAIN_EVERY = 5.0
"""Seconds between two lines of one stage in a pipe."""

WIDE = 72
"""Columns of a terminal that has room for rate and memory beside the bar."""


@contextmanager
def progress(quiet: bool) -> Iterator[Listener]:
    """A listener that shows progress the way stderr can."""
    if quiet:
        yield _warnings_only
    elif sys.stderr.isatty():
        with _bar() as listener:
            yield listener
    else:
        yield PlainLines()


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
    """One line at the start and end of a stage, and one every few seconds between."""

    def __init__(self) -> None:
        self._total: int | None = None
        self._started = self._said = time.monotonic()

    def __call__(self, event: Event) -> None:
        line = _remark(event)
        if line:
            _say(line)
        elif isinstance(event, StageStarted):
            self._total = event.total_bytes
            self._started = self._said = time.monotonic()
        elif isinstance(event, StageDone):
            _say(f"{event.stage}: {event.rows:,} rows in {event.seconds:.1f} s")
        elif isinstance(event, ChunkDone):
            now = time.monotonic()
            if now - self._said >= PLAIN_EVERY:
                self._said = now
                _say(self._line(event, now - self._started))

    def _line(self, event: ChunkDone, seconds: float) -> str:
        done = event.bytes_so_far
        rate = done / max(seconds, 1e-9)
        parts = [f"{event.stage}: {event.rows_so_far:,} rows, {done / 1e6:,.0f} MB"]
        if self._total:
            left = max(self._total - done, 0) / max(rate, 1e-9)
            parts.append(f"{100 * done / self._total:.0f}%, {left:.0f} s left")
        parts.append(f"{rate / 1e6:,.0f} MB/s, {event.peak_memory / 2**20:,.0f} MiB")
        return ", ".join(parts)


@contextmanager
def _bar() -> Iterator[Listener]:
    from rich.console import Console
    from rich.progress import BarColumn, Progress, TaskID, TextColumn, TimeRemainingColumn
    from rich.table import Column

    def text(template: str) -> TextColumn:
        return TextColumn(template, table_column=Column(no_wrap=True))

    console = Console(stderr=True)
    wide = [text("{task.fields[rate]}"), text("{task.fields[memory]}")] if console.width >= WIDE else []
    bar = Progress(
        text("{task.description:9}"),
        BarColumn(bar_width=None if console.width < WIDE else 30),
        text("{task.fields[amount]}"),
        TimeRemainingColumn(table_column=Column(no_wrap=True)),
        *wide,
        console=console,
    )
    with bar:
        current: TaskID | None = None

        def listen(event: Event) -> None:
            nonlocal current
            line = _remark(event)
            if line:
                bar.console.print(printable(line), markup=False, highlight=False)
            elif isinstance(event, StageStarted):
                current = bar.add_task(event.stage, total=event.total_bytes, amount="", rate="", memory="")
            elif isinstance(event, ChunkDone) and current is not None:
                memory = f"{event.peak_memory / 2**20:,.0f} MiB"
                bar.update(current, completed=event.bytes_so_far, memory=memory)
                task = bar.tasks[current]
                of = "" if task.total is None else f"/{task.total / 1e6:,.0f}"
                rate = task.completed / max(task.elapsed or 0, 1e-9)
                bar.update(
                    current, amount=f"{task.completed / 1e6:,.0f}{of} MB", rate=f"{rate / 1e6:,.0f} MB/s"
                )
            elif isinstance(event, StageDone) and current is not None:
                total = bar.tasks[current].total
                bar.update(current, completed=total if total is not None else 1, total=total or 1)

        yield listen
