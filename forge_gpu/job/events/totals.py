"""What a stage has done so far, put into its events, so that one of them may be lost."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field, replace

from forge_gpu.job.events.events import ChunkDone


@dataclass(slots=True)
class Totals:
    """Of one stage, since it began in this run."""

    rows: int = 0
    bytes: int = 0
    fates: Counter[str] | None = field(default=None)

    def with_totals(self, chunk: ChunkDone) -> ChunkDone:
        """The event, counted and filled in."""
        self.rows += chunk.rows
        self.bytes += chunk.bytes
        if chunk.fates is not None:
            self.fates = (self.fates or Counter()) + Counter(chunk.fates)
        fates = None if self.fates is None else dict(self.fates)
        return replace(chunk, rows_so_far=self.rows, bytes_so_far=self.bytes, fates_so_far=fates)
