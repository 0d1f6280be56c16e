"""The shuffled order of rows: by seeded hash of their key, then by row."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from forge_gpu.kernels.arrays import HOST, Arrays
from forge_gpu.kernels.layout import I64, U64
from forge_gpu.split import select
from forge_gpu.split.mixer import Stream, mix

BYTES_A_ROW = 40
"""Peak of one part: row, hash, order and rank, and the copies that sorting makes."""


def shuffled_ranks(
    hashes: U64, live: npt.NDArray[np.bool_], seed: int, budget_bytes: int, arrays: Arrays = HOST
) -> I64:
    """The place of each row when the live rows are shuffled: int64[n]; -1 where not live.

    hashes: uint64[n, 2], may be a mapped file; live: bool[n], such as `fates == Fate.TRAIN`. Rows are
    ordered by (seeded hash of the key, row). Beyond the result it takes `budget_bytes` or 16 MiB, whichever
    is more: rows are sorted by ranges of the seeded hash, one pass over `hashes` for each. Rows with one
    and the same key cannot be parted by it; they are ranked in row order without sorting.
    """
    ranks = np.full(len(live), -1, np.int64)
    n = sum(int(np.count_nonzero(live[block])) for block in select.blocks(len(live)))
    parts = -(-n // max(arrays.room(budget_bytes) // BYTES_A_ROW, select.BLOCK))
    base = 0
    for part in range(parts):
        low, high = (2**64 * part // parts, 2**64 * (part + 1) // parts - 1)
        rows, keys = [np.zeros(0, np.int64)], [arrays.xp.zeros(0, np.uint64)]
        for block in select.blocks(len(live)):
            mixed = mix(arrays.there(hashes[block]), seed, Stream.ORDER)
            inside = arrays.there(live[block]) & (mixed >= np.uint64(low)) & (mixed <= np.uint64(high))
            rows.append(np.flatnonzero(arrays.here(inside)) + block.start)
            keys.append(mixed[inside])
        row = np.concatenate(rows)
        order = arrays.here(arrays.ascending(arrays.xp.concatenate(keys)))
        ranks[row[order]] = base + np.arange(len(row))
        base += len(row)
    return ranks
