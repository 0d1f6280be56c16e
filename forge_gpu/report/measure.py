"""What the ledger says of all rows: fates and reasons of each file, lengths of each fate."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Iterator
from dataclasses import field
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from forge_gpu.errors import InputError
from forge_gpu.io.faults import first_line
from forge_gpu.kernels.layout import I64
from forge_gpu.plain import mutable

EXACT_BITS = 13
EXACT = 2**EXACT_BITS
"""Lengths below it are counted one by one, longer ones by their first bits."""
STEP_BITS = 10
STEP = 2**STEP_BITS
"""Counters for lengths between a power of two and the next."""
SLOTS = EXACT + (32 - EXACT_BITS) * STEP
UNITS = ("tokens", "characters")
"""Columns of the ledger that say how long a row is, the exact one first; a plan may have none."""
COUNTED = ("file", "fate", "reason", *UNITS, "stratum", "matched_file", "matched_by")
MOST_STRATA = 2**16


@mutable
class Lengths:
    """How often each length occurs."""

    counts: I64 = field(default_factory=lambda: np.zeros(SLOTS, np.int64))
    longest: int = 0

    def add(self, characters: I64) -> None:
        if len(characters):
            self.longest = max(self.longest, int(characters.max()))
            self.counts += np.bincount(_slot(characters), minlength=SLOTS)

    @property
    def rows(self) -> int:
        return int(self.counts.sum())

    def at(self, share: float) -> int:
        """The length that so large a share of the rows does not exceed; 0 without rows."""
        if not self.rows:
            return 0
        place = int(np.searchsorted(np.cumsum(self.counts), share * self.rows))
        return min(int(_values()[place]), self.longest)

    def above(self, length: int) -> int:
        """Rows that are longer; about, for lengths from EXACT on."""
        return int(self.counts[_values() > length].sum())

    def histogram(self, edges: I64) -> list[int]:
        """Rows between each two edges."""
        place = np.searchsorted(edges, _values(), side="right") - 1
        inside = (place >= 0) & (place < len(edges) - 1)
        rows: list[int] = np.bincount(place[inside], self.counts[inside], len(edges) - 1).astype(int).tolist()
        return rows


def _slot(characters: I64) -> I64:
    """Where a length is counted."""
    slot = characters.copy()
    long = characters >= EXACT
    if long.any():
        value = characters[long]
        bits = np.floor(np.log2(value)).astype(np.int64)
        slot[long] = EXACT + (bits - EXACT_BITS) * STEP + (value >> (bits - STEP_BITS)) - STEP
    return slot


@cache
def _values() -> I64:
    """The length, or the first of the lengths, that each slot counts."""
    slots = np.arange(SLOTS - EXACT)
    long = (slots % STEP + STEP) << (slots // STEP + EXACT_BITS - STEP_BITS)
    return np.concatenate([np.arange(EXACT), long])


@mutable
class Measures:
    """fates: (file, fate) -> rows. reasons: (file, reason) -> rows. lengths: unit -> fate -> theirs. strata:
    (stratum, fate) -> rows. matched: (evaluation file, rule) -> rows. rows: the ledger's line of each row
    that was asked for."""

    fates: Counter[tuple[str, str]] = field(default_factory=Counter)
    reasons: Counter[tuple[str, str]] = field(default_factory=Counter)
    lengths: dict[str, dict[str, Lengths]] = field(default_factory=dict)
    strata: Counter[tuple[str, str]] = field(default_factory=Counter)
    matched: Counter[tuple[str, str]] = field(default_factory=Counter)
    rows: dict[int, dict[str, Any]] = field(default_factory=dict)


def measure(path: Path, numbers: Collection[int] = (), counted: Collection[str] = COUNTED) -> Measures:
    """Read a ledger once, a row group at a time. numbers: rows to give whole. counted: columns to count.

    Raises InputError where it cannot be read.
    """
    made = Measures()
    try:
        with pq.ParquetFile(path) as ledger:
            for first, table, is_whole in _groups(ledger, sorted(numbers), counted):
                _count(made, table)
                if is_whole:
                    for number in numbers:
                        if first <= number < first + len(table):
                            made.rows[number] = table.slice(number - first, 1).to_pylist()[0]
    except (OSError, pa.ArrowException) as fault:
        raise InputError(f"{path}: cannot be read as a ledger: {first_line(fault)}") from fault
    return made


def _groups(
    ledger: pq.ParquetFile, numbers: list[int], counted: Collection[str]
) -> Iterator[tuple[int, pa.Table, bool]]:
    """(number of the first row, rows, whether all columns are there) of each row group."""
    named = [name for name in counted if name in ledger.schema_arrow.names]
    first = 0
    for group in range(ledger.num_row_groups):
        rows = ledger.metadata.row_group(group).num_rows
        low, high = np.searchsorted(numbers, (first, first + rows))
        yield first, ledger.read_row_group(group, None if high > low else named), high > low
        first += rows


def _count(made: Measures, table: pa.Table) -> None:
    if "file" in table.schema.names:
        made.fates.update(_pairs(table, "file", "fate"))
        made.reasons.update(_pairs(table, "file", "reason"))
    if "matched_by" in table.schema.names:
        made.matched.update(_pairs(table, "matched_file", "matched_by"))
    if "stratum" in table.schema.names:
        made.strata.update(_pairs(table, "stratum", "fate"))
        if len(made.strata) > MOST_STRATA:
            made.strata = Counter(dict(made.strata.most_common(MOST_STRATA // 2)))
    for unit in UNITS:
        if unit in table.schema.names:
            _count_lengths(made.lengths.setdefault(unit, {}), table, unit)


def _count_lengths(lengths: dict[str, Lengths], table: pa.Table, unit: str) -> None:
    fates, names = _coded(table, "fate")
    values = _integers(table[unit], np.int64)
    for code, name in enumerate(names):
        lengths.setdefault(name, Lengths()).add(values[(fates == code) & (values >= 0)])


def _coded(table: pa.Table, name: str) -> tuple[I64, list[str]]:
    """The column's values as numbers, -1 for null, and what they stand for."""
    column = table[name].unify_dictionaries()
    codes = pa.chunked_array([chunk.indices for chunk in column.chunks], pa.int32())
    words = column.chunk(0).dictionary.to_pylist() if column.num_chunks else []
    return _integers(codes, np.int32).astype(np.int64), words


def _integers(column: pa.ChunkedArray, dtype: type[np.integer[Any]]) -> np.ndarray:
    """Numbers from 0 on, -1 for null; from their buffers, since Arrow's own ways load pandas first."""
    pieces = [np.zeros(0, dtype)]
    for chunk in column.chunks:
        valid, data = chunk.buffers()
        begin, end = chunk.offset, chunk.offset + len(chunk)
        numbers = np.frombuffer(data, dtype, end)[begin:].copy() if len(chunk) else np.zeros(0, dtype)
        if valid is not None and len(chunk):
            bits = np.unpackbits(np.frombuffer(valid, np.uint8), bitorder="little")
            numbers[bits[begin:end] == 0] = -1
        pieces.append(numbers)
    return np.concatenate(pieces)


def _pairs(table: pa.Table, one: str, other: str) -> dict[tuple[str, str], int]:
    """How often two values occur together, where neither is null."""
    codes, names = _coded(table, one)
    more, words = _coded(table, other)
    both = (codes >= 0) & (more >= 0)
    counts = np.bincount(codes[both] * len(words) + more[both], minlength=1)
    return {
        (names[place // len(words)], words[place % len(words)]): int(counts[place])
        for place in np.flatnonzero(counts).tolist()
    }
