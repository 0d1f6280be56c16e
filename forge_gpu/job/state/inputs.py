"""The input of a job: its sources, and the list of ranges that checkpoints count."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace

from forge_gpu.io.chunks import Range, Source
from forge_gpu.io.kept import KeptRows
from forge_gpu.job.state.index import Block, RangeFacts
from forge_gpu.plain import frozen


@frozen
class Item:
    """One range of one source. `number` counts the ranges of the whole job, `file` its sources."""

    number: int
    file: int
    source: Source
    range: Range


@frozen
class Place:
    """Where the rows of a range, or of a block of one, stand: the job's row number of the first, and the
    number and the line in its file of the record that it is made of."""

    first: int
    first_in_file: int
    first_line: int

    def behind(self, rows: Block | RangeFacts) -> Place:
        """The place of what comes after rows that stand here, in the same file."""
        return Place(self.first + rows.rows, self.first_in_file + rows.records, self.first_line + rows.lines)


@frozen
class PlacedBlock:
    """A block of a range. number: among all blocks with rows. item: the range's number. range: its bytes or
    rows, to be read as a range."""

    number: int
    item: int
    range: Range
    block: Block
    place: Place

    @property
    def rows(self) -> slice:
        """Of the job."""
        return slice(self.place.first, self.place.first + self.block.rows)


def placed_blocks(items: Sequence[Item], ranges: Sequence[RangeFacts]) -> list[PlacedBlock]:
    """The blocks that have rows, in order."""
    placed: list[PlacedBlock] = []
    for item, facts, place in zip(items, ranges, places(items, ranges), strict=True):
        for block, range_ in zip(facts.blocks, _cut(item.range, facts.blocks), strict=True):
            if block.rows:
                placed.append(PlacedBlock(len(placed), item.number, range_, block, place))
            place = place.behind(block)
    return placed


def _cut(whole: Range, blocks: Sequence[Block]) -> Iterator[Range]:
    """A range cut where its blocks begin."""
    for number, block in enumerate(blocks):
        begin = block.begin if number else whole.begin
        end = blocks[number + 1].begin if number + 1 < len(blocks) else whole.end
        yield replace(whole, begin=begin, end=end, size=whole.size if len(blocks) == 1 else end - begin)


def places(items: Sequence[Item], before: Sequence[RangeFacts]) -> list[Place]:
    """The place of each of the first ranges, and of the one behind them, by what the index says of them."""
    result: list[Place] = []
    file, place = 0, Place(0, 0, 1)
    for number, item in enumerate(items[: len(before) + 1]):
        if item.file != file:
            file, place = item.file, Place(place.first, 0, 1)
        result.append(place)
        if number < len(before):
            place = place.behind(before[number])
    return result


class JobInputs:
    """All sources, in the order that gives rows their identity.

    streamed: they are read from their files in both passes, not held in memory between them. kept: rows that
    are decoded in the first pass alone.
    """

    def __init__(self, sources: Sequence[Source], streamed: bool, kept: KeptRows) -> None:
        self.streamed, self.kept = streamed, kept
        self.sources = tuple(sources)
        self.items: list[Item] = []
        for file, source in enumerate(self.sources):
            for range_ in source.ranges:
                self.items.append(Item(len(self.items), file, source, range_))
        self.total_bytes = sum(item.range.size for item in self.items)

    def records_of_files(self, ranges: Sequence[RangeFacts]) -> list[int]:
        """How many rows each source has, before parts are made of them."""
        return self._sums(facts.records for facts in ranges)

    def rows_of_files(self, ranges: Sequence[RangeFacts]) -> list[int]:
        """How many rows come from each source, parts by themselves, by what the index says of all ranges."""
        return self._sums(facts.rows for facts in ranges)

    def _sums(self, of_ranges: Iterable[int]) -> list[int]:
        """A number of each range, summed up by source."""
        sums = [0] * len(self.sources)
        for item, number in zip(self.items, of_ranges, strict=True):
            sums[item.file] += number
        return sums

    def close(self) -> None:
        for source in self.sources:
            source.close()
        self.kept.close()
