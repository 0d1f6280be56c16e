"""Opening the inputs of a job: one after the other, or several at once, with the same outcome."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import FIRST_COMPLETED, CancelledError, Future, ThreadPoolExecutor, wait
from functools import partial
from threading import Lock

from forge_gpu.hardware import shares
from forge_gpu.hardware.budget import Budget
from forge_gpu.io.chunks import Source
from forge_gpu.io.dialects import Dialect
from forge_gpu.io.inputs import InputFile
from forge_gpu.io.kept import KeptRows
from forge_gpu.io.linked import Links
from forge_gpu.io.loss import Loss
from forge_gpu.io.sources import is_quick, open_source
from forge_gpu.io.spool import Spool, never
from forge_gpu.job.events.events import Event, Listener, Progressed, Warned
from forge_gpu.job.events.retry import telling
from forge_gpu.job.events.stages import TELL_EVERY, stage
from forge_gpu.job.state.inputs import JobInputs
from forge_gpu.job.state.spec import JobSpec

OF_ONE = 20 * 2**20
"""Bytes that opening one input takes, about: 7 MiB of gzip were measured, 14 of CSV and of Zstandard with a
large window, 40 of CSV whose fields have one digit."""

Check = Callable[[], None]


def threads_to_open(budget: Budget) -> int:
    """How many inputs are opened at once: as many as a job has threads and memory for."""
    return max(1, min(budget.threads, shares.OPENING.of(budget.bytes) // OF_ONE))


def open_inputs(
    spec: JobSpec,
    files: Sequence[InputFile],
    spool: Spool,
    streamed: bool,
    listener: Listener,
    threads: int = 1,
    check_stop: Check = never,
    is_memory_short: Callable[[], bool] = lambda: False,
) -> JobInputs:
    """Open the inputs, so many at once, and one alone while memory is short. Sources, warnings, and the fault
    that is raised, which is the first one in the order of the files, are the same for any number of threads.

    check_stop: is called in this thread, between blocks of what is spooled or more often, and raises to stop.
    What is whole by then, or when a fault is raised, stays in the spool.
    """
    data, kept = spec.config.data, KeptRows(spool.folder)
    links, dialect = Links.of(data.linked), Dialect.of(data.dialect)
    progress = _Progress(files, listener)
    read_ahead = threads == 1 or 2 * len(files) <= threads  # else each thread has enough to do
    threads = min(threads, len(files))

    def open_one(number: int, check: Check) -> Source:
        check()
        source = open_source(
            files[number],
            data.format,
            data.encoding,
            spool=spool,
            max_row_bytes=data.max_row_bytes,
            on_corrupt=data.on_corrupt,
            range_bytes=spec.range_bytes,
            hold=not streamed,
            by_parts=spec.on_cluster,
            on_retry=telling("open", progress.pass_on),
            dialect=dialect,
            links=links,
            kept=kept,
            on_read=lambda position: progress.read(number, position),
            check_stop=check,
            read_ahead=read_ahead,
        )
        progress.read(number, files[number].size or 0)
        return source

    def meanwhile() -> None:
        progress.tell()
        check_stop()

    with stage("open", listener) as done:
        if threads <= 1:
            sources = [open_one(number, meanwhile) for number in range(len(files))]
        else:
            quick = (is_quick(file, data.encoding, links) for file in files)
            sources = _AtOnce(open_one, meanwhile).open(quick, threads, is_memory_short)
        for source in sources:
            for loss in source.losses:
                listener(Warned("open", f"{source.file.path}: {_loss_text(loss)}"))
        done(0)
    return JobInputs(sources, streamed, kept)


class _AtOnce:
    """Opens inputs by threads. What fails ends those behind it in the order of the files; those before it go
    on, for one of them may fail as well."""

    def __init__(self, open_one: Callable[[int, Check], Source], meanwhile: Check) -> None:
        self._open_one, self._meanwhile = open_one, meanwhile
        self._failed = math.inf  # the number of the first that did
        self._lock = Lock()

    def open(self, quick: Iterable[bool], threads: int, is_memory_short: Callable[[], bool]) -> list[Source]:
        """The sources. quick: of each input, whether this thread is to open it, as it takes no more than a
        look. What is raised is raised once no thread works."""
        opened: list[Source | Future[Source]] = []
        fault: Exception | None = None  # of one that this thread opened
        working: set[Future[Source]] = set()
        pool = ThreadPoolExecutor(threads, "forge-open")
        try:
            for number, is_quick in enumerate(quick):
                if self._failed < number:
                    break
                if not is_quick:
                    working = self._wait(working, 0 if is_memory_short() else threads - 1)
                    begun = pool.submit(self._open, number, partial(self._check, number))
                    opened.append(begun)
                    working.add(begun)
                    continue
                try:
                    opened.append(self._open(number, self._go_on))
                except Exception as fails:
                    if self._failed < 0:
                        raise
                    fault = fails
            self._wait(working, 0)
            sources = [each.result() if isinstance(each, Future) else each for each in opened]
            if fault is not None:
                raise fault
            return sources
        except BaseException:
            self._end_behind(-1)
            pool.shutdown(cancel_futures=True)
            for each in opened:
                if not isinstance(each, Future):
                    each.close()
                elif not each.cancelled() and each.exception() is None:
                    each.result().close()
            raise
        finally:
            pool.shutdown()

    def _open(self, number: int, check: Check) -> Source:
        try:
            return self._open_one(number, check)
        except BaseException:
            self._end_behind(number)
            raise

    def _end_behind(self, number: int) -> None:
        """Those behind an input are to end; -1 for all."""
        with self._lock:
            self._failed = min(self._failed, number)

    def _check(self, number: int) -> None:
        if self._failed < number:
            raise CancelledError

    def _wait(self, working: set[Future[Source]], most: int) -> set[Future[Source]]:
        """Those that still work, when they are at most so many."""
        while len(working) > most:
            working = wait(working, TELL_EVERY, FIRST_COMPLETED).not_done
            self._go_on()
        return working

    def _go_on(self) -> None:
        """What this thread does between two looks at the others; where that raises all are to end."""
        try:
            self._meanwhile()
        except BaseException:
            self._end_behind(-1)
            raise


class _Progress:
    """How much of the inputs is read, as they lie, told now and then. Listeners hear one thread at a time."""

    def __init__(self, files: Sequence[InputFile], listener: Listener) -> None:
        self._listener = listener
        self._lock = Lock()
        self._positions = [0] * len(files)
        self._done, self._total = 0, sum(file.size or 0 for file in files)
        self._told = time.monotonic()

    def pass_on(self, event: Event) -> None:
        with self._lock:
            self._listener(event)

    def read(self, number: int, position: int) -> None:
        """Hear up to where an input is read."""
        with self._lock:
            self._done += position - self._positions[number]
            self._positions[number] = position

    def tell(self) -> None:
        """Tell of it, if it is time."""
        now = time.monotonic()
        if now - self._told >= TELL_EVERY and self._total:
            self._told = now
            self.pass_on(Progressed("open", "inputs", min(self._done, self._total), self._total))


def _loss_text(loss: Loss) -> str:
    where = "" if loss.offset is None else f" at byte {loss.offset}"
    rows = "" if loss.rows is None else f", {loss.rows} rows are lost"
    return f"{loss.what}{where}{rows}; what is undamaged is kept"
