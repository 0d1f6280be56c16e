"""The candidate pairs of one band by a sort on a device: what `buckets` makes, as array code."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from typing import Any

import numpy as np

from forge_gpu.kernels.arrays import Arrays
from forge_gpu.kernels.layout import U8, U64
from forge_gpu.kernels.reference.union import LINKS, SMALL_BUCKET

BYTES_A_ROW = 128
"""Peak of a part: hash and row, their order and sorted copies, and what is counted of each row."""

_PAIRS_AT_ONCE = 1 << 20
_LEAST_ROWS = 1 << 18
"""Of a part: fewer would save little."""
_HALF = np.uint64(32)


def pairs_by_sorting(
    read: Callable[[], Iterable[U64]], live: U8, arrays: Arrays, room_bytes: int
) -> Iterator[U64]:
    """See buckets.pairs_of_band. Rows that do not fit in `room_bytes` there are sorted by parts, by ranges of
    the hash; the band is read once a part."""
    most = max(room_bytes // BYTES_A_ROW, _LEAST_ROWS)
    bits = (-(-len(live) // most) - 1).bit_length() if len(live) else 0
    for part in range(1 << bits):
        yield from _pairs(*_rows_of_part(read(), live, arrays, part, bits), arrays)


def _rows_of_part(pieces: Iterable[U64], live: U8, arrays: Arrays, part: int, bits: int) -> tuple[Any, Any]:
    """The hashes of live rows whose upper `bits` bits are `part`, and the rows: uint64[m] each, there."""
    xp = arrays.xp
    hashes, rows, first = [xp.zeros(0, np.uint64)], [xp.zeros(0, np.uint64)], 0
    for piece in pieces:
        there, inside = arrays.there(piece), arrays.there(live[first : first + len(piece)]) != 0
        if bits:
            inside &= there >> np.uint64(64 - bits) == np.uint64(part)
        hashes.append(there[inside])
        rows.append(xp.flatnonzero(inside).astype(np.uint64) + np.uint64(first))
        first += len(piece)
    return xp.concatenate(hashes), xp.concatenate(rows)


def _pairs(hashes: Any, rows: Any, arrays: Arrays) -> Iterator[U64]:
    """See kernels.reference.union.bucket_pairs; in pieces."""
    xp = arrays.xp
    if not len(hashes):
        return
    order = arrays.ascending(hashes)
    hashes, rows = hashes[order], rows[order]
    begins = xp.ones(len(hashes), np.bool_)
    begins[1:] = hashes[1:] != hashes[:-1]
    number = xp.cumsum(begins, dtype=np.int64) - 1  # of each row's bucket
    starts = xp.flatnonzero(begins)
    place = xp.arange(len(rows)) - starts[number]  # within it
    is_small = xp.bincount(number)[number] <= SMALL_BUCKET
    links = xp.where(is_small, place, xp.minimum(place, LINKS))
    ends = xp.cumsum(links + (place > links))
    for begin in range(0, int(ends[-1]), _PAIRS_AT_ONCE):
        pair = xp.arange(begin, min(begin + _PAIRS_AT_ONCE, int(ends[-1])))
        at = xp.searchsorted(ends, pair, side="right")
        link = pair - (ends[at] - links[at] - (place[at] > links[at]))
        other = xp.where(link < links[at], at - place[at] + link, at - 1)
        yield arrays.here(rows[at] << _HALF | rows[other])
