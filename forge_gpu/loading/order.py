"""The order of an epoch, and its batches: functions of the lines' lengths, the seed and the epoch alone."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from forge_gpu.kernels.layout import I64
from forge_gpu.split.mixer import Stream, mix

U32 = npt.NDArray[np.uint32]


def epoch_order(count: int, seed: int, epoch: int) -> U32:
    """All lines, shuffled by a seeded hash of (line, epoch), which is another one for each line:
    uint32[count]."""
    keys = np.empty((count, 2), np.uint64)
    keys[:, 0], keys[:, 1] = np.arange(count, dtype=np.uint64), epoch
    return np.argsort(mix(keys, seed, Stream.EPOCH)).astype(np.uint32)


def batch_bounds(tokens: I64, most: int | None) -> I64:
    """Where batches begin, of lines in their order, and where the last one ends: int64[b + 1]. Each has as
    many whole lines as fit into `most` tokens, one where `most` is None. No line is longer than `most`."""
    if most is None:
        return np.arange(len(tokens) + 1)
    ends = np.cumsum(tokens, dtype=np.int64)
    bounds, begin = [0], 0
    while bounds[-1] < len(ends):
        bounds.append(int(ends.searchsorted(begin + most, side="right")))
        begin = int(ends[bounds[-1] - 1])
    return np.array(bounds, np.int64)
