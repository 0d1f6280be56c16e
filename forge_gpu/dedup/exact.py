"""Exact duplicates: rows with the same 128-bit key; the smallest row survives."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from forge_gpu.kernels.layout import I64, U64
from forge_gpu.kernels.reference.dedup import FirstOccurrence

BLOCK = 1 << 18
"""Rows that are read at once from arrays that may be mapped files."""

BYTES_A_ROW = 72
"""Peak of one part: row, key, hash table of up to 32 bytes a row, and the result."""


def duplicates(
    hashes: U64,
    live: npt.NDArray[np.bool_],
    budget_bytes: int,
    first_occurrence: FirstOccurrence | None = None,
    out: I64 | None = None,
) -> I64:
    """The survivor of each duplicate: int64[n], the smallest live row with an equal key; -1 for survivors
    and rows that are not live.

    hashes: uint64[n, 2]; live: bool[n]; both may be mapped files: they are read in blocks. When one table
    of all rows would exceed `budget_bytes`, rows are taken by ranges of the key, in as many passes as it
    takes; a block's own duplicates are dropped before, so that one key with very many rows costs nothing.
    The result is the same for any budget. Memory beyond the result: `budget_bytes` or 32 MiB, whichever is
    more, and where rows are taken in parts a byte or two a row. first_occurrence: an engine's; the CPU's
    kernel where none is given. out: int64[n] that takes the result, such as a mapped file.
    """
    from forge_gpu.kernels.cpu import dedup

    find = first_occurrence or dedup.first_occurrence
    n = len(live)
    first = np.empty(n, np.int64) if out is None else out
    rows_at_once = max(budget_bytes // BYTES_A_ROW, BLOCK)
    if n <= rows_at_once:
        first[:] = find(np.ascontiguousarray(hashes), np.asarray(live).view(np.uint8))
        return _without_survivors(first)
    distinct = 0
    for start in range(0, n, BLOCK):
        block = slice(start, min(start + BLOCK, n))
        local = find(np.ascontiguousarray(hashes[block]), np.asarray(live[block]).view(np.uint8))
        first[block] = np.where(local < 0, -1, local + start)
        distinct += int(np.count_nonzero(local == np.arange(len(local))))
    parts = -(-distinct // rows_at_once)
    part_of = _parts(hashes, first, parts)
    for part in range(parts):
        rows = np.flatnonzero(part_of == part)
        keys = np.take(np.asarray(hashes), rows, axis=0)  # in half the time of an index
        first[rows] = rows[find(keys, np.ones(len(rows), np.uint8))]
    for start in range(0, n, BLOCK):  # a block's duplicates follow their block's first row
        result = first[start : start + BLOCK]
        result[result >= 0] = first[result[result >= 0]]
    return _without_survivors(first)


def _parts(hashes: U64, first: I64, parts: int) -> npt.NDArray[np.unsignedinteger]:
    """For each row that is the first of its block the range of its key's upper half, of so many equal ones;
    `parts` for the other rows: uint8[n], or wider."""
    result = np.empty(len(first), np.min_scalar_type(parts))
    half = np.uint64(32)
    for start in range(0, len(first), BLOCK):
        block = slice(start, min(start + BLOCK, len(first)))
        part = (np.asarray(hashes[block, 1]) >> half) * np.uint64(parts) >> half
        is_first = first[block] == np.arange(block.start, block.stop)
        result[block] = np.where(is_first, part, parts)
    return result


def _without_survivors(first: I64) -> I64:
    for start in range(0, len(first), BLOCK):
        result = first[start : start + BLOCK]
        result[result == np.arange(start, start + len(result))] = -1
    return first
