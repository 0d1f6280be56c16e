"""A pass over the input: how one is declared, and the one way to run it."""

from __future__ import annotations

import time
from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from contextlib import closing
from typing import Generic, TypeVar

from forge_gpu.job.events.events import ChunkDone, Listener
from forge_gpu.job.events.memory import peak_memory
from forge_gpu.job.rows.workspace import Workspace
from forge_gpu.job.run.pool import Executor, Hold

Unit = TypeVar("Unit")
Made = TypeVar("Made")
Taken = TypeVar("Taken")


class Pass(ABC, Generic[Unit, Made, Taken]):
    """What is done with each unit of the input, a range or a block, in the order of the input.

    stage: the name it is reported under. units: all of them, those of an earlier run included. hold: as
    `Executor.map` has it.
    """

    stage: str
    units: Sequence[Unit]
    hold: Hold | None = None

    def is_done(self, unit: Unit) -> bool:
        """Whether an earlier run has done it: then it is passed over."""
        return False

    def require_room(self) -> None:
        """Raise OutputError where the disk has no room for what it leaves."""

    @abstractmethod
    def task(self, unit: Unit) -> Callable[[Workspace], Made]:
        """The function of a unit: see `Executor` of what it may be."""

    @abstractmethod
    def take(self, made: Made) -> Taken:
        """Take what was made of the next unit, while its workspace is still its own: see `Executor.map`."""

    def complete(self, taken: Taken) -> None:
        """Do what is left of a unit that was taken, by its thread but out of its turn."""

    @abstractmethod
    def save(self, unit: Unit, taken: Taken) -> int:
        """Leave what was made of a unit where later steps find it; its rows. In the order of the units."""

    def stop(self) -> None:
        """Leave what is taken and not yet saved: the run is to end, and no task runs any more."""

    def fates(self, unit: Unit, taken: Taken) -> dict[str, int] | None:
        """Rows of a unit by fate, as far as this pass knows it."""
        return None

    def reasons(self, unit: Unit, taken: Taken) -> dict[str, int] | None:
        """Rejected rows of a unit by reason, likewise."""
        return None

    @abstractmethod
    def size(self, unit: Unit) -> int:
        """Bytes of input of a unit."""


def run(
    work: Pass[Unit, Made, Taken],
    pool: Executor[Workspace],
    listener: Listener,
    check_stop: Callable[[], None],
) -> None:
    """Do a pass, from where an earlier run left it. What is raised by a task, by `save` or by `check_stop`
    is raised once no task runs any more."""
    check_stop()
    work.require_room()
    units = [unit for unit in work.units if not work.is_done(unit)]
    began = time.monotonic()
    stopped: BaseException | None = None
    with closing(pool.map(map(work.task, units), work.take, work.hold, work.complete)) as results:
        for unit, taken in zip(units, results, strict=True):
            rows = work.save(unit, taken)
            now = time.monotonic()
            size, fates, reasons = work.size(unit), work.fates(unit, taken), work.reasons(unit, taken)
            listener(ChunkDone(work.stage, rows, size, now - began, peak_memory(), fates, reasons))
            began = now
            try:
                check_stop()
            except BaseException as asked:
                stopped = asked
                break
    if stopped is not None:
        work.stop()
        raise stopped
