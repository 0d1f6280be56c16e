"""What the passes that append blocks to files have in common: how far they are is noted now and then."""

from __future__ import annotations

import threading
import time
from abc import abstractmethod
from collections.abc import Iterable, Sequence
from typing import Generic, TypeVar

from forge_gpu.io.growing import Write, write_all
from forge_gpu.job.job import Job
from forge_gpu.job.run import passes
from forge_gpu.job.state.inputs import PlacedBlock

SAVE_EVERY = 2.0
"""Seconds of work that a killed run may lose: how often what is appended is synced and noted."""

Chunk = TypeVar("Chunk")


class BlockPass(passes.Pass[PlacedBlock, "Iterable[Chunk]", list[Write]], Generic[Chunk]):
    """Chunks of every block, appended in their order. before: blocks that an earlier run has appended.

    A chunk gets its places in the outputs in the turn of its block. It is written there out of turn, so that
    threads write at the same time; what is noted are blocks before which nothing is left to write.
    """

    def __init__(self, job: Job, before: int) -> None:
        self.units = job.blocks
        self._job, self._checkpoint = job, job.checkpoint
        self._blocks = self._before = before
        self._between_blocks = True
        self._saved = time.monotonic()
        self._unwritten, self._failed = 0, False  # blocks that are being written; whether one could not be
        self._changed = threading.Condition()

    @abstractmethod
    def append(self, chunk: Chunk) -> Sequence[Write]:
        """Append what was made of the next chunk; what is left to write of it."""

    @abstractmethod
    def note(self, blocks: int) -> None:
        """Bring all that is appended to the disk, and note in the state of the checkpoint that so many blocks
        are there."""

    def is_done(self, unit: PlacedBlock) -> bool:
        return unit.number < self._before

    def take(self, made: Iterable[Chunk]) -> list[Write]:
        """Append the next block; what is left to write of it."""
        if time.monotonic() - self._saved >= SAVE_EVERY:
            self._save()
        self._between_blocks = False
        left: list[Write] = []
        for chunk in made:
            writes = self.append(chunk)
            if isinstance(made, Sequence):  # its chunks last until the task's end
                left += writes
            else:
                write_all(writes)
        self._blocks += 1
        self._between_blocks = True
        if left:
            with self._changed:
                self._unwritten += 1
        return left

    def complete(self, taken: list[Write]) -> None:
        if not taken:
            return
        failed = True
        try:
            write_all(taken)
            failed = False
        finally:
            taken.clear()
            with self._changed:
                self._unwritten -= 1
                self._failed |= failed
                self._changed.notify_all()

    def save(self, unit: PlacedBlock, taken: list[Write]) -> int:
        return unit.block.rows

    def stop(self) -> None:
        if self._between_blocks:  # else the note before stands
            self._save()

    def size(self, unit: PlacedBlock) -> int:
        return unit.range.size

    def _save(self) -> None:
        """Wait for what is being written of the blocks so far, and note them; not where one has failed, of
        which its task tells."""
        with self._changed:
            self._changed.wait_for(lambda: not self._unwritten or self._failed)
            if self._failed:
                return
        self.note(self._blocks)
        self._checkpoint.save()
        self._saved = time.monotonic()
