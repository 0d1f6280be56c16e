"""The k-th smallest of keys that need not fit in memory, by radix selection over histograms."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import numpy as np

from forge_gpu.kernels.arrays import HOST, Arrays
from forge_gpu.kernels.layout import U64
from forge_gpu.plain import frozen

BLOCK = 1 << 18
"""Rows that are read at once from arrays that may be mapped files."""

_DIGIT = 16


@frozen
class Selected:
    """The key of a rank: `below` keys are smaller than it and `equal` keys are equal to it."""

    key: int
    below: int
    equal: int


def blocks(n: int, size: int = BLOCK) -> Iterator[slice]:
    """Slices of at most `size` rows, in order."""
    for start in range(0, n, size):
        yield slice(start, min(start + size, n))


def select(keys: Callable[[], Iterator[U64]], rank: int, arrays: Arrays = HOST) -> Selected:
    """The key at 0-based `rank` of the sorted keys.

    keys: starts a pass over all keys, in pieces of uint64[m] there; must give more than `rank` of them. Four
    passes, each counting 16 bits of the keys that share the bits found so far: 512 KiB, whatever n is.
    """
    prefix, below = 0, 0
    for shift in range(64 - _DIGIT, -1, -_DIGIT):
        counts = np.zeros(1 << _DIGIT, np.int64)
        for piece in keys():
            if shift < 64 - _DIGIT:
                piece = piece[piece >> np.uint64(shift + _DIGIT) == np.uint64(prefix)]
            digit = (piece >> np.uint64(shift)) & np.uint64((1 << _DIGIT) - 1)
            counts += arrays.here(arrays.xp.bincount(digit.astype(np.int64), minlength=1 << _DIGIT))
        ends = np.cumsum(counts)
        result = int(np.searchsorted(ends, rank - below, side="right"))
        below += int(ends[result] - counts[result])
        prefix = prefix << _DIGIT | result
    return Selected(prefix, below, int(counts[result]))
