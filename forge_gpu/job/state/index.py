"""The index: what the first pass leaves of each row, one file a range.

Its arrays are the facts of the rows that the plan requires (`job/facts`): numbers alone, for the second pass
reads the input again.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Mapping, Sequence
from dataclasses import field, replace
from pathlib import Path

import numpy as np
import numpy.typing as npt
import orjson

from forge_gpu.fates import Reason, name
from forge_gpu.job.state import arrays as stored
from forge_gpu.plain import frozen

F64 = npt.NDArray[np.float64]

ROW = "row"
"""The first field of a sparse array: which row of its chunk, range or job an item tells of."""

PART = "part"
"""The array of the numbers of parts, where a plan makes several rows of one record."""

BLOCK_BYTES = 2**20
"""A block of JSON has so many bytes at least, but for the last of a range: small chunks share one."""


@frozen
class Block:
    """Consecutive rows of a range, which the second pass writes by one task: what a chunk of the first held.

    begin: as in `io.chunks.Range`; a row begins there. rows, records, lines, bytes: how many; records are
    rows of the source, of which a plan may make several rows; lines are physical lines of JSON lines.
    digest: of the bytes of the records, to notice a source that changes between the passes.
    """

    begin: int
    rows: int
    records: int
    lines: int
    bytes: int
    digest: int

    def with_next(self, block: Block) -> Block:
        """This block and the one behind it as one."""
        return Block(
            self.begin,
            self.rows + block.rows,
            self.records + block.records,
            self.lines + block.lines,
            self.bytes + block.bytes,
            (self.digest + block.digest) % 2**64,
        )


@frozen
class RangeFacts:
    """What the index says of a range as a whole.

    blocks: in order, all rows in one of them. warned: rows a check warned of. kinds: for each kept column the
    kinds of span seen, a bit each. render_paths: rows by the path that their template's rendering took.
    """

    blocks: tuple[Block, ...] = ()
    warned: dict[Reason, int] = field(default_factory=dict)
    kinds: dict[str, int] = field(default_factory=dict)
    render_paths: dict[str, int] = field(default_factory=dict)

    @property
    def rows(self) -> int:
        return sum(block.rows for block in self.blocks)

    @property
    def records(self) -> int:
        """Rows of the source."""
        return sum(block.records for block in self.blocks)

    @property
    def lines(self) -> int:
        """Physical lines of JSON lines."""
        return sum(block.lines for block in self.blocks)

    @property
    def bytes(self) -> int:
        """Bytes of input."""
        return sum(block.bytes for block in self.blocks)

    @property
    def digest(self) -> int:
        """Of the bytes of the source's rows."""
        return sum(block.digest for block in self.blocks) % 2**64


@frozen
class RowIndex:
    """The index of a chunk, or of a range.

    arrays: by name, each with an item a row, or sparse: with fields, of which the first is the number of the
    row that an item tells of, ascending. One without rows may have none.
    """

    facts: RangeFacts
    arrays: Mapping[str, np.ndarray] = field(default_factory=dict)

    @property
    def rows(self) -> int:
        return self.facts.rows


def is_sparse(array: np.ndarray) -> bool:
    return array.dtype.names is not None


def shifted(array: np.ndarray, rows: int) -> np.ndarray:
    """An array as it is where so many rows come before its own: a sparse one names others. A copy, if so."""
    if is_sparse(array) and rows:
        array = array.copy()
        array[ROW] += rows
    return array


def join(chunks: Sequence[RowIndex], in_blocks: bool = False) -> RowIndex:
    """The chunks of a range, in order, as one. in_blocks: whether the range can be read from each on."""
    return RowIndex(_joined_facts([chunk.facts for chunk in chunks], in_blocks), _joined_arrays(chunks))


def _joined_facts(chunks: Sequence[RangeFacts], in_blocks: bool) -> RangeFacts:
    warned: Counter[Reason] = Counter()
    kinds: dict[str, int] = {}
    render_paths: Counter[str] = Counter()
    for chunk in chunks:
        warned.update(chunk.warned)
        render_paths.update(chunk.render_paths)
        for column, bits in chunk.kinds.items():
            kinds[column] = kinds.get(column, 0) | bits
    blocks = _joined_blocks([block for chunk in chunks for block in chunk.blocks], in_blocks)
    return RangeFacts(blocks, dict(warned), kinds, dict(render_paths))


def _joined_arrays(chunks: Sequence[RowIndex]) -> dict[str, np.ndarray]:
    arrays: dict[str, list[np.ndarray]] = {}
    rows = 0
    for chunk in chunks:
        for key, array in chunk.arrays.items():
            arrays.setdefault(key, []).append(shifted(array, rows))
        rows += chunk.rows
    return {key: np.concatenate(pieces) for key, pieces in arrays.items()}


def _joined_blocks(blocks: Sequence[Block], in_blocks: bool) -> tuple[Block, ...]:
    """The blocks of the chunks of a range; what is behind a small one goes with it."""
    joined: list[Block] = []
    for block in blocks:
        if joined and (joined[-1].bytes < BLOCK_BYTES or not in_blocks):
            joined[-1] = joined[-1].with_next(block)
        else:
            joined.append(block)
    return tuple(joined)


def cut(whole: RowIndex, records: int) -> RowIndex:
    """A range's index of its first `records` rows of the source. Counters of what was read, but rows, stay
    as they are."""
    if records >= whole.facts.records:
        return whole
    part = whole.arrays.get(PART)
    rows = records if part is None else int(first_parts(part)[records])
    facts = replace(whole.facts, blocks=_cut_blocks(whole.facts.blocks, rows, records))
    return RowIndex(facts, {key: _cut_array(array, rows) for key, array in whole.arrays.items()})


def _cut_array(array: np.ndarray, rows: int) -> np.ndarray:
    return array[array[ROW] < rows] if is_sparse(array) else array[:rows]


def _cut_blocks(blocks: Sequence[Block], rows: int, records: int) -> tuple[Block, ...]:
    left = []
    for block in blocks:
        left.append(replace(block, rows=min(block.rows, rows), records=min(block.records, records)))
        rows, records = rows - left[-1].rows, records - left[-1].records
    return tuple(left)


def first_parts(part: np.ndarray) -> npt.NDArray[np.intp]:
    """The rows that are the first, or the only one, of their record. part: of each row, below 0 for none."""
    return np.flatnonzero(part <= 0)


def write(path: Path, index: RowIndex) -> None:
    """Write a range's index; the file appears whole or not at all."""
    facts = {
        "blocks": index.facts.blocks,
        "warned": {name(why): count for why, count in index.facts.warned.items()},
        "kinds": index.facts.kinds,
        "render_paths": index.facts.render_paths,
    }
    stored.write(path, {"facts": np.frombuffer(orjson.dumps(facts), np.uint8), **index.arrays})


def read_facts(path: Path) -> RangeFacts:
    """What a range's index says of the whole of it; a few kilobytes at most are read."""
    facts = orjson.loads(stored.read(path, ("facts",))["facts"].tobytes())
    warned = {Reason[key.upper()]: count for key, count in facts.pop("warned").items()}
    blocks = tuple(Block(**block) for block in facts.pop("blocks"))
    return RangeFacts(**facts, warned=warned, blocks=blocks)


def read_arrays(path: Path, names: Collection[str]) -> dict[str, np.ndarray]:
    """Those of the named arrays that a range's index has; one without rows may have none."""
    return stored.read(path, names)
