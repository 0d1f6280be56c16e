"""What the passes that append blocks to files have in common: how far they are is noted now and then."""

from __future__ import annotations

import time
from abc import abstractmethod
from collections.abc import Iterable
from typing import Generic, TypeVar

from forge_gpu.job.job import Job
from forge_gpu.job.run import passes
from forge_gpu.job.state.inputs import PlacedBlock

SAVE_EVERY = 2.0
"""Seconds of work that a killed run may lose: how often what is appended is synced and noted."""

Chunk = TypeVar("Chunk")


class BlockPass(passes.Pass[PlacedBlock, "Iterable[Chunk]", None], Generic[Chunk]):
    """Chunks of every block, appended in their order. before: blocks that an earlier run has appended."""

    def __init__(self, job: Job, before: int) -> None:
        self.units = job.blocks
        self._job, self._checkpoint = job, job.checkpoint
        self._blocks = self._before = before
        self._between_blocks = True
        self._saved = time.monotonic()

    @abstractmethod
    def append(self, chunk: Chunk) -> None:
        """Append what was made of the next chunk."""

    @abstractmethod
    def note(self, blocks: int) -> None:
        """Bring all that is appended to the disk, and note in the state of the checkpoint that so many blocks
        are there."""

    def is_done(self, unit: PlacedBlock) -> bool:
        return unit.number < self._before

    def take(self, made: Iterable[Chunk]) -> None:
        """Append the next block."""
        self._between_blocks = False
        for chunk in made:
            self.append(chunk)
        self._blocks += 1
        self._between_blocks = True
        if time.monotonic() - self._saved >= SAVE_EVERY:
            self._save()

    def save(self, unit: PlacedBlock, taken: None) -> int:
        return unit.block.rows

    def stop(self) -> None:
        if self._between_blocks:  # else the note before stands
            self._save()

    def size(self, unit: PlacedBlock) -> int:
        return unit.range.size

    def _save(self) -> None:
        self.note(self._blocks)
        self._checkpoint.save()
        self._saved = time.monotonic()
