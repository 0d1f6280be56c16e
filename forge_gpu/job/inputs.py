"""The input of a job: its sources, and the list of ranges that checkpoints count."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from forge_gpu.io.chunks import Range, Source
from forge_gpu.job.index import RangeFacts


@dataclass(frozen=True)
class Item:
    """One range of one source. `number` counts the ranges of the whole job, `file` its sources."""

    number: int
    file: int
    source: Source
    part: Range


@dataclass(frozen=True)
class Place:
    """Where the rows of a range stand: the job's row number of its first, and that row's number and line
    in its file."""

    first: int
    first_in_file: int
    first_line: int


def places(items: Sequence[Item], before: Sequence[RangeFacts]) -> list[Place]:
    """The place of each of the first ranges, and of the one behind them, by what the index says of them."""
    found = []
    first = in_file = 0
    line, file = 1, 0
    for number, item in enumerate(items[: len(before) + 1]):
        if item.file != file:
            file, in_file, line = item.file, 0, 1
        found.append(Place(first, in_file, line))
        if number < len(before):
            first += before[number].rows
            in_file += before[number].rows
            line += before[number].lines
    return found


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

    def rows_of_files(self, ranges: Sequence[RangeFacts]) -> list[int]:
        """How many rows each source has, by what the index says of all ranges."""
        rows = [0] * len(self.sources)
        for item, part in zip(self.items, ranges, strict=True):
            rows[item.file] += part.rows
        return rows

    def close(self) -> None:
        for source in self.sources:
            source.close()
