"""The input of a job: its sources, and the list of ranges that checkpoints count."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

from forge_gpu.io.chunks import Range, Source
from forge_gpu.job.state.index import Part, RangeFacts


@dataclass(frozen=True)
class Item:
    """One range of one source. `number` counts the ranges of the whole job, `file` its sources."""

    number: int
    file: int
    source: Source
    part: Range


@dataclass(frozen=True)
class Place:
    """Where the rows of a range, or of a part of one, stand: the job's row number of the first, and that
    row's number and line in its file."""

    first: int
    first_in_file: int
    first_line: int

    def behind(self, rows: Part | RangeFacts) -> Place:
        """The place of what comes after rows that stand here, in the same file."""
        return Place(self.first + rows.rows, self.first_in_file + rows.rows, self.first_line + rows.lines)


@dataclass(frozen=True)
class PlacedPart:
    """A part of a range. item: the range's number. span: its bytes or rows, to be read as a range."""

    item: int
    span: Range
    part: Part
    place: Place


def placed_parts(items: Sequence[Item], ranges: Sequence[RangeFacts]) -> list[PlacedPart]:
    """The parts that have rows, in order."""
    found = []
    for item, facts, place in zip(items, ranges, places(items, ranges), strict=True):
        for part, span in zip(facts.parts, _spans(item.part, facts.parts), strict=True):
            if part.rows:
                found.append(PlacedPart(item.number, span, part, place))
            place = place.behind(part)
    return found


def _spans(whole: Range, parts: Sequence[Part]) -> Iterator[Range]:
    """A range cut where its parts begin."""
    for number, part in enumerate(parts):
        begin = part.begin if number else whole.begin
        end = parts[number + 1].begin if number + 1 < len(parts) else whole.end
        yield replace(whole, begin=begin, end=end, size=whole.size if len(parts) == 1 else end - begin)


def places(items: Sequence[Item], before: Sequence[RangeFacts]) -> list[Place]:
    """The place of each of the first ranges, and of the one behind them, by what the index says of them."""
    found: list[Place] = []
    file, place = 0, Place(0, 0, 1)
    for number, item in enumerate(items[: len(before) + 1]):
        if item.file != file:
            file, place = item.file, Place(place.first, 0, 1)
        found.append(place)
        if number < len(before):
            place = place.behind(before[number])
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
