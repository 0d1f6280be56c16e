"""Rows of two ledgers by their place: which are in one alone, and what became otherwise of those in both."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import field
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from forge_gpu.kernels.layout import I64
from forge_gpu.plain import mutable
from forge_gpu.share.differ.ledger import PARTS, Ledger
from forge_gpu.share.differ.row_hashes import HASH, RowHashes

EXAMPLES = 20
"""Rows of each kind of change that the report names; `on_row` hears of all."""
PLACES = {"file", "row", "part", "shard", "line"}
INPUTS = {"duplicate_of_file", "cluster_file", "similar_file"}
"""Columns that name inputs."""

OnRow = Callable[[dict[str, Any]], None]


@mutable
class Changed:
    """Rows that differ in one way, and where the first of them are."""

    rows: int = 0
    examples: list[dict[str, Any]] = field(default_factory=list)

    def to_dict(self) -> dict[str, Any]:
        return {"rows": self.rows, "examples": self.examples}


@mutable
class RowChanges:
    """compared: rows in both. by: what differs, as `only_in_a`, `text`, `fate`, `tokens` -> the rows. moves:
    (fate in A, fate in B) -> rows, of those whose fate differs."""

    compared: int = 0
    by: dict[str, Changed] = field(default_factory=dict)
    moves: dict[tuple[str, str], int] = field(default_factory=dict)

    def add(self, change: str, rows: list[dict[str, Any]], count: int) -> None:
        changed = self.by.setdefault(change, Changed())
        changed.rows += count
        changed.examples += rows[: EXAMPLES - len(changed.examples)]


class RowComparison:
    """Compares ledgers, input by input. hashes: of the rows of A and of B. on_row: hears each changed row."""

    def __init__(
        self, ledgers: tuple[Ledger, Ledger], hashes: tuple[RowHashes, RowHashes], on_row: OnRow | None
    ) -> None:
        self._ledgers, self._hashes, self._on_row = ledgers, hashes, on_row
        shared = set(ledgers[0].columns) & set(ledgers[1].columns)
        self._facts = [name for name in ledgers[0].columns if name in shared - PLACES]
        self.changes = RowChanges()
        self._names: dict[str, str] = {}

    def run(self, names: dict[str, str]) -> RowChanges:
        """names: the input of B that stands for one of A, where they have other names."""
        self._names = {a: b for a, b in names.items() if a != b}
        of_b = dict(self._ledgers[1].runs)
        for (file, time), (begin, end) in self._ledgers[0].runs.items():
            self._file(file, (begin, end), of_b.pop((names.get(file, file), time), (0, 0)))
        for (file, _), (begin, end) in of_b.items():
            self._file(file, (0, 0), (begin, end))
        return self.changes

    def _file(self, file: str, a: tuple[int, int], b: tuple[int, int]) -> None:
        """One input's rows: two rising sequences of keys, merged a window at a time."""
        left, right = _Window(self._ledgers[0].windows(*a)), _Window(self._ledgers[1].windows(*b))
        while left.fill() | right.fill():
            limit = min(left.last, right.last)
            keys_a, rows_a = left.take(limit)
            keys_b, rows_b = right.take(limit)
            in_both, at_a, at_b = np.intersect1d(keys_a, keys_b, assume_unique=True, return_indices=True)
            self._alone("only_in_a", file, keys_a, rows_a, at_a)
            self._alone("only_in_b", file, keys_b, rows_b, at_b)
            if rows_a is not None and rows_b is not None and len(in_both):
                self._both(file, in_both, rows_a.take(pa.array(at_a)), rows_b.take(pa.array(at_b)))

    def _alone(self, change: str, file: str, keys: I64, rows: pa.Table | None, shared: I64) -> None:
        alone = np.setdiff1d(np.arange(len(keys)), shared, assume_unique=True)
        if rows is not None and len(alone):
            fates = rows["fate"].take(pa.array(alone))
            self._note(change, file, keys[alone], fates if change == "only_in_a" else None, fates)

    def _both(self, file: str, keys: I64, a: pa.Table, b: pa.Table) -> None:
        self.changes.compared += len(keys)
        texts = self._content(0, a), self._content(1, b)
        in_both = texts[0][0] & texts[1][0]
        self._note_where("text", file, keys, in_both & (texts[0][1] != texts[1][1]), None, None)
        for name in self._facts:
            one, other = _plain(self._named(name, a[name])), _plain(b[name])
            differs = _differs(one, other)
            self._note_where(name, file, keys, differs, one, other)
            if name == "fate" and differs.any():
                mask = pa.array(differs)
                moves = zip(one.filter(mask).to_pylist(), other.filter(mask).to_pylist(), strict=True)
                for move in moves:
                    self.changes.moves[move] = self.changes.moves.get(move, 0) + 1

    def _named(self, column: str, values: pa.ChunkedArray) -> Any:
        """Where a column of A names inputs, their names in B."""
        if column not in INPUTS or not self._names:
            return values
        coded = _plain(values).combine_chunks().dictionary_encode()
        words = pa.array([self._names.get(word, word) for word in coded.dictionary.to_pylist()], pa.string())
        return pa.DictionaryArray.from_arrays(coded.indices, words)

    def _content(self, side: int, rows: pa.Table) -> tuple[np.ndarray, np.ndarray]:
        """bool[n], which rows are in a split, and HASH[n] of those."""
        from forge_gpu.share.differ.ledger import integers

        shards = rows["shard"].combine_chunks()
        hashes = np.zeros(len(rows), HASH)
        present = np.zeros(len(rows), np.bool_)
        lines = integers(rows["line"], 0)
        for shard in pc.unique(_plain(rows["shard"])).to_pylist():
            if shard is not None:
                at = _flags(pc.equal(_plain(shards), shard))
                present |= at
                hashes[at] = self._hashes[side].at(shard, lines[at])
        return present, hashes

    def _note_where(
        self, change: str, file: str, keys: I64, differs: np.ndarray, one: Any, other: Any
    ) -> None:
        if differs.any():
            mask = pa.array(differs)
            pair = (None, None) if one is None else (one.filter(mask), other.filter(mask))
            self._note(change, file, keys[differs], *pair)

    def _note(self, change: str, file: str, keys: I64, one: Any, other: Any) -> None:
        count = len(keys)
        shown = count if self._on_row else EXAMPLES
        rows = [
            {"file": file, "row": int(key >> PARTS)}
            | ({"part": part - 1} if (part := int(key & (2**PARTS - 1))) else {})
            for key in keys[:shown].tolist()
        ]
        if one is not None and other is not None and not change.startswith("only"):
            values = zip(rows, one[:shown].to_pylist(), other[:shown].to_pylist(), strict=False)
            rows = [row | {"a": a, "b": b} for row, a, b in values]
        elif other is not None:
            rows = [row | {"fate": fate} for row, fate in zip(rows, other[:shown].to_pylist(), strict=False)]
        self.changes.add(change, rows, count)
        for row in rows if self._on_row else ():
            self._on_row({"change": change, **row})  # type: ignore[misc]


class _Window:
    """The rows of one side that are not merged yet."""

    def __init__(self, windows: Iterator[tuple[I64, pa.Table]]) -> None:
        self._windows = windows
        self._keys: I64 = np.zeros(0, np.int64)
        self._rows: pa.Table | None = None

    def fill(self) -> bool:
        """Whether there are rows."""
        if not len(self._keys):
            self._keys, self._rows = next(self._windows, (np.zeros(0, np.int64), None))
        return len(self._keys) > 0

    @property
    def last(self) -> int:
        """The last key of the window; beyond all where there is none."""
        return int(self._keys[-1]) if len(self._keys) else np.iinfo(np.int64).max

    def take(self, limit: int) -> tuple[I64, pa.Table | None]:
        """The rows up to a key."""
        count = int(np.searchsorted(self._keys, limit, side="right"))
        keys, self._keys = self._keys[:count], self._keys[count:]
        if self._rows is None:
            return keys, None
        rows, self._rows = self._rows.slice(0, count), self._rows.slice(count)
        return keys, rows


def _plain(column: Any) -> Any:
    """A column's values without their dictionary."""
    kind = column.type
    return column.cast(kind.value_type) if pa.types.is_dictionary(kind) else column


def _differs(one: Any, other: Any) -> np.ndarray:
    """bool[n]: where two columns are not equal, or one of them is null."""
    nulls = pc.xor(pc.is_null(one), pc.is_null(other))
    return _flags(pc.or_(pc.fill_null(pc.not_equal(one, other), False), nulls))


def _flags(column: Any) -> np.ndarray:
    """bool[n]; null is false."""
    array = pc.fill_null(column, False)
    array = array.combine_chunks() if isinstance(array, pa.ChunkedArray) else array
    bits = np.unpackbits(np.frombuffer(array.buffers()[1], np.uint8), bitorder="little")
    return bits[array.offset : array.offset + len(array)].astype(np.bool_)
