"""The input of a job: its sources, and the list of ranges that checkpoints count."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from forge_gpu.io.chunks import Range, Source


@dataclass(frozen=True)
class Item:
    """One range of one source. `number` counts the ranges of the whole job, `file` its sources."""

    number: int
    file: int
    source: Source
    part: Range


class JobInputs:
    """All sources, in the order that gives rows their identity.

    streamed: they are read from their files in both passes, not held in memory between them.
    """

    def __init__(self, sources: Sequence[Source], streamed: bool) -> None:
        self.streamed = streamed
        self.sources = tuple(sources)
        self.items: list[Item] = []
        for file, source in enumerate(self.sources):
            for part in source.ranges:
                self.items.append(Item(len(self.items), file, source, part))
        self.total_bytes = sum(item.part.size for item in self.items)

    def close(self) -> None:
        for source in self.sources:
            source.close()
