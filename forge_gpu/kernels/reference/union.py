"""From band hashes to clusters: pairs that share a bucket, and the components that pairs make.

A pair of rows is a word of 64 bits, the larger row in its upper half: so sorted pairs are in the order of
their larger row, and there are at most 2**32 rows.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from forge_gpu.kernels.layout import I64, U8, U64

U32 = npt.NDArray[np.uint32]
F64 = npt.NDArray[np.float64]

SMALL_BUCKET = 32
"""Up to so many rows all pairs of a bucket are candidates."""

LINKS = 8
"""In a larger bucket a row is paired with so many of its smallest rows, and with the row before it."""


def mark(hashes: U64, live: U8, marks: U64) -> int:
    """Mark the hashes of a piece's live rows; how many came upon a mark.

    hashes: uint64[n]; live: uint8[n], 0 or not. marks: uint64[a power of two, 2], at first zeros: which
    came and which came again, 64 a row, by the upper bits of a hash.
    """
    came = 0
    for value, alive in zip(hashes.tolist(), live.tolist(), strict=True):
        if alive:
            at, bit = _bit(value, marks)
            came += bool(marks[at, 0] & bit)
            marks[at, 1] |= marks[at, 0] & bit
            marks[at, 0] |= bit
    return came


def gather(hashes: U64, live: U8, first: int, marks: U64) -> tuple[U64, U32]:
    """What of a piece may share its hash with another row: the hashes, and the numbers, of live rows whose
    mark came again. first: the number of the piece's first row."""
    taken = []
    for row, (value, alive) in enumerate(zip(hashes.tolist(), live.tolist(), strict=True), first):
        if alive:
            word, bit = _bit(value, marks)
            if marks[word, 1] & bit:
                taken.append((value, row))
    return np.array([value for value, _ in taken], np.uint64), np.array([row for _, row in taken], np.uint32)


def _bit(value: int, marks: U64) -> tuple[int, np.uint64]:
    """Which words of the marks, and which bit of them, are a hash's."""
    number = value * len(marks) * 64 >> 64
    return number >> 6, np.uint64(1 << (number & 63))


def bucket_pairs(hashes: U64, rows: U32) -> U64:
    """Candidate pairs of one band: uint64[m], in no set order but without repeats.

    hashes: uint64[n], rows: uint32[n] ascending; rows with equal hashes are a bucket. A bucket of b rows
    gives b(b-1)/2 pairs up to SMALL_BUCKET, beyond it at most (LINKS + 1)·b: linear, however large it is.
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
            pairs += [row << 32 | bucket[k] for k in before]
    return np.array(pairs, np.uint64)


def without_repeats(words: U64) -> int:
    """Move the different ones of sorted words to the front, in place; how many they are."""
    different = sorted(set(words.tolist()))
    words[: len(different)] = different
    return len(different)


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


def keep_nearest(pairs: I64, similarity: F64, partner: I64, nearest: F64) -> None:
    """Note of both rows of each pair the other where it is more similar than the one that is noted, or as
    similar and smaller, in place. pairs: int64[m, 2], similarity: float64[m]. partner: int64[n], at first -1;
    nearest: float64[n], at first 0, how similar that is."""
    for (a, b), value in zip(pairs.tolist(), similarity.tolist(), strict=True):
        for row, other in ((a, b), (b, a)):
            if (-value, other) < (-nearest[row], partner[row]):
                nearest[row], partner[row] = value, other


def _root(parent: I64, row: int) -> int:
    while parent[row] != row:
        row = int(parent[row])
    return row
