"""From band hashes to clusters: pairs that share a bucket, and the components that pairs make."""

from __future__ import annotations

import numpy as np

from forge_gpu.kernels.layout import I64, U64

SMALL_BUCKET = 32
"""Up to so many rows all pairs of a bucket are candidates."""

LINKS = 8
"""In a larger bucket a row is paired with so many of its smallest rows, and with the row before it."""


def bucket_pairs(hashes: U64, rows: I64) -> I64:
    """Candidate pairs of one band: int64[m, 2], the smaller row first, in no set order but without repeats.

    hashes: uint64[n], rows: int64[n] ascending; rows with equal hashes are a bucket. A bucket of b rows gives
    b(b-1)/2 pairs up to SMALL_BUCKET, beyond it at most (LINKS + 1)·b: linear, however large it is.
    """
    buckets: dict[int, list[int]] = {}
    for value, row in zip(hashes.tolist(), rows.tolist(), strict=True):
        buckets.setdefault(value, []).append(row)
    pairs = []
    for bucket in buckets.values():
        for i, row in enumerate(bucket):
            before = (
                range(i) if len(bucket) <= SMALL_BUCKET else sorted({*range(min(LINKS, i)), *range(i)[-1:]})
            )
            pairs += [(bucket[k], row) for k in before]
    return np.array(pairs, np.int64).reshape(len(pairs), 2)


def unite(parent: I64, pairs: I64) -> None:
    """Join the components of each pair, in place. parent: int64[n], at first arange(n); the root of a
    component is its smallest row. pairs: int64[m, 2]. Union-find (Tarjan 1975), union by smallest index."""
    for a, b in pairs.tolist():
        a, b = _root(parent, a), _root(parent, b)
        parent[max(a, b)] = min(a, b)


def flatten(parent: I64) -> None:
    """Make every row's parent its component's smallest row, in place."""
    for row in range(len(parent)):
        parent[row] = _root(parent, row)


def _root(parent: I64, row: int) -> int:
    while parent[row] != row:
        row = int(parent[row])
    return row
