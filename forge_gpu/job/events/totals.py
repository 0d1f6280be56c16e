"""What a stage has done so far, put into its events, so that one of them may be lost."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace

from forge_gpu.job.events.events import ChunkDone
from forge_gpu.plain import mutable


@mutable
class Totals:
    """Of one stage, since it began in this run."""

    rows: int = 0
    bytes: int = 0
    fates: Counter[str] | None = None
    reasons: Counter[str] | None = None

    def with_totals(self, chunk: ChunkDone) -> ChunkDone:
        """The event, counted and filled in."""
        self.rows += chunk.rows
        self.bytes += chunk.bytes
        self.fates = _sum(self.fates, chunk.fates)
        self.reasons = _sum(self.reasons, chunk.reasons)
        return replace(
            chunk,
            rows_so_far=self.rows,
            bytes_so_far=self.bytes,
            fates_so_far=None if self.fates is None else dict(self.fates),
            reasons_so_far=None if self.reasons is None else dict(self.reasons),
        )


def _sum(counts: Counter[str] | None, more: dict[str, int] | None) -> Counter[str] | None:
    return counts if more is None else (counts or Counter()) + Counter(more)
