"""Random samples of exact size from each stratum, in bounded memory."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import numpy.typing as npt

from forge_gpu.kernels.arrays import HOST, Arrays
from forge_gpu.kernels.layout import I64, U8, U64
from forge_gpu.plain import frozen
from forge_gpu.split import select
from forge_gpu.split.mixer import Stream, mix

NOT_LIVE = 255
"""The code of rows that take no part."""

FIRST, SECOND, REST = 0, 1, 2

_LARGEST = np.uint64(2**64 - 1)

BYTES_A_ROW = 72
"""Peak of sorting a group of strata: row, stratum, hash, order, rank, and the copies that sorting makes."""

Bool = npt.NDArray[np.bool_]


@frozen
class Rows:
    """What a sample is drawn from. Arrays may be mapped files: they are read in blocks.

    stratum: unsigned[n], equal for rows of one stratum, or None for one stratum of all rows.
    hashes: uint64[n, 2], the 128-bit dedup keys; live: bool[n].
    """

    stratum: npt.NDArray[np.unsignedinteger] | None
    hashes: U64
    live: Bool
    seed: int
    stream: Stream
    arrays: Arrays = HOST

    def keys(self, rows: I64) -> U64:
        """The seeded hashes by which rows are ordered, there."""
        hashes = self.arrays.there(np.take(np.asarray(self.hashes), rows, axis=0))
        return mix(hashes, self.seed, self.stream)


def count_strata(rows: Rows) -> tuple[U64, I64]:
    """Distinct strata of the live rows in ascending order, and how many rows each has: uint64[s], int64[s].

    Memory: 32 bytes a distinct stratum.
    """
    values, counts = np.zeros(0, np.uint64), np.zeros(0, np.int64)
    for block in select.blocks(len(rows.live)):
        live = np.asarray(rows.live[block])
        if rows.stratum is None:
            result, times = np.zeros(1, np.uint64), np.array([np.count_nonzero(live)])
        else:
            result, times = _distinct(rows.arrays, np.asarray(rows.stratum[block])[live])
        merged, _ = _distinct(HOST, np.concatenate((values, result)))
        total = np.zeros(len(merged), np.int64)
        total[np.searchsorted(merged, values)] += counts
        total[np.searchsorted(merged, result)] += times
        values, counts = merged, total
    return values, counts


def _distinct(arrays: Arrays, values: npt.NDArray[np.unsignedinteger]) -> tuple[U64, I64]:
    """Different values of the host in ascending order, and how often each is there; on the host.

    Without counts numpy's `unique`, and what calls it, would import numpy.ma: 20 ms of a start.
    """
    result, times = arrays.xp.unique(arrays.there(values), return_counts=True)
    return arrays.here(result).astype(np.uint64), arrays.here(times)


def draw(rows: Rows, values: U64, counts: I64, first: I64, second: I64, budget_bytes: int) -> U8:
    """Which rows of each stratum are drawn: uint8[n] of FIRST, SECOND or REST; NOT_LIVE where not live.

    values, counts: what `count_strata` gave; first, second: int64[s]. In the order (seeded hash, row) the
    first[k] rows of stratum k are FIRST, the next second[k] are SECOND. Beyond the result it takes
    `budget_bytes` or 24 MiB, whichever is more: strata are sorted in groups that fit, and one that is too
    large for it is cut by selection. The result does not depend on the budget.
    """
    drawn = np.full(len(rows.live), NOT_LIVE, np.uint8)
    at_once = max(rows.arrays.room(budget_bytes) // BYTES_A_ROW, select.BLOCK)
    for start, end in _groups(counts, at_once):
        if rows.stratum is None or counts[start] > at_once:
            pieces = _Pieces(rows, values[start], keep=counts[start] <= at_once)
            _draw_by_selection(drawn, pieces, int(first[start]), int(second[start]), rows.arrays)
        else:
            group = slice(start, end)
            _draw_by_sorting(drawn, rows, values[group], counts[group], first[group], second[group])
    return drawn


def _groups(counts: I64, at_once: int) -> Iterator[tuple[int, int]]:
    """Runs [start, end) of strata that hold at most `at_once` rows, or one larger stratum."""
    ends = np.cumsum(counts)
    start = 0
    while start < len(counts):
        before = int(ends[start] - counts[start])
        end = max(int(np.searchsorted(ends, before + at_once, side="right")), start + 1)
        yield start, end
        start = end


def _draw_by_sorting(drawn: U8, rows: Rows, values: U64, counts: I64, first: I64, second: I64) -> None:
    """All rows of the strata `values`, which are all that lie between the least and the greatest of them.

    Of each stratum only the rows below a key are sorted that has, most likely, enough of them below it.
    """
    total = first + second
    bound = _likely_bound(total, counts)
    row, index, keys, result = _below(drawn, rows, values, bound)
    if (result < total).any():
        bound[result < total] = _LARGEST
        row, index, keys, result = _below(drawn, rows, values, bound)
    times = np.stack((first, second, result - total), axis=1).reshape(-1)
    code = np.repeat(np.tile(np.array([FIRST, SECOND, REST], np.uint8), len(values)), times)
    drawn[row[rows.arrays.here(rows.arrays.ascending_by(index, keys))]] = code


def _below(drawn: U8, rows: Rows, values: U64, bound: U64) -> tuple[I64, I64, U64, I64]:
    """The rows of the strata `values` whose key does not exceed their stratum's bound, in order: their
    numbers, there the index of their stratum and their keys, and how many of each stratum there are. All rows
    of the strata become REST."""
    assert rows.stratum is not None
    arrays, xp = rows.arrays, rows.arrays.xp
    values_there, bound_there = arrays.there(values), arrays.there(bound)
    result: list[tuple[I64, I64, U64]] = []
    for block in select.blocks(len(rows.live), arrays.at_once):
        stratum = np.asarray(rows.stratum[block])
        inside = np.asarray(rows.live[block]) & (stratum >= values[0]) & (stratum <= values[-1])
        at = np.flatnonzero(inside)
        row, index = at + block.start, xp.searchsorted(values_there, arrays.there(stratum[at]))
        keys = rows.keys(row)
        below = keys <= bound_there[index]
        result.append((row[arrays.here(below)], index[below], keys[below]))
        drawn[row] = REST
    rows_of, indices, keys_of = zip(*result, strict=True)
    index = xp.concatenate(indices)
    counts = arrays.here(xp.bincount(index, minlength=len(values)))
    return np.concatenate(rows_of), index, xp.concatenate(keys_of), counts


def _likely_bound(required: I64, counts: I64) -> U64:
    """A key for each stratum that at least `wanted` of its `counts` random keys do not exceed, but for a
    chance of one in a billion."""
    share = required / counts
    share += 6 * np.sqrt(share / counts) + 18 / counts
    bound = np.full(len(counts), _LARGEST)
    bound[share < 1] = share[share < 1] * 2.0**64
    return bound


class _Pieces:
    """The rows of one stratum and their keys, in blocks: read anew in each pass, or kept."""

    def __init__(self, rows: Rows, value: np.uint64, keep: bool) -> None:
        self._rows, self._value = rows, value
        self._kept = list(self._read()) if keep else None

    def __iter__(self) -> Iterator[tuple[I64, U64]]:
        return iter(self._kept) if self._kept is not None else self._read()

    def _read(self) -> Iterator[tuple[I64, U64]]:
        rows = self._rows
        for block in select.blocks(len(rows.live)):
            inside = np.asarray(rows.live[block])
            if rows.stratum is not None:
                inside = inside & (np.asarray(rows.stratum[block]) == self._value)
            row = np.flatnonzero(inside) + block.start
            yield row, rows.keys(row)


def _draw_by_selection(drawn: U8, pieces: _Pieces, first: int, second: int, arrays: Arrays) -> None:
    """All rows of one stratum of any size: the keys at the two cuts are selected, ties go by row."""
    for row, _ in pieces:
        drawn[row] = REST
    for count, code in ((first + second, SECOND), (first, FIRST)):
        if count == 0:
            continue
        cut = select.select(lambda: (keys for _, keys in pieces), count - 1, arrays)
        ties = count - cut.below
        for row, keys in pieces:
            tied = row[arrays.here(keys == np.uint64(cut.key))][:ties]
            ties -= len(tied)
            drawn[row[arrays.here(keys < np.uint64(cut.key))]] = code
            drawn[tied] = code
